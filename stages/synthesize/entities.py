"""What a model says the entities of a document are: JSON read without mercy, names cleaned (EntiGraph, methods 2.1).

The original keeps names as they come, twice or empty. Here they are stripped, names that differ in case alone are one
(the first wins), empty and overlong ones go, and with them half a surrogate pair and control characters: JSON may
have both, and no prompt and no file takes them. A reply that gives no name has a reason instead.
"""

import json
import re
from typing import Any, NamedTuple

from stages.models.engine import Answer

NAME_CHARS = 200  # a longer "name" is a sentence
UNUSABLE = re.compile("[\x00-\x08\x0e-\x1b\x7f\ud800-\udfff]")  # white space is folded
FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)

TRUNCATED = "entities_truncated"
NOT_JSON = "entities_not_json"
NOT_OBJECT = "entities_not_object"
NO_LIST = "entities_no_list"
NONE = "entities_none"
REASONS = (TRUNCATED, NOT_JSON, NOT_OBJECT, NO_LIST, NONE)


class Entities(NamedTuple):
    """Names in the order of the reply, and the model's summary of the document; empty if it gave none."""

    names: tuple[str, ...]
    summary: str


def parse_entities(answer: Answer, most: int) -> Entities | str:
    """The entities that `answer` names, at most the first `most`; or the reason why there are none."""
    fenced = FENCE.match(answer.text)
    try:
        data: Any = json.loads(fenced[1] if fenced else answer.text)
    except (ValueError, RecursionError):
        return TRUNCATED if answer.finish == "length" else NOT_JSON
    if not isinstance(data, dict):
        return NOT_OBJECT
    if not isinstance(data.get("entities"), list):
        return NO_LIST
    names = clean_names(data["entities"], most)
    summary = data.get("summary")
    text = UNUSABLE.sub("", summary).strip() if isinstance(summary, str) else ""
    return Entities(names, text) if names else NONE


def clean_names(names: list[Any], most: int) -> tuple[str, ...]:
    """Strings of `names`, blanks folded, each once whatever its case, at most `most`."""
    found: dict[str, str] = {}
    for name in names:
        if isinstance(name, str):
            text = " ".join(UNUSABLE.sub("", name).split())
            if text and len(text) <= NAME_CHARS:
                found.setdefault(text.casefold(), text)
    return tuple(found.values())[:most]
