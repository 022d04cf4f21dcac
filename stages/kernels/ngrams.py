"""Does a text contain one of many strings of words? One pass over Arrow's bytes that answers no, or maybe.

What is compared is a text's letters: its letters and digits in lower case and without marks, with all else left out.
Two runs of equal words have equal letters, however the words were split and whatever stands between them, so one pass
serves every rule that compares words; and a string of words that was looked for and is there is always found. What is
found is compared word by word by whoever asked.

The letters' hash is a polynomial mod 2^64, so that of any run of them is one multiplication. A string is known by its
first letters: the most of `LENGTHS` that it has.
"""

import unicodedata
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.kernels import compiled
from stages.kernels.fold import CONTINUATION_START, DECIMALS, decode
from stages.kernels.minhash import mix
from stages.text.buffers import text_buffers

SIZE = 0x20000  # code points in the table; those behind it are no letters here, which costs nothing but time
DIGIT, DECIMAL = np.uint32(1 << 30), np.uint32(1 << 29)  # marks of a value in the table
POINT = np.uint32((1 << 21) - 1)  # the part of it that is the letter, 0 for none
ZERO = np.uint32(48)
JAMO = range(0x1100, 0x1200)  # Hangul syllables fall apart into these where marks are cut off: neither is a letter

LENGTHS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32, 48)
BLOCK = 4096  # letters that wait to be looked up

_BASE = np.uint64(0x9E3779B97F4A7C15)
_63 = np.uint64(63)
_6 = np.uint64(6)


class Screen(NamedTuple):
    """Strings of words, ready for look-up. Class k holds those that are known by their first `lengths[k]` letters."""

    table: Any  # uint32: `letters` of the words
    lengths: Any  # int64, ascending
    powers: Any  # uint64: _BASE ** length
    bits: Any  # uint64 (classes, words): a bit for each hash, 16 bits a string
    slots: Any  # uint64 (classes, slots): an open table of hashes, 0 for none
    everything: bool  # a string has no letters: any text may contain it
    anywhere: bool  # a string may begin within a run of letters
    numbers: bool  # a number, and one fraction, is one 0


@lru_cache(maxsize=4)
def letters(symbols: str) -> npt.NDArray[np.uint32]:
    """The value of every code point below SIZE, by this Python's Unicode tables. `symbols` are letters as well."""
    values = np.zeros(SIZE, np.uint32)
    for point in range(SIZE):
        values[point] = _value(chr(point))
    for mark in DECIMALS:
        values[ord(mark)] = DECIMAL
    for symbol in symbols:
        values[ord(symbol)] = ord(symbol)
    values.flags.writeable = False
    return values


def _value(char: str) -> int:
    category = unicodedata.category(char)
    if category == "Nd":
        return ord(char) | int(DIGIT)
    if category[0] != "L" or ord(char) in JAMO:
        return 0
    lower = char.lower().replace("\u03c2", "\u03c3")  # a sigma's form depends on where it stands
    base = [c for c in unicodedata.normalize("NFD", lower) if unicodedata.category(c) != "Mn"]
    alone = len(base) == 1 and unicodedata.category(base[0])[0] == "L"
    return ord(base[0]) if alone else 0


@compiled
def _value_at(data: Any, i: Any, end: Any, table: Any) -> Any:
    """The table's value of the code point at byte `i`, and where the next begins."""
    if data[i] < CONTINUATION_START:
        return table[data[i]], i + 1
    point, after = decode(data, i, end)
    return table[point] if point < SIZE else np.uint32(0), after


@compiled
def _known(hashed: Any, k: Any, screen: Any) -> Any:
    """Whether class `k` has a string of this hash."""
    value = mix(hashed) | np.uint64(1)
    bits, slots = screen.bits[k], screen.slots[k]
    bit = (value >> np.uint64(20)) & np.uint64(64 * bits.shape[0] - 1)
    if (bits[bit >> _6] >> (bit & _63)) & np.uint64(1) == 0:
        return False
    slot = (value >> np.uint64(8)) & np.uint64(slots.shape[0] - 1)
    while slots[slot] != 0:
        if slots[slot] == value:
            return True
        slot = (slot + np.uint64(1)) & np.uint64(slots.shape[0] - 1)
    return False


@compiled
def _look_up(sums: Any, n: Any, starts: Any, n_starts: Any, screen: Any) -> Any:
    """Whether a known string begins at one of the `starts` among the first `n` letters."""
    for s in range(n_starts):
        i = starts[s]
        for k in range(screen.lengths.shape[0]):
            after = i + screen.lengths[k]
            if after > n:
                break
            if _known(sums[after] - sums[i] * screen.powers[k], k, screen):
                return True
    return False


@compiled
def _move(sums: Any, starts: Any, n_starts: Any, moved: Any, longest: Any) -> Any:
    """Bring what begins at letter `moved` or behind it to the front, to be looked up with what follows; its starts."""
    kept = 0
    for s in range(n_starts):
        if starts[s] >= moved:
            starts[kept] = starts[s] - moved
            kept += 1
    for j in range(longest):
        sums[j] = sums[moved + j]
    return kept


