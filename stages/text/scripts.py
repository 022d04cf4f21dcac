"""The words of a chunk in any script: the rule for languages that spaCy has none for.

After UAX #29, without dictionaries:
- a run of letters, digits and underscores with their marks is a word, joined over an apostrophe, a stop or a
  middle dot between letters and a stop or a comma between digits: "don't", "3.14", "привет", "नमस्ते", "한국어";
- a character of a script written without spaces (Han, kana, Thai, Lao, Khmer, Myanmar) is a word with its marks;
- any other character is a word with its marks.
"""

import re
import sys
import unicodedata
from collections.abc import Callable
from itertools import groupby

UNSPACED = (
    "\u0e01-\u0edf\u1000-\u109f\u1780-\u17ff\u2e80-\u2fd5\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3041-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)


class ScriptRules:
    """`split(chunk)` by script. Opening it scans Unicode once (a fifth of a second)."""

    phrases: tuple[str, ...] = ()
    plain_letters = True
    special_letters: tuple[str, ...] = ()

    def __init__(self) -> None:
        marks = "[" + _ranges(lambda c: unicodedata.category(c)[0] == "M" or c in "\u200c\u200d") + "]*"
        letter = rf"(?![{UNSPACED}])\w{marks}"
        link = r"(?:(?<=[^\d_])['\u2019.\u00b7](?=[^\W\d_])|(?<=\d)[.,](?=\d))?"
        self._words = re.compile(rf"{letter}(?:{link}{letter})*|\S{marks}")

    def split(self, chunk: str) -> tuple[str, ...]:
        """The words of `chunk`, which has no white space; joined they give the chunk again."""
        return tuple(self._words.findall(chunk))

    cut = split

    def alone(self, chunk: str) -> tuple[tuple[str, ...], bool, tuple[str, ...]]:
        """(the words of `chunk`, False, the same): no word depends on another chunk."""
        words = self.split(chunk)
        return words, False, words

    def leading(self, _: str) -> bool:
        """Whether a word is a piece of a special case: there are none."""
        return False

    following = leading

    def rejoin(self, tokens: list[tuple[str, int]], text: str) -> list[tuple[str, int]]:
        """`tokens`: there is nothing to rejoin."""
        return tokens


def _ranges(is_in: Callable[[str], bool]) -> str:
    """The characters for which `is_in` holds, as the inside of a regular expression's character class."""
    points = [point for point in range(sys.maxunicode + 1) if is_in(chr(point))]
    runs = [[p for _, p in run] for _, run in groupby(enumerate(points), key=lambda pair: pair[1] - pair[0])]
    return "".join(f"\\U{run[0]:08x}-\\U{run[-1]:08x}" for run in runs)
