"""How a refining model wants to be asked: what its folder says of it, or else what the released models take."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.check import nearest
from stages.refine.prompt_format import FORMATS, PromptFormat
from stages.stage import StageError

FILE = "headrace.json"
GRAMMARS = ("compat", "strict")


@dataclass(frozen=True)
class Profile:
    """`compat`: programs are read and carried out as ProX does. `context`: tokens of a prompt and its answer."""

    compat: bool
    prompt_format: PromptFormat
    chunk_tokens: int
    max_tokens: int
    context: int


RELEASED = Profile(compat=True, prompt_format="llama2_sys", chunk_tokens=1500, max_tokens=256, context=2048)


def read_profile(folder: Path | None, **settings: Any) -> Profile:
    """`settings` that are not None, then what `headrace.json` in the model's folder says, then `RELEASED`.

    The file is the trainer's: {"grammar": "strict", "prompt_format": "plain", "chunk_tokens": 600, ...}; what else is
    in it is not read.
    """
    said = _file(folder / FILE) if folder is not None and (folder / FILE).is_file() else {}
    chosen = {name: value for name, value in settings.items() if value is not None}
    return Profile(**{**vars(RELEASED), **said, **chosen})


def _file(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StageError(f"{path}: {error}") from error
    if not isinstance(data, dict):
        raise StageError(f"{path}: expected an object, found {type(data).__name__}")
    said: dict[str, Any] = {}
    faults = []
    for key, known in (("grammar", GRAMMARS), ("prompt_format", FORMATS)):
        if key in data and data[key] not in known:
            hint = nearest(str(data[key]), list(known))
            faults.append(f"{key!r} should be {' or '.join(known)}, found {data[key]!r}{hint}")
    for key in ("chunk_tokens", "max_tokens", "context"):
        if key in data and (not isinstance(data[key], int) or isinstance(data[key], bool) or data[key] < 1):
            faults.append(f"{key!r} should be a number of tokens, found {data[key]!r}")
        elif key in data:
            said[key] = data[key]
    if faults:
        raise StageError(f"{path}: " + "; ".join(faults))
    if "grammar" in data:
        said["compat"] = data["grammar"] == "compat"
    if "prompt_format" in data:
        said["prompt_format"] = data["prompt_format"]
    return said
