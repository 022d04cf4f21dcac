"""Windows of words in UTF-8 texts, and which of them stood somewhere before: the loops under substring dedup.

Words are folded code points as in stages/kernels/fold.py, but digits stay what they are, and what stands between two of
them separates: tables of different numbers are different texts. A word has two hashes, made with different factors; so
has a window, a polynomial of its words' hashes modulo 2^64, mixed. Two windows are taken for equal if both are: 128
bits. Places are code points of the text.
"""

from typing import Any, NamedTuple

import numpy as np

from stages.kernels import compiled
from stages.kernels.fold import CONTINUATION_START, DROP, SINGLE, ZERO, decode, fold_of
from stages.kernels.minhash import mix

_SEEDS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)
_FACTORS = np.array([0x9FB21C651E98DF25, 0xD6E8FEB86659FD93], np.uint64)  # a letter's place in a word
_BASES = np.array([0xA0761D6478BD642F, 0xE7037ED1A0B428DB], np.uint64)  # a word's place in a window
_ONE = np.uint64(1)
NOBODY = -1


class Regions(NamedTuple):
    """Where windows are wanted: those of text i are numbers offsets[i]..offsets[i + 1], in order, not overlapping."""

    offsets: Any  # int64
    starts: Any  # int64
    ends: Any  # int64


class Runs(NamedTuple):
    """Neighbouring windows of one text with one key: `place` is the number of the first word."""

    text: Any  # int64
    key: Any  # uint64
    place: Any  # int64
    start: Any  # uint32, where the first window begins
    end: Any  # uint32, where the last one ends
    stop: Any  # int64, how many windows there are up to the last of this run


class Windows(NamedTuple):
    """The windows of all runs: two hashes, first code point and the one behind the last."""

    first: Any  # uint64
    second: Any  # uint64
    start: Any  # uint32
    end: Any  # uint32


def most_words(n_bytes: int) -> int:
    """Words that so many bytes may hold: two bytes a word, since a word without a separator takes three."""
    return n_bytes // 2 + 1


def room_for(n_bytes: int, whole: bool) -> tuple[Runs, Windows]:
    """Room for the runs in texts of so many bytes, and their windows if `whole`. Untouched pages take no memory."""
    n = most_words(n_bytes)
    types = (np.int64, np.uint64, np.int64, np.uint32, np.uint32, np.int64)
    m = n if whole else 0
    windows = Windows(*(np.empty(m, type_) for type_ in (np.uint64, np.uint64, np.uint32, np.uint32)))
    return Runs(*(np.empty(n, type_) for type_ in types)), windows


@compiled
def read_words(data: Any, i: Any, end: Any, fold: Any, hashes: Any, places: Any) -> Any:
    """Fill hashes[:, n] and places[n] of each word of data[i:end], places[-1] with the text's length; how many words.

    `places` has room for one more than there are words.
    """
    n, at, inside = 0, 0, False
    x, y = _SEEDS[0], _SEEDS[1]
    while i < end:
        if data[i] < CONTINUATION_START:
            point = np.uint32(data[i])
            code = fold[data[i]]
            i += 1
        else:
            point, i = decode(data, i, end)
            code = fold_of(point, fold)
        if ZERO <= code < SINGLE:
            if code == ZERO:
                code = np.uint32(point)
            if not inside:
                places[n], inside = at, True
            x = (x ^ np.uint64(code)) * _FACTORS[0]
            y = (y ^ np.uint64(code)) * _FACTORS[1]
        elif code != DROP:
            if inside:
                hashes[0, n], hashes[1, n] = mix(x), mix(y)
                n, inside, x, y = n + 1, False, _SEEDS[0], _SEEDS[1]
            if code >= SINGLE:
                places[n] = at
                hashes[0, n] = mix((x ^ np.uint64(code)) * _FACTORS[0])
                hashes[1, n] = mix((y ^ np.uint64(code)) * _FACTORS[1])
                n += 1
        at += 1
    if inside:
        hashes[0, n], hashes[1, n] = mix(x), mix(y)
        n += 1
    places[n] = at
    return n


@compiled
def roll(words: Any, n: Any, size: Any, base: Any, rolled: Any) -> None:
    """Fill `rolled` with the hash of each run of `size` of the first `n` words; there are n - size + 1."""
    out, value = _ONE, np.uint64(0)
    for i in range(size):
        out *= base
        value = value * base + words[i]
    rolled[0] = mix(value)
    for i in range(size, n):
        value = value * base + words[i] - words[i - size] * out
        rolled[i - size + 1] = mix(value)