@compiled
def contains(data: Any, start: Any, end: Any, screen: Any, sums: Any, starts: Any) -> Any:
    """Whether data[start:end] may contain a string. `sums` uint64 and `starts` int64 are room for work, over BLOCK."""
    n, n_starts, number, inside = 0, 0, 0, False
    longest = screen.lengths[-1]
    sums[0] = 0
    i = start
    while i < end:
        value, i = _value_at(data, i, end, screen.table)
        letter = value & POINT
        if screen.numbers:
            if value & DIGIT != 0:
                letter = ZERO if number == 0 else np.uint32(0)
                number = max(number, 1)
                if letter == 0:
                    continue
            elif number == 1 and value == DECIMAL and i < end and _value_at(data, i, end, screen.table)[0] & DIGIT != 0:
                number = 2
                continue
            else:
                number = 0
        if letter == 0:
            inside = False
            continue
        if screen.anywhere or not inside:
            starts[n_starts] = n
            n_starts += 1
        inside = True
        sums[n + 1] = sums[n] * _BASE + mix(np.uint64(letter))
        n += 1
        if n == BLOCK:
            if _look_up(sums, n, starts, n_starts, screen):
                return True
            n_starts = _move(sums, starts, n_starts, n - longest + 1, longest)
            n = longest - 1
    return _look_up(sums, n, starts, n_starts, screen)


@compiled
def _contains_all(data: Any, offsets: Any, screen: Any, found: Any) -> None:
    sums, starts = np.empty(BLOCK + 1, np.uint64), np.empty(BLOCK + 1, np.int64)
    for row in range(found.shape[0]):
        found[row] = screen.everything or contains(data, offsets[row], offsets[row + 1], screen, sums, starts)


@compiled
def _keys(data: Any, offsets: Any, table: Any, lengths: Any, hashes: Any, sizes: Any) -> None:
    """The hash of each string's first letters, and how many they are: the most of `lengths`; 0 for no letters."""
    for row in range(hashes.shape[0]):
        i, k, n, hashed = offsets[row], 0, 0, np.uint64(0)
        while i < offsets[row + 1] and k < lengths.shape[0]:
            value, i = _value_at(data, i, offsets[row + 1], table)
            if value & POINT != 0:
                hashed = hashed * _BASE + mix(np.uint64(value & POINT))
                n += 1
                if n == lengths[k]:
                    hashes[row], sizes[row] = hashed, n
                    k += 1


@compiled
def _fill(hashes: Any, bits: Any, slots: Any) -> None:
    for hashed in hashes:
        value = mix(hashed) | np.uint64(1)
        bit = (value >> np.uint64(20)) & np.uint64(64 * bits.shape[0] - 1)
        bits[bit >> _6] |= np.uint64(1) << (bit & _63)
        slot = (value >> np.uint64(8)) & np.uint64(slots.shape[0] - 1)
        while slots[slot] != 0 and slots[slot] != value:
            slot = (slot + np.uint64(1)) & np.uint64(slots.shape[0] - 1)
        slots[slot] = value


def screen_for(strings: list[str], symbols: str = "", *, anywhere: bool = False, numbers: bool = False) -> Screen:
    """A screen of strings of words, of letters, digits and maybe `symbols`.

    `anywhere`: they may begin within a run of letters. `numbers`: theirs are one 0 each, those of texts are not.
    """
    table = letters(symbols)
    data, offsets = text_buffers(pa.array(strings, pa.large_string()))
    hashes, sizes = np.zeros(len(strings), np.uint64), np.zeros(len(strings), np.int64)
    _keys(data, offsets, table, np.array(LENGTHS, np.int64), hashes, sizes)
    lengths = sorted(set(sizes.tolist()) - {0}) or [LENGTHS[-1]]
    most = max((int((sizes == length).sum()) for length in lengths), default=1)
    room = 1 << max(6, (4 * most - 1).bit_length())
    bits = np.zeros((len(lengths), room // 16), np.uint64)  # 4 * most slots, 16 * most bits at least
    slots = np.zeros((len(lengths), room), np.uint64)
    for k, length in enumerate(lengths):
        _fill(hashes[sizes == length], bits[k], slots[k])
    powers = np.array([pow(int(_BASE), length, 1 << 64) for length in lengths], np.uint64)
    everything = bool((sizes == 0).any())
    return Screen(table, np.array(lengths, np.int64), powers, bits, slots, everything, anywhere, numbers)


def may_contain(texts: pa.LargeStringArray, screen: Screen) -> npt.NDArray[np.bool_]:
    """Which texts may contain one of the screen's strings; a null does not."""
    data, offsets = text_buffers(texts)
    found = np.zeros(len(texts), np.bool_)
    _contains_all(data, offsets, screen, found)
    found &= np.asarray(texts.is_valid())
    return found
