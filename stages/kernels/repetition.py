"""Lines, paragraphs and n-grams that come more than once. What has the same hash is compared byte by byte."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from stages.kernels import compiled
from stages.kernels.chunks import ChunkTable, Texts
from stages.kernels.utf8 import BASE, mixed, n_chars, n_slots, same, strip
from stages.kernels.words import DONE, Chunks, Unknown, Words, gram_hash, split


class Repeated(NamedTuple):
    """Elements of a text, those that were met before, and the code points of these."""

    n: int
    n_repeated: int
    n_chars: int


class Text(NamedTuple):
    """What repeats in a text. Lengths in code points."""

    n_chars: int
    paragraphs: Repeated
    lines: Repeated
    top: list[int]  # for each n: of the most frequent n-gram, joined by blanks, times its count
    duplicated: list[int]  # for each n: of n-grams met before


class Found(NamedTuple):
    """The same of all texts, one row each."""

    n_chars: Any
    paragraphs: Any
    lines: Any
    top: Any
    duplicated: Any


def count_repetition(
    table: ChunkTable, array: pa.Array, top: tuple[int, ...], duplicated: tuple[int, ...]
) -> list[Text]:
    """What repeats in each text of `array`, with n-grams of `top` and `duplicated` words."""
    n = len(array)
    found = Found(*(np.zeros(shape, np.int64) for shape in (n, (n, 3), (n, 3), (n, len(top)), (n, len(duplicated)))))
    sizes = (np.array(top, np.int64), np.array(duplicated, np.int64))

    def kernel(texts: Texts, rows: Any, status: Any, chunks: Chunks, words: Words, unknown: Unknown) -> None:
        _count(texts, rows, status, chunks, words, unknown, *sizes, found)

    def one_text(texts: Texts, row: int, words: Words, n_words: int) -> None:
        _count_text(texts, row, words, n_words, *sizes, found)

    table.count(kernel, one_text, array)
    rows = zip(*(values.tolist() for values in found), strict=True)
    return [Text(chars, Repeated(*para), Repeated(*lines), *grams) for chars, para, lines, *grams in rows]


@compiled
def _count(
    texts: Any, rows: Any, status: Any, chunks: Any, words: Any, unknown: Any, top: Any, duplicated: Any, found: Any
) -> None:
    for row in rows:
        status[row], n = split(texts.data, texts.starts[row], texts.stops[row], chunks, words, unknown)
        if status[row] == DONE:
            _count_text(texts, row, words, n, top, duplicated, found)


@compiled
def _count_text(texts: Any, row: int, words: Any, n: int, top: Any, duplicated: Any, found: Any) -> None:
    data, start, stop = texts.data, texts.starts[row], texts.stops[row]
    found.n_chars[row] = n_chars(data, start, stop)
    first, last = strip(data, start, stop)
    repeated_elements(data, first, last, 2, found.paragraphs[row])
    repeated_elements(data, start, stop, 1, found.lines[row])
    slots = np.empty(n_slots(n), np.int32)
    counts = np.empty(n, np.int32)
    for k in range(len(top)):
        found.top[row, k] = top_n_gram(words, n, top[k], slots, counts)
    for k in range(len(duplicated)):
        found.duplicated[row, k] = repeated_n_grams(words, n, duplicated[k], slots)


@compiled
def repeated_elements(data: Any, start: int, stop: int, least: int, result: Any) -> None:
    """Fill `result`: elements between runs of at least `least` line feeds, those met before, their code points."""
    n = 1
    for i in range(start, stop):
        n += data[i] == 10
    slots = np.zeros(n_slots(n), np.int32)
    mask = np.uint64(len(slots) - 1)
    begins, ends, hashes = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.uint64)
    n, i, begin = 0, start, start
    while i <= stop:
        run = 0
        while i + run < stop and data[i + run] == 10:
            run += 1
        if i < stop and run < least:
            i += max(run, 1)
            continue
        begins[n], ends[n], hashes[n] = begin, i, _hash(data, begin, i)
        slot = hashes[n] & mask
        while slots[slot] != 0:
            k = slots[slot] - 1
            if (
                hashes[k] == hashes[n]
                and ends[k] - begins[k] == i - begin
                and same(data, begins[k], data, begin, i - begin)
            ):
                result[1] += 1
                result[2] += n_chars(data, begin, i)
                break
            slot = (slot + np.uint64(1)) & mask
        if slots[slot] == 0:
            slots[slot] = n + 1
        n += 1
        i += run if run else 1
        begin = i
    result[0] = n


@compiled
def _hash(data: Any, start: int, stop: int) -> Any:
    value = np.uint64(0)
    for i in range(start, stop):
        value = value * BASE + np.uint64(data[i] + 1)
    return mixed(value, stop - start)


@compiled
def top_n_gram(words: Any, n_words: int, n: int, slots: Any, counts: Any) -> int:
    """Code points of the most frequent n-gram (the first of equals), joined by blanks, times its count."""
    mask = np.uint64(len(slots) - 1)
    slots[:] = 0
    for i in range(n_words - n + 1):
        counts[i] = 0
        slot = np.uint64(gram_hash(words, i, n)) & mask
        while slots[slot] != 0 and not _same_words(words, slots[slot] - 1, i, n):
            slot = (slot + np.uint64(1)) & mask
        if slots[slot] == 0:
            slots[slot] = i + 1
        counts[slots[slot] - 1] += 1
    best = -1
    for i in range(n_words - n + 1):
        if best < 0 or counts[i] > counts[best]:
            best = i
    return 0 if best < 0 else (words.chars[best + n] - words.chars[best] + n - 1) * counts[best]


@compiled
def _same_words(words: Any, i: int, k: int, n: int) -> bool:
    """Whether the n-grams at `i` and `k` are the same word by word."""
    a, b = words.starts[i], words.starts[k]
    for w in range(1, n + 1):
        if words.starts[i + w] - a != words.starts[k + w] - b:
            return False
    return same(words.joined, a, words.joined, b, words.starts[i + n] - a)


@compiled
def repeated_n_grams(words: Any, n_words: int, n: int, slots: Any) -> int:
    """Code points of n-grams met before, compared without the gaps between their words.

    The scan goes on behind an n-gram it knows, and by one word otherwise.
    """
    mask = np.uint64(len(slots) - 1)
    slots[:] = 0
    total, i = 0, 0
    while i < n_words - n + 1:
        begin, size = words.starts[i], words.starts[i + n] - words.starts[i]
        slot = np.uint64(gram_hash(words, i, n)) & mask
        known = False
        while slots[slot] != 0:
            k = slots[slot] - 1
            if words.starts[k + n] - words.starts[k] == size and same(
                words.joined, words.starts[k], words.joined, begin, size
            ):
                known = True
                break
            slot = (slot + np.uint64(1)) & mask
        if known:
            total += words.chars[i + n] - words.chars[i]
            i += n
        else:
            slots[slot] = i + 1
            i += 1
    return total
