"""HTML without its markup, cheaply: a bound of what any extraction can find in a page, and a sample of its prose.

Not a parser. Tags, comments, scripts and styles are left out where a parser would see them, and in doubt a stretch is
text, so that hardly a word of the page is missed: there is more in it than extraction returns, never less but for
attributes. A page is read segment by segment, from one tag that begins a line to the next, and only as far as needed.
"""

from html.entities import name2codepoint
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from stages.kernels import compiled
from stages.kernels.chunks import texts_of
from stages.kernels.utf8 import BASE

INLINE = (
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img",
    "ins", "kbd", "label", "mark", "nobr", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time",
    "tt", "u", "var", "wbr",
)  # fmt: skip
# What may hang on a word of English, with an apostrophe or without: thats, haven't. A shorter word with such an end is
# another word (then, bed, tell); spaCy cuts none of the usual stop words off one.
CONTRACTIONS = ("d", "dve", "ll", "llve", "n", "nt", "s")
SHORTEST = 4
LONGEST_ENTITY = 10  # &thetasym;

_LETTER, _DIGIT, _SPACE, _OPEN, _AMPERSAND, _OTHER = 0, 1, 2, 3, 4, 5
_TEXT, _IN_LINE, _NEW_LINE = 0, 1, 2  # what a < begins
# What is remembered of a page, so that no search through the rest of it is made twice: whether there is no end of a
# comment, script, style or tag any more; and where the script ends that is read as text.
_NO_COMMENT, _NO_SCRIPT, _NO_STYLE, _NO_TAG, _READ_UNTIL, _N_STATE = 0, 1, 2, 3, 4, 5
_KINDS = np.full(256, _OTHER, np.uint8)
_KINDS[[*range(ord("a"), ord("z") + 1), *range(ord("A"), ord("Z") + 1)]] = _LETTER
_KINDS[[*range(ord("0"), ord("9") + 1)]] = _DIGIT
_KINDS[: ord(" ") + 1] = _SPACE
_KINDS[[ord("<"), ord("&")]] = _OPEN, _AMPERSAND
_LINKED, _BODY = np.frombuffer(b"ld+json", np.uint8), np.frombuffer(b"articleBody", np.uint8)


class Forms(NamedTuple):
    """Words to look for, by hash: in slot i `keys[i]`, a form of word `words[i]`; -1 where there is none."""

    keys: Any  # uint64
    words: Any  # int64
    n_words: int


class Limits(NamedTuple):
    """What to read, and how far. Sizes are bytes."""

    sample: int
    segment: int  # shorter ones are passed over: menus, buttons, dates
    runs: int  # with so many, and so many different words, and a full sample, the rest of a page is not read
    words: int


class Sifted(NamedTuple):
    """Of the segments read of each page: the text, how many runs of letters or digits, how many of the words."""

    sample: pa.LargeStringArray
    runs: Any  # int64
    words: Any  # int64


def hashed(word: str) -> int:
    """The hash of a word as the kernel has it."""
    value = 0
    for byte in word.encode():
        value = (value * int(BASE) + byte + 1) % (1 << 64)
    return value


def slots_of(numbers: dict[str, int]) -> tuple[Any, Any]:
    """(keys, numbers) of an open table, at most half full."""
    size = 1 << (2 * len(numbers) + 1).bit_length()
    keys, values = np.zeros(size, np.uint64), np.full(size, -1, np.int64)
    for word, number in numbers.items():
        slot = (hashed(word) >> 32) & (size - 1)
        while values[slot] >= 0:
            slot = (slot + 1) & (size - 1)
        keys[slot], values[slot] = hashed(word), number
    return keys, values


def forms_of(words: tuple[str, ...]) -> Forms:
    """The words in all forms that may become this word and another: a contraction is two words."""
    long = [(number, word) for number, word in enumerate(words) if len(word) >= SHORTEST]
    forms = {word + end: number for number, word in long for end in CONTRACTIONS}
    return Forms(*slots_of({**forms, **{word: number for number, word in enumerate(words)}}), len(words))


_INLINE_KEYS, _INLINE_NUMBERS = slots_of(dict.fromkeys(INLINE, 1))
_ENTITY_KEYS, _ENTITY_CODES = slots_of({**name2codepoint, "apos": 39})
_SCRIPT, _STYLE = np.uint64(hashed("script")), np.uint64(hashed("style"))


