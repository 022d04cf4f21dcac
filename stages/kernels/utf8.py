"""Characters of a UTF-8 buffer: white space, line breaks, hashes and lengths of bytes. All texts are valid UTF-8.

White space is what `str.isspace` and `str.split` take for it, a line break what `str.splitlines` does.
"""

from typing import Any

import numpy as np

from stages.kernels import compiled

LETTER, OTHER, SPACE, LEAD = 0, 1, 2, 3  # LEAD: may be the first byte of white space

CLASSES = np.full(256, OTHER, np.uint8)
CLASSES[[*range(ord("a"), ord("z") + 1), *range(ord("A"), ord("Z") + 1)]] = LETTER
CLASSES[[*range(9, 14), *range(28, 33)]] = SPACE
CLASSES[[0xC2, 0xE1, 0xE2, 0xE3]] = LEAD

# The hash of bytes b is the sum of (b[k] + 1) * BASE**k modulo 2**64: that of a part, a difference of two sums, scaled.
BASE = np.uint64(0x9E3779B97F4A7C15)
INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))


@compiled
def space_at(data: Any, i: int) -> int:  # noqa: PLR0911 - one for each first byte
    """Bytes of the white space character at `i`; 0 for any other character."""
    kind = CLASSES[data[i]]
    if kind == SPACE:
        return 1
    if kind != LEAD:
        return 0
    first, second = data[i], data[i + 1]
    if first == 0xC2:
        return 2 if second in (0x85, 0xA0) else 0
    third = data[i + 2]
    if first == 0xE1:
        return 3 if second == 0x9A and third == 0x80 else 0
    if first == 0xE3:
        return 3 if second == 0x80 and third == 0x80 else 0
    if second == 0x80:
        return 3 if third <= 0x8A or third in (0xA8, 0xA9, 0xAF) else 0
    return 3 if second == 0x81 and third == 0x9F else 0


@compiled
def space_before(data: Any, start: int, i: int) -> int:
    """Bytes of the white space character that ends at `i`; 0 for any other character."""
    last = data[i - 1]
    if last < 0x80:
        return 1 if CLASSES[last] == SPACE else 0
    for size in (2, 3):
        if i - size >= start and CLASSES[data[i - size]] == LEAD:
            return size if space_at(data, i - size) == size else 0
    return 0


@compiled
def strip(data: Any, start: int, stop: int) -> tuple[int, int]:
    """The part without white space at either end; an empty one is at `stop`."""
    while start < stop:
        size = space_at(data, start)
        if size == 0:
            break
        start += size
    while start < stop:
        size = space_before(data, start, stop)
        if size == 0:
            break
        stop -= size
    return start, stop


@compiled
def break_at(data: Any, i: int, stop: int) -> int:
    """Bytes of the line break at `i`; 0 where there is none."""
    byte = data[i]
    if byte == 13:
        return 2 if i + 1 < stop and data[i + 1] == 10 else 1
    if 10 <= byte <= 12 or 28 <= byte <= 30:
        return 1
    if byte == 0xC2:
        return 2 if data[i + 1] == 0x85 else 0
    if byte == 0xE2:
        return 3 if data[i + 1] == 0x80 and data[i + 2] in (0xA8, 0xA9) else 0
    return 0


@compiled
def n_chars(data: Any, start: int, stop: int) -> int:
    """Code points of a part."""
    n = 0
    for i in range(start, stop):
        n += (data[i] & 0xC0) != 0x80
    return n


@compiled
def same(a: Any, i: int, b: Any, j: int, size: int) -> bool:
    """Whether `size` bytes of `a` at `i` are those of `b` at `j`."""
    for k in range(size):  # noqa: SIM110 - a loop is what is compiled
        if a[i + k] != b[j + k]:
            return False
    return True


@compiled
def mixed(value: Any, size: int) -> Any:
    """A hash whose every bit depends on every bit of `value`, of `size` bytes."""
    value = np.uint64(value) ^ np.uint64(size)
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


@compiled
def hash_of(data: Any, start: int, stop: int) -> Any:
    """The hash of a part: what `mixed` makes of its sum."""
    value, power = np.uint64(0), np.uint64(1)
    for i in range(start, stop):
        value += np.uint64(data[i] + 1) * power
        power *= BASE
    return mixed(value, stop - start)


@compiled
def n_slots(n: int) -> int:
    """Slots of an open table for `n` values: a power of two, at most half of them taken."""
    size = 16
    while size < 2 * n:
        size *= 2
    return size
