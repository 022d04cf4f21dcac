"""The words in the names of a page's elements, as strings: what the engine `headrace` weighs by their hashes."""

import itertools
import re
from typing import Any

from stages.kernels.html_blocks import Page
from stages.kernels.html_tags import MAX_ATTRIBUTES, MAX_NAME, MAX_NAMES, NAMES

ATTRIBUTE = re.compile(r"""\b(?:class|id|role|itemprop)\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+)""", re.IGNORECASE)
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


def words_of(tag: str, attrs: str) -> tuple[str, ...]:
    """The words in class, id, role and itemprop, and each pair of neighbours: `post`, `body`, `post-body`."""
    found = {f"<{tag}>": None}
    for value in ATTRIBUTE.findall(attrs[:MAX_ATTRIBUTES]):
        for one in value.strip("\"'").split()[:MAX_NAMES]:
            parts = [part.lower() for part in WORD.findall(one[:MAX_NAME])]
            found.update(dict.fromkeys(parts))
            found.update((f"{a}-{b}", None) for a, b in itertools.pairwise(parts))
    return tuple(found)


def elements(page: Page, data: Any) -> list[tuple[str, str]]:
    """The tag and the attributes of each element but the first, which is the page."""
    spans = zip(page.tag[1:].tolist(), page.first[1:].tolist(), page.last[1:].tolist(), strict=True)
    return [(NAMES[tag], data[first:last].tobytes().decode(errors="replace")) for tag, first, last in spans]
