"""Words, lines and symbols of a text, as the rules of prose count them."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from stages.kernels import compiled
from stages.kernels.chunks import ChunkTable, Texts
from stages.kernels.utf8 import break_at, hash_of, same, strip
from stages.kernels.words import ALPHABETIC, DONE, SYMBOL, Chunks, Unknown, Words, gram_hash, split

N_WORDS, N_NO_SYMBOLS, N_CHARS, N_ALPHABETIC, N_STOP_WORDS = 0, 1, 2, 3, 4
N_HASHES, N_ELLIPSES, N_LINES, N_BULLETS, N_ENDS = 5, 6, 7, 8, 9


class Counts(NamedTuple):
    """The counts of one text, in the order of the numbers above."""

    words: int  # punctuation included
    no_symbols: int  # words that are not all punctuation
    chars: int  # code points of those
    alphabetic: int  # words with a letter
    stop_words: int  # different ones
    hashes: int  # #
    ellipses: int  # ... and …
    lines: int
    bullets: int  # lines that begin with one
    ends: int  # lines that end in an ellipsis


class StopWords(NamedTuple):
    """Words to look for: word i is `data[starts[i]:starts[i + 1]]`, its hash `hashes[i]`."""

    data: Any  # uint8
    starts: Any  # int64
    hashes: Any  # uint64


def stop_words_of(words: tuple[str, ...]) -> StopWords:
    encoded = [word.encode() for word in dict.fromkeys(words)]
    starts = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    data = np.frombuffer(b"".join(encoded) or b"\0", np.uint8)
    hashes = [hash_of(data, start, stop) for start, stop in pairwise(starts)]
    return StopWords(data, starts, np.array(hashes, np.uint64))


def count_quality(table: ChunkTable, array: pa.Array, stop_words: StopWords) -> list[Counts]:
    """The counts for each text of `array`."""
    found = np.zeros((len(array), len(Counts._fields)), np.int64)

    def kernel(texts: Texts, rows: Any, status: Any, chunks: Chunks, words: Words, unknown: Unknown) -> None:
        _count(texts, rows, status, chunks, words, unknown, stop_words, found)

    def one_text(texts: Texts, row: int, words: Words, n_words: int) -> None:
        _count_text(texts, row, words, n_words, stop_words, found)

    table.count(kernel, one_text, array)
    return [Counts(*row) for row in found.tolist()]


@compiled
def _count(
    texts: Any, rows: Any, status: Any, chunks: Any, words: Any, unknown: Any, stop_words: Any, found: Any
) -> None:
    for row in rows:
        status[row], n = split(texts.data, texts.starts[row], texts.stops[row], chunks, words, unknown)
        if status[row] == DONE:
            _count_text(texts, row, words, n, stop_words, found)


@compiled
def _count_text(texts: Any, row: int, words: Any, n: int, stop_words: Any, found: Any) -> None:
    _words(words, n, stop_words, np.zeros(len(stop_words.hashes), np.bool_), found[row])
    _lines(texts.data, texts.starts[row], texts.stops[row], found[row])


@compiled
def _words(words: Any, n: int, stop_words: Any, seen: Any, found: Any) -> None:
    found[N_WORDS] = n
    for i in range(n):
        if words.flags[i] & ALPHABETIC:
            found[N_ALPHABETIC] += 1
        if words.flags[i] & SYMBOL == 0:
            found[N_NO_SYMBOLS] += 1
            found[N_CHARS] += words.chars[i + 1] - words.chars[i]
        value = gram_hash(words, i, 1)
        for s in range(len(seen)):
            if stop_words.hashes[s] == value and not seen[s]:
                begin, size = stop_words.starts[s], stop_words.starts[s + 1] - stop_words.starts[s]
                seen[s] = words.starts[i + 1] - words.starts[i] == size and same(
                    stop_words.data, begin, words.joined, words.starts[i], size
                )
                found[N_STOP_WORDS] += seen[s]


@compiled
def _lines(data: Any, start: int, stop: int, found: Any) -> None:
    i = begin = start
    dots = 0
    while i < stop:
        byte = data[i]
        found[N_HASHES] += byte == 35
        dots = dots + 1 if byte == 46 else 0
        if dots == 3 or (byte == 0xE2 and data[i + 1] == 0x80 and data[i + 2] == 0xA6):
            found[N_ELLIPSES] += 1
            dots = 0
        size = break_at(data, i, stop)
        if size:
            _line(data, begin, i, found)
            begin = i = i + size
        else:
            i += 1
    if begin < stop:
        _line(data, begin, stop, found)


@compiled
def _line(data: Any, start: int, stop: int, found: Any) -> None:
    found[N_LINES] += 1
    start, stop = strip(data, start, stop)
    if start == stop:
        return
    if data[start] == 45 or (data[start] == 0xE2 and data[start + 1] == 0x80 and data[start + 2] == 0xA2):
        found[N_BULLETS] += 1
    if stop - start >= 3:
        a, b, c = data[stop - 3], data[stop - 2], data[stop - 1]
        if (a == 46 and b == 46 and c == 46) or (a == 0xE2 and b == 0x80 and c == 0xA6):
            found[N_ENDS] += 1
