"""The pattern lists of instruction_patterns.yaml, what they know of answers, and how they number (methods 6.4)."""

import string
from functools import lru_cache
from pathlib import Path
from typing import Any

from stages.synthesize.wordings import load_wordings, wordings_hash

PATTERNS = Path(__file__).with_name("instruction_patterns.yaml")
ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"))
ROMAN_ONES = ("", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix")


def load_patterns() -> dict[str, Any]:
    """The lists of the file."""
    return load_wordings(PATTERNS)


def patterns_hash() -> str:
    return wordings_hash(PATTERNS)


def nothing_fits(answer: str) -> bool:
    """Whether an answer says that no choice fits."""
    return _bare(answer) in _known("nothing_fits")


def unanswerable(answer: str) -> bool:
    """Whether an answer says that there is none."""
    return _bare(answer) in _known("unanswerable")


def mark(pattern: str, number: int) -> str:
    """The mark of the thing of this number, from 1: `({A}) ` gives `(A) `, `(B) `."""
    signs = {"1": str(number), "a": _letters(number), "i": roman(number)}
    for sign, value in signs.items():
        pattern = pattern.replace(f"{{{sign}}}", value).replace(f"{{{sign.upper()}}}", value.upper())
    return pattern


def roman(number: int) -> str:
    """4 is iv."""
    text = ""
    for value, sign in ROMAN:
        text += sign * (number // value)
        number %= value
    return text + ROMAN_ONES[number]


def _letters(number: int) -> str:
    """1 is a, 26 z, 27 aa."""
    text = ""
    while number:
        number, rest = divmod(number - 1, 26)
        text = string.ascii_lowercase[rest] + text
    return text


@lru_cache(maxsize=8)
def _known(name: str) -> frozenset[str]:
    return frozenset(map(_bare, load_patterns()[name]))


def _bare(answer: str) -> str:
    return answer.strip().rstrip(".").casefold()
