"""What a code point is to near-duplicate detection: part of a word (folded), a digit, dropped, or a separator.

Close to datatrove's `simplify_text` (lower case, numbers to 0, punctuation to spaces, combining marks gone), but
decided code point by code point, by a table. It differs on purpose: symbols separate words (datatrove keeps those not
in its list of punctuation), format characters such as the soft hyphen are dropped, final sigma is sigma, and a letter
of a script without spaces is a word by itself.
"""

import unicodedata
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.kernels import compiled

# Values of the table below those of letters. A letter's value is its folded code point.
SEPARATOR = np.uint32(0)
DROP = np.uint32(1)  # combining marks and format characters: a word goes on across them
DECIMAL = np.uint32(2)  # a separator, unless it stands between the digits of a number
ZERO = np.uint32(48)  # any decimal digit
SINGLE = np.uint32(1 << 31)  # set in the value of a letter that is a word by itself

SIZE = 0x20000  # code points in the table; the planes behind it are ideographs, tags and private use
CONTINUATION_START = np.uint8(0x80)
DECIMALS = ".,\u060c\u066b\u2396\u2397\u2398"  # datatrove.utils.text.NUMBERS_PATTERN

# Scripts written without spaces between words (first and last code point).
UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x3005, 0x3007),  # ideographic iteration mark, zero
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),  # Katakana extensions
    (0x3400, 0x4DBF),  # ideographs
    (0x4E00, 0x9FFF),  # ideographs
    (0xA9E0, 0xAA7F),  # Myanmar extended
    (0xF900, 0xFAFF),  # compatibility ideographs
    (0xFF66, 0xFF9F),  # half-width Katakana
)


@lru_cache(maxsize=1)
def table() -> npt.NDArray[np.uint32]:
    """The value of every code point below SIZE, by this Python's Unicode tables. Takes 0.1 s, once per process."""
    values = np.zeros(SIZE, np.uint32)
    for point in range(SIZE):
        values[point] = _value(chr(point))
    for first, last in UNSPACED:
        part = values[first : last + 1]
        part[part > ZERO] |= SINGLE
    for mark in DECIMALS:
        values[ord(mark)] = DECIMAL
    values.flags.writeable = False
    return values


def _value(char: str) -> int:
    category = unicodedata.category(char)
    if category == "Nd":
        return int(ZERO)
    if category in ("Mn", "Me", "Cf"):
        return int(DROP)
    if category[0] not in "LNM":
        return int(SEPARATOR)
    lower = char.lower().replace("\u03c2", "\u03c3")
    base = [c for c in unicodedata.normalize("NFD", lower) if unicodedata.category(c) != "Mn"]
    return ord(base[0] if len(base) == 1 else char)  # what is still several, such as a Hangul syllable, stays whole


@compiled
def fold_of(point: Any, fold: Any) -> Any:
    """The value of any code point: planes 2 and 3 are ideographs, variation selectors are dropped, others separate."""
    if point < SIZE:
        return fold[point]
    if point < 0x40000:
        return SINGLE | np.uint32(point)
    if 0xE0000 <= point < 0xE0200:
        return DROP
    return SEPARATOR


@compiled
def decode(data: Any, i: Any, end: Any) -> Any:
    """The code point at byte `i` and where the next begins. A sequence that `end` cuts off is U+FFFF, a separator."""
    lead = np.uint32(data[i])
    if lead < 0x80:
        return lead, i + 1
    n = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if i + n > end:
        return np.uint32(0xFFFF), end
    point = lead & np.uint32(0x7F >> n)
    for k in range(1, n):
        point = (point << np.uint32(6)) | (np.uint32(data[i + k]) & np.uint32(0x3F))
    return point, i + n
