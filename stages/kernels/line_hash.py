"""What a line is to deduplication: 64 bits of its letters, digits and symbols, in one pass over Arrow's UTF-8 buffer.

The form that is hashed is CCNet's as its paper has it (arXiv 1911.00359, 3.2): lower case, every digit as 0, without
punctuation and accents. CCNet's code leaves accents and most of ASCII's punctuation as they are, so lines that are one
to it are one here too. White space is ours: a run of it is one space, and none stands at the ends.
"""

import unicodedata
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.kernels import compiled
from stages.kernels.fold import CONTINUATION_START, SIZE, decode
from stages.kernels.minhash import mix

# Values of the table below those of characters. A character's value is its folded code point.
DROPPED = np.uint32(0)
SPACE = np.uint32(1)
_ZERO = ord("0")
_NEWLINE = np.uint8(10)

_SEED = np.uint64(0x9E3779B97F4A7C15)
_FACTOR = np.uint64(0x9FB21C651E98DF25)
_32 = np.uint64(32)


@lru_cache(maxsize=1)
def table() -> npt.NDArray[np.uint32]:
    """The value of every code point below SIZE, by this Python's Unicode tables. Takes 0.1 s, once per process."""
    values = np.fromiter(map(_value, map(chr, range(SIZE))), np.uint32, SIZE)
    values.flags.writeable = False
    return values


def _value(char: str) -> int:
    if char.isspace():
        return int(SPACE)
    category = unicodedata.category(char)
    if category == "Nd":
        return _ZERO
    if category[0] in "PC" or category in ("Mn", "Me"):  # punctuation, controls and formats, accents
        return int(DROPPED)
    if category[0] == "Z":
        return int(SPACE)
    lower = char.lower()
    base = [c for c in unicodedata.normalize("NFD", lower) if unicodedata.category(c) != "Mn"]
    return ord(base[0] if len(base) == 1 else char)  # what is still several, such as a Hangul syllable, stays whole


@compiled
def _fold(point: Any, fold: Any) -> Any:
    """The value of any code point: planes 2 and 3 are ideographs, the rest is tags, selectors and private use."""
    if point < SIZE:
        return fold[point]
    return np.uint32(point) if point < 0x40000 else DROPPED


@compiled
def _line(data: Any, i: Any, stop: Any, value: Any, n: int, fold: Any) -> tuple[Any, int, bool, int]:
    """(hash so far, characters of the folded form, whether the line is blank, where its break or `stop` is).

    `value` and `n` are what the lines before left, so that a paragraph is hashed line by line; a break is white space.
    """
    space, blank = True, True
    while i < stop:
        byte = data[i]
        if byte == _NEWLINE:
            break
        if byte < CONTINUATION_START:
            code = fold[byte]
            i += 1
        else:
            point, i = decode(data, i, stop)
            code = _fold(point, fold)
        if code > SPACE:
            if space and n:
                value = (value ^ np.uint64(SPACE)) * _FACTOR
                value ^= value >> _32
                n += 1
            value = (value ^ np.uint64(code)) * _FACTOR
            value ^= value >> _32
            n, space, blank = n + 1, False, False
        elif code == SPACE:
            space = True
        else:
            blank = False
    return value, n, blank, i


@compiled
def hash_lines(
    data: Any, offsets: Any, valid: Any, seeds: Any, fold: Any, paragraphs: Any, min_chars: Any, out: Any
) -> int:
    """Fill `out` = (text int64, line int32, lines int32, hash uint64) with the units to be judged; return how many.

    Text t is data[offsets[t]:offsets[t + 1]], left out where `valid[t]` is false; `seeds[t]` (uint64) tells apart the
    texts that are not compared. A unit is a line (ended by a line feed, counted from 0), or with `paragraphs` a run of
    lines that are not blank. Those of fewer than `min_chars` characters, or none, are left out. `out` needs room for
    as many units as there are lines.
    """
    texts, lines, sizes, hashes = out
    n = 0
    for t in range(valid.shape[0]):
        if not valid[t]:
            continue
        seed = mix(seeds[t] ^ _SEED)
        i, stop, line = offsets[t], offsets[t + 1], 0
        value, chars, first = seed, 0, 0
        while i <= stop:
            value, chars, blank, i = _line(data, i, stop, value, chars, fold)
            i += 1
            ends = i > stop
            if not paragraphs or blank or ends:
                behind = line if paragraphs and blank else line + 1
                if chars > 0 and chars >= min_chars:
                    texts[n], lines[n], sizes[n], hashes[n] = t, first, behind - first, mix(value)
                    n += 1
                value, chars, first = seed, 0, line + 1
            line += 1
    return n