@compiled
def winnow_all(  # noqa: PLR0912 - one pass over the windows: least part, region, run
    data: Any, offsets: Any, fold: Any, size: Any, regions: Any, room: Any, places: Any, runs: Any, windows: Any
) -> Any:
    """Fill `runs`, and `windows` if there is room for any, from the texts data[offsets[i]:offsets[i + 1]]; how many.

    `size` words make a window. Its key is the least hash of its parts of (size + 1) // 2 words: windows of equal words
    have equal keys whatever stands around them, and neighbours mostly share theirs. A run ends after `size` windows, so
    that two equal windows of a text that do not overlap are in two runs. Windows that are not within one of `regions`
    are left out. `room`, uint64 of shape (5, n), and `places`, uint32 of n + 1, are room for work.
    """
    gram = (size + 1) // 2
    span = size - gram + 1  # parts of a window
    whole = windows.first.shape[0] > 0
    n_runs, n_windows = 0, 0
    for text in range(offsets.shape[0] - 1):
        region, last_region = regions.offsets[text], regions.offsets[text + 1]
        if region == last_region:
            continue
        n = read_words(data, offsets[text], offsets[text + 1], fold, room, places)
        if n < size:
            continue
        parts = room[2]
        roll(room[0], n, gram, _BASES[0], parts)
        if whole:
            roll(room[0], n, size, _BASES[0], room[3])
            roll(room[1], n, size, _BASES[1], room[4])
        least, key, length = -1, np.uint64(0), 0  # where the least part is; key and windows of the run that is open
        for j in range(n - size + 1):
            last = j + span - 1
            if least < j:
                least = j
                for i in range(j + 1, last + 1):
                    if parts[i] <= parts[least]:
                        least = i
            elif parts[last] <= parts[least]:
                least = last
            start, end = places[j], places[j + size]
            while region < last_region and regions.ends[region] < end:
                region += 1
            if region == last_region:
                break
            if regions.starts[region] > start:
                length = 0
                continue
            if length in (0, size) or parts[least] != key:
                key, length = parts[least], 0
                runs.text[n_runs], runs.key[n_runs], runs.place[n_runs], runs.start[n_runs] = text, key, j, start
                n_runs += 1
            length += 1
            if whole:
                windows.first[n_windows], windows.second[n_windows] = room[3, j], room[4, j]
                windows.start[n_windows], windows.end[n_windows] = start, end
            n_windows += 1
            runs.end[n_runs - 1], runs.stop[n_runs - 1] = end, n_windows
    return n_runs, n_windows


@compiled
def find_repeats(
    order: Any, document: Any, place: Any, offsets: Any, first: Any, second: Any, size: Any, found: Any
) -> Any:
    """Fill `found` with the pieces that stood somewhere before: (run, its windows from and to, run of the source).

    Runs are visited in `order`, that of their documents and places; run r has windows offsets[r]..offsets[r + 1], whose
    hashes are `first` and `second`, and `place` of its first. A window is a repeat if one of equal hashes came before
    that does not overlap it. The source of it is the first of all. Returns how many pieces there are.

    Open addressing: a slot holds the first window of its hashes and that window's run.
    """
    slots = 16
    while slots < 2 * first.shape[0]:
        slots *= 2
    holder, holders_run = np.full(slots, NOBODY, np.int64), np.empty(slots, np.int32)
    n = 0
    for run in order:
        source = NOBODY  # of the window before this one
        for window in range(offsets[run], offsets[run + 1]):
            slot = np.int64(first[window] & np.uint64(slots - 1))
            there = holder[slot]
            while there != NOBODY and (first[there] != first[window] or second[there] != second[window]):
                slot = (slot + 1) & (slots - 1)
                there = holder[slot]
            if there == NOBODY:
                holder[slot], holders_run[slot] = window, run
                source = NOBODY
                continue
            owner = holders_run[slot]
            ahead = place[run] + window - offsets[run] - place[owner] - there + offsets[owner]
            if document[owner] == document[run] and ahead < size:
                source = NOBODY
            elif source != NOBODY and document[owner] == document[source]:
                found[n - 1, 2] = window
            else:
                source = owner
                found[n, 0], found[n, 1], found[n, 2], found[n, 3] = run, window, window, owner
                n += 1
    return n
