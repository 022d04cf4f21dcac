"""What `&amp;`, `&#39;` and `&#x27;` stand for, as `html.unescape` has it."""

import html
import html.entities
from typing import Any

import numpy as np

from stages.kernels import compiled
from stages.kernels.html_tags import DIGIT, LETTERS, LOWER, OFFSET, PRIME, UPPER, hash_name, hash_table, slot_of

_ENTITIES = sorted(html.entities.html5.items())
_ENTITY_KEYS, _ENTITY_PLACES = hash_table([hash_name(name) for name, _ in _ENTITIES])
_ENTITY_BYTES = np.frombuffer("".join(value for _, value in _ENTITIES).encode(), np.uint8)
_ENTITY_STARTS = np.cumsum([0, *(len(value.encode()) for _, value in _ENTITIES)], dtype=np.int64)
LONGEST_ENTITY = 32
_LOW_NUMBERS = np.array([ord(html.unescape(f"&#{i};") or "\0") for i in range(0xA0)], np.int64)  # 0: no character


@compiled
def put_point(out: Any, at: int, point: int) -> int:
    """Write a code point; where the next one goes."""
    if point < 0x80:
        out[at] = point
        return at + 1
    if point < 0x800:
        out[at], out[at + 1] = 0xC0 | point >> 6, 0x80 | point & 63
        return at + 2
    if point < 0x10000:
        out[at], out[at + 1], out[at + 2] = 0xE0 | point >> 12, 0x80 | point >> 6 & 63, 0x80 | point & 63
        return at + 3
    out[at], out[at + 1] = 0xF0 | point >> 18, 0x80 | point >> 12 & 63
    out[at + 2], out[at + 3] = 0x80 | point >> 6 & 63, 0x80 | point & 63
    return at + 4


@compiled
def put_reference(data: Any, i: int, stop: int, out: Any, at: int) -> tuple[int, int]:
    """Write what the `&` at `i` stands for: (what follows it in `data`, in `out`)."""
    if i + 1 < stop and data[i + 1] == 35:
        return _put_number(data, i, stop, out, at)
    value, best, end, k = OFFSET, -1, i, i + 1
    while k < stop and k - i <= LONGEST_ENTITY:
        byte = data[k]
        if LETTERS[byte] & (LOWER | UPPER | DIGIT) == 0 and byte != 59:
            break
        value = (value ^ np.uint64(byte)) * PRIME
        k += 1
        place = slot_of(_ENTITY_KEYS, _ENTITY_PLACES, value)
        if place >= 0:
            best, end = place, k
        if byte == 59:
            break
    if best < 0:
        out[at] = 38
        return i + 1, at + 1
    for k in range(_ENTITY_STARTS[best], _ENTITY_STARTS[best + 1]):
        out[at] = _ENTITY_BYTES[k]
        at += 1
    return end, at


@compiled
def _put_number(data: Any, i: int, stop: int, out: Any, at: int) -> tuple[int, int]:
    """The same for `&#39;` and `&#x27;`."""
    hexadecimal = i + 2 < stop and data[i + 2] | 32 == 120
    first = i + 3 if hexadecimal else i + 2
    k = first
    point: Any = 0
    while k < stop:
        byte = np.int64(data[k])
        if 48 <= byte <= 57:
            digit = byte - 48
        elif hexadecimal and 97 <= byte | 32 <= 102:
            digit = (byte | 32) - 87
        else:
            break
        point = point * (16 if hexadecimal else 10) + digit
        point = min(point, 0x110000)
        k += 1
    if k == first:
        out[at] = 38
        return i + 1, at + 1
    if k < stop and data[k] == 59:
        k += 1
    if point < 0xA0:
        point = _LOW_NUMBERS[point]
    elif 0xD800 <= point <= 0xDFFF or point > 0x10FFFF:
        point = 0xFFFD
    elif 0xFDD0 <= point <= 0xFDEF or point & 0xFFFE == 0xFFFE:
        point = 0
    return k, put_point(out, at, point) if point else at