def sift(pages: pa.Array, forms: Forms, limits: Limits) -> Sifted:
    """Sift every page of an array of `large_string`; a null is an empty page."""
    texts, n = texts_of(pages), len(pages)
    sizes = texts.stops - texts.starts
    room = np.empty(int(sizes.max(initial=0)) + 1, np.uint8)
    sample = np.empty(int(np.minimum(sizes, limits.sample).sum()) + 1, np.uint8)
    ends, runs, words = np.zeros(n + 1, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    _sift(texts.data, texts.starts, texts.stops, forms, limits, room, sample, ends, runs, words)
    return Sifted(pa.LargeStringArray.from_buffers(n, pa.py_buffer(ends), pa.py_buffer(sample)), runs, words)


@compiled
def _sift(
    data: Any, starts: Any, stops: Any, forms: Any, limits: Any, room: Any, sample: Any, ends: Any, runs: Any,
    words: Any,
) -> None:  # fmt: skip
    seen, state = np.zeros(forms.n_words, np.bool_), np.zeros(_N_STATE, np.int64)
    for row in range(starts.shape[0]):
        seen[:] = False
        state[:] = 0
        i, stop, used = starts[row], stops[row], ends[row]
        limit = used + min(limits.sample, stop - i)
        while i < stop:
            i, size = _segment(data, i, stop, room, state)
            if size >= limits.segment:
                n, found = _count(room, size, forms, seen)
                runs[row] += n
                words[row] += found
                used = _append(room, size, sample, used, limit)
            if used == limit and runs[row] >= limits.runs and words[row] >= limits.words:
                break
        ends[row + 1] = _whole(sample, ends[row], used)


@compiled
def _append(room: Any, size: int, sample: Any, used: int, limit: int) -> int:
    """Put a segment and a blank behind it into the sample, as far as there is room; return the sample's end."""
    for k in range(min(size, limit - used)):
        sample[used] = room[k]
        used += 1
    if used < limit:
        sample[used] = 32
        used += 1
    return used


@compiled
def _whole(sample: Any, start: int, stop: int) -> int:
    """The end of the last whole character before `stop`."""
    lead = stop - 1
    while lead >= start and (sample[lead] & 0xC0) == 0x80:
        lead -= 1
    if lead < start or sample[lead] < 0xC0:
        return stop
    size = 2 if sample[lead] < 0xE0 else (3 if sample[lead] < 0xF0 else 4)
    return stop if lead + size <= stop else lead


@compiled
def _segment(data: Any, i: int, stop: int, room: Any, state: Any) -> tuple[int, int]:
    """Write the text from `i` to the next tag that begins a line into `room`: (where to go on, bytes written)."""
    n = 0
    while i < stop:
        byte = data[i]
        kind = _KINDS[byte]
        if kind == _OPEN:
            found, i = _markup(data, i, stop, state)
            if found == _NEW_LINE:
                break
            if found == _IN_LINE:
                byte, kind = np.uint8(32), _SPACE
        elif kind == _AMPERSAND:
            code, i = _entity(data, i, stop)
            if code >= 0x80 and code != 0xA0:
                n = _put(code, room, n)
                continue
            byte = np.uint8(32) if code == 0xA0 else np.uint8(code)
            kind = _KINDS[byte]
        else:
            i += 1
        if kind != _SPACE:
            room[n] = byte
            n += 1
        elif n and room[n - 1] != 32:
            room[n] = 32
            n += 1
    return i, n - 1 if n and room[n - 1] == 32 else n


@compiled
def _markup(data: Any, i: int, stop: int, state: Any) -> tuple[int, int]:
    """(what the < at `i` begins, where to go on)."""
    if i + 1 >= stop or state[_NO_TAG]:
        return _TEXT, i + 1
    first = data[i + 1]
    special = first in (33, 63)  # ! and ?
    if special and i + 3 < stop and data[i + 2] == 45 and data[i + 3] == 45:
        return _IN_LINE, _comment_end(data, i, stop, state)
    begin = i + 2 if first == 47 else i + 1
    name, end = _name(data, begin, stop)
    if end == begin and not special:
        return _TEXT, i + 1
    end = _tag_end(data, end, stop)
    if end < 0:
        state[_NO_TAG] = 1
        return _TEXT, i + 1
    if first != 47 and name in (_SCRIPT, _STYLE) and data[end - 2] != 47:  # to some parsers <script/> has no content
        close = _close(data, end, stop, name, state)
        if close >= 0 and not (_has(data, i, end, _LINKED) and _has(data, end, close, _BODY)):
            return _NEW_LINE, close
        state[_READ_UNTIL] = max(state[_READ_UNTIL], close)
    return (_IN_LINE if special or _find(_INLINE_KEYS, _INLINE_NUMBERS, name) >= 0 else _NEW_LINE), end


@compiled
def _name(data: Any, i: int, stop: int) -> tuple[Any, int]:
    """(hash of the name at `i` in lower case, its end); it begins with a letter."""
    value, begin = np.uint64(0), i
    while i < stop and (_KINDS[data[i]] == _LETTER or (i > begin and _KINDS[data[i]] == _DIGIT)):
        value = value * BASE + np.uint64((data[i] | 32) + 1)
        i += 1
    return value, i


@compiled
def _tag_end(data: Any, i: int, stop: int) -> int:
    """Behind the > that ends the tag, not one within a quoted value; -1 if there is none."""
    while i < stop:
        byte = data[i]
        i += 1
        if byte == 62:
            return i
        if byte == 61:
            while i < stop and _KINDS[data[i]] == _SPACE:
                i += 1
            if i < stop and data[i] in (34, 39):
                close = _next(data, i + 1, stop, data[i])
                i = close + 1 if close < stop else i + 1  # a quote that is never closed is none
    return -1


@compiled
def _next(data: Any, i: int, stop: int, byte: Any) -> int:
    """Where the next `byte` is; `stop` if there is none."""
    while i < stop and data[i] != byte:
        i += 1
    return i


@compiled
def _comment_end(data: Any, i: int, stop: int, state: Any) -> int:
    """Behind the comment at `i`; one that never ends is text."""
    if not state[_NO_COMMENT]:
        for k in range(i + 4, stop):
            if data[k] == 62 and data[k - 1] == 45 and data[k - 2] == 45:
                return k + 1
            if data[k] == 62 and data[k - 1] == 33 and data[k - 2] == 45 and data[k - 3] == 45 and k > i + 6:
                return k + 1
        state[_NO_COMMENT] = 1
    return i + 4


@compiled
def _close(data: Any, i: int, stop: int, name: Any, state: Any) -> int:
    """Where the end tag of a script or style is; -1 if there is none, or it is within one that is read as text."""
    missing = _NO_SCRIPT if name == _SCRIPT else _NO_STYLE
    if state[missing] or i < state[_READ_UNTIL]:
        return -1
    while i < stop:
        i = _next(data, i, stop, 60)
        if i + 1 < stop and data[i + 1] == 47 and _name(data, i + 2, stop)[0] == name:
            return i
        i += 1
    state[missing] = 1
    return -1


@compiled
def _has(data: Any, start: int, stop: int, word: Any) -> bool:
    for i in range(start, stop - word.shape[0] + 1):
        k = 0
        while k < word.shape[0] and data[i + k] == word[k]:
            k += 1
        if k == word.shape[0]:
            return True
    return False


@compiled
def _entity(data: Any, i: int, stop: int) -> tuple[int, int]:
    """(code point of the reference at `i`, where to go on); of anything else, the ampersand itself."""
    end = i + 1
    while end < stop and end - i <= LONGEST_ENTITY and (_KINDS[data[end]] <= _DIGIT or (data[end] == 35)):
        end += 1
    if end >= stop or data[end] != 59 or end == i + 1:
        return 38, i + 1
    if data[i + 1] == 35:
        return _number(data, i + 2, end), end + 1
    value = np.uint64(0)
    for k in range(i + 1, end):
        value = value * BASE + np.uint64(data[k] + 1)
    slot = _find(_ENTITY_KEYS, _ENTITY_CODES, value)
    return (_ENTITY_CODES[slot], end + 1) if slot >= 0 else (38, i + 1)


@compiled
def _number(data: Any, i: int, end: int) -> int:
    """The code point of a number, decimal or with an x before it hexadecimal; a blank for what is no character."""
    base = 10
    if i < end and (data[i] | 32) == 120:
        base, i = 16, i + 1
    value = 0
    for k in range(i, end):
        digit = data[k] - 48 if data[k] <= 57 else (data[k] | 32) - 87
        if digit < 0 or digit >= base:
            return 32
        value = value * base + digit
    # 128 to 159 are the punctuation of Windows-1252.
    return value if value < 0x80 or 0xA0 <= value < 0xD800 or 0xDFFF < value < 0x110000 else 32


@compiled
def _put(code: int, room: Any, n: int) -> int:
    """Write a code point of two to four bytes; never more than the reference to it took."""
    size = 2 if code < 0x800 else (3 if code < 0x10000 else 4)
    for k in range(size - 1, 0, -1):
        room[n + k] = 0x80 | (code & 0x3F)
        code >>= 6
    room[n] = code | (0xC0 if size == 2 else (0xE0 if size == 3 else 0xF0))
    return n + size


@compiled
def _count(room: Any, size: int, forms: Any, seen: Any) -> tuple[int, int]:
    """(runs of letters or of digits, words of `forms` that were not seen before).

    Letters are those of ASCII and of two bytes of UTF-8 from U+00C0 on; of other characters beyond ASCII each is a run.
    """
    runs, found, i = 0, 0, 0
    while i < size:
        byte, begin, value = room[i], i, np.uint64(0)
        while i < size and (_KINDS[room[i]] == _LETTER or 0xC3 <= room[i] < 0xE0):
            for _ in range(1 if room[i] < 0x80 else 2):
                value = value * BASE + np.uint64(room[i] + 1)
                i += 1
        if i > begin:
            slot = _find(forms.keys, forms.words, value)
            if slot >= 0 and not seen[forms.words[slot]]:
                seen[forms.words[slot]] = True
                found += 1
        elif _KINDS[byte] == _DIGIT:
            while i < size and _KINDS[room[i]] == _DIGIT:
                i += 1
        else:
            i += 1
            if byte < 0xC0:  # punctuation of ASCII, or a byte within a character
                continue
        runs += 1
    return runs, found


@compiled
def _find(keys: Any, numbers: Any, value: Any) -> int:
    """The slot of a hash, or -1."""
    mask = keys.shape[0] - 1
    slot = np.int64(value >> np.uint64(32)) & mask
    while numbers[slot] >= 0:
        if keys[slot] == value:
            return int(slot)
        slot = (slot + 1) & mask
    return -1
