"""Answers that refuse, apologise or speak of the model itself instead of doing what was asked: refusals.txt.

A phrase counts in the first `HEAD` code points of an answer, and only where the source does not have it too.
"""

import re
from functools import lru_cache
from pathlib import Path

HEAD = 300
PHRASES = Path(__file__).with_name("refusals.txt")


def refusal(source: str, text: str) -> str | None:
    """The phrase that `text` refuses with, if it does."""
    for phrases in _phrases():
        for match in phrases.finditer(text[:HEAD]):
            if match[0].lower() not in source.lower():
                return match[0]
    return None


@lru_cache(maxsize=1)
def _phrases() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Those that begin a word, which are not looked for within words, whatever their case; and those of any place."""
    lines = [line for line in PHRASES.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    words = "|".join(line.removeprefix(r"\b") for line in lines if line.startswith(r"\b"))
    others = "|".join(line for line in lines if not line.startswith(r"\b"))
    return re.compile(rf"\b(?:{words})", re.IGNORECASE), re.compile(others)
