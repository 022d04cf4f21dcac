"""The shapes of chunks a process has met, as the kernels read them, and the loop that teaches them new ones."""

import threading
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.kernels import compiled
from stages.kernels.shapes import MAX_BYTES, example_of, hashes_of, n_symbols, shape_of, words_in
from stages.kernels.utf8 import hash_of, n_slots
from stages.kernels.words import (
    ALPHABETIC,
    BEGINS,
    DONE,
    ENDS,
    FULL,
    INSIDE,
    PYTHON,
    SYMBOL,
    TIED,
    UNKNOWN,
    Chunks,
    Unknown,
    Words,
    place,
)
from stages.text.punctuation import PUNCTUATION
from stages.text.words import Splitter, splitter

MAX_ENTRIES = 1 << 18
MAX_KEY_BYTES = 1 << 23
MAX_WORDS = 1 << 20  # all three are room that is only touched when used: 30 MB in all
MAX_UNKNOWN = 1 << 14
KEPT_WORDS = 1 << 17  # a scratch for more words is given back: one for as many words as a page of 100 MB has is 2 GB


class Texts(NamedTuple):
    """The texts of an Arrow array: text i is `data[starts[i]:stops[i]]`; a null is an empty one."""

    data: Any  # uint8
    starts: Any  # int64
    stops: Any  # int64


# Counts or judges texts[rows]: (texts, rows, statuses to fill, chunks, words, unknown).
Kernel = Callable[[Texts, Any, Any, Chunks, Words, Unknown], None]
# Counts one text whose words are given: (texts, row, words, number of words).
OneText = Callable[[Texts, int, Words, int], None]


def texts_of(array: pa.Array) -> Texts:
    """The texts of an array of `large_string`, in place."""
    if array.type != pa.large_string():
        array = array.cast(pa.large_string())
    _, offsets, data = array.buffers()
    if not len(array):
        return Texts(_fixed(np.empty(0, np.uint8)), np.empty(0, np.int64), np.empty(0, np.int64))
    places = np.frombuffer(offsets, np.int64, len(array) + 1, array.offset * 8)
    starts, stops = places[:-1].copy(), places[1:].copy()
    if array.null_count:
        nulls = pc.is_null(array).to_numpy(zero_copy_only=False)
        stops[nulls] = starts[nulls]
    return Texts(_fixed(np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)), starts, stops)


class ChunkTable:
    """The shapes of one language's chunks and their words. One kernel at a time uses it; stages of a process share it.

    Bounded in entries, bytes and words: when it is full it is emptied, and frequent shapes are back at once.
    """

    def __init__(self, split: Splitter, max_entries: int = MAX_ENTRIES, max_unknown: int = MAX_UNKNOWN) -> None:
        self._split = split
        self._max_entries = max_entries
        self._lock = threading.Lock()
        self._chunks = Chunks(
            slots=np.zeros(2 * max_entries, np.int32),
            hashes=np.empty(max_entries, np.uint64),
            keys=np.empty(MAX_KEY_BYTES, np.uint8),
            key_starts=np.zeros(max_entries + 1, np.int64),
            word_starts=np.zeros(max_entries + 1, np.int64),
            sizes=np.empty(MAX_WORDS, np.int32),
            lengths=np.empty(MAX_WORDS, np.int32),
            n_runs=np.empty(MAX_WORDS, np.int32),
            flags=np.empty(MAX_WORDS, np.uint8),
            ties=np.empty(max_entries, np.uint8),
            effects=np.empty((max_entries, 4), np.int32),
            plain=split.plain_letters,
            named=hashes_of(split.named_runs),
            shape=np.empty(MAX_BYTES, np.uint8),
            extras=np.empty(MAX_BYTES, np.int32),
        )
        places, sizes, hashes = (np.empty(max_unknown, kind) for kind in (np.int64, np.int64, np.uint64))
        self._unknown = Unknown(places, sizes, hashes, np.zeros(n_slots(max_unknown), np.int32), np.zeros(1, np.int64))
        self._words = scratch(KEPT_WORDS, 0)
        self._clear()

    def __len__(self) -> int:
        return self._n

    def count(self, kernel: Kernel, one_text: OneText, array: pa.Array) -> int:
        """Let `kernel` count every text of `array`; where it cannot tell the words, `one_text` with the splitter's.

        How many texts those were.
        """
        left = self.run(kernel, array)
        texts = texts_of(array)
        for row in left.tolist():
            words = self._split.words(array[row].as_py() or "")
            with self._lock:
                self._place(words)
                one_text(texts, row, self._words, len(words))
                self._give_back()
        return len(left)

    def run(self, kernel: Kernel, array: pa.Array) -> Any:
        """Let `kernel` judge every text of `array`, again and again until it knows all chunks.

        The texts (positions in `array`) that are left for Python: with a chunk whose words depend on the chunks beside
        it, a phrase across chunks, a very long chunk, or more new chunks than there is room for.
        """
        texts = texts_of(array)
        status = np.full(len(array), DONE, np.uint8)
        for phrase in self._split.phrases:
            status[pc.match_substring(array, phrase).fill_null(False).to_numpy(zero_copy_only=False)] = PYTHON
        rows = np.flatnonzero(status == DONE)
        with self._lock:
            self._make_room(int((texts.stops - texts.starts).max(initial=0)), len(self._words.flags))
            first = -1
            while len(rows):
                if self._unknown.n[0]:
                    self._unknown.slots[:] = self._unknown.n[0] = 0
                kernel(texts, rows, status, self._chunks, self._words, self._unknown)
                self._learn(texts.data)
                rows = rows[(status[rows] == UNKNOWN) | (status[rows] == FULL)]
                if len(rows) and status[rows[0]] == FULL:
                    self._make_room(len(self._words.joined), 4 * len(self._words.flags))
                    first = -1
                elif len(rows) and rows[0] == first:
                    status[first] = PYTHON
                    rows = rows[1:]
                    first = -1
                else:
                    first = rows[0] if len(rows) else -1
            self._give_back()
        return np.flatnonzero(status == PYTHON)

    def _make_room(self, n_bytes: int, n_words: int) -> None:
        if n_bytes > len(self._words.joined) or n_words > len(self._words.flags):
            self._words = scratch(n_words, max(n_bytes, len(self._words.joined)))

    def _give_back(self) -> None:
        if len(self._words.flags) > KEPT_WORDS or len(self._words.joined) > 16 * KEPT_WORDS:
            self._words = scratch(KEPT_WORDS, 0)

    def _place(self, words: list[str]) -> None:
        """Put words into the scratch."""
        joined = "".join(words).encode()
        self._make_room(len(joined), len(words) + 1)
        different = {word: i for i, word in enumerate(dict.fromkeys(words))}  # a run of one mark is a word a character
        each = np.fromiter(map(different.__getitem__, words), np.int64, len(words))
        sizes, lengths, flags = (
            np.array([*map(of, different)], kind)[each]
            for of, kind in ((_n_bytes, np.int64), (len, np.int64), (_flags, np.uint8))
        )
        place(_fixed(np.frombuffer(joined, np.uint8)), sizes, lengths, flags, self._words)

    def _clear(self) -> None:
        self._n = self._n_bytes = self._n_words = 0
        self._chunks.slots[:] = 0
        self._add([key.encode() for key in self._split.special_letters])

    def _learn(self, data: Any) -> None:
        """Add the unknown shapes that the kernel met, as far as there is room."""
        n = int(self._unknown.n[0])
        if not n:
            return
        room = np.empty(int(self._unknown.sizes[:n].sum()), np.uint8)
        ends = np.zeros(n + 1, np.int64)
        _shapes(_fixed(data), self._unknown, self._chunks, room, ends)
        joined = room.tobytes()
        keys = list(dict.fromkeys(joined[start:end] for start, end in pairwise(ends.tolist())))
        if self._n_fitting(keys) < len(keys):
            self._clear()
        self._add(keys[: self._n_fitting(keys)])

    def _n_fitting(self, keys: list[bytes]) -> int:
        """How many of `keys` there is room for: none has more words than bytes."""
        room = min(MAX_KEY_BYTES - self._n_bytes, MAX_WORDS - self._n_words)
        n = sum(n_bytes <= room for n_bytes in accumulate(map(len, keys)))
        return min(n, self._max_entries - self._n)

    def _add(self, keys: list[bytes]) -> None:
        """Add shapes that are not in the table, with the words of their examples."""
        c, first, n_words = self._chunks, self._n, self._n_words
        words: list[str] = []
        flags: list[int] = []
        for e, key in enumerate(keys, first):
            shape = key.decode(errors="surrogateescape")
            chunk = self._split.chunk(example_of(shape))
            inside = words_in(shape, chunk.words)
            if inside is not None:
                words += inside
                flags += map(_flags, chunk.words)
            c.effects[e] = chunk.effect
            c.ties[e] = TIED * chunk.tied + BEGINS * chunk.begins + ENDS * chunk.ends + INSIDE * (inside is None)
            c.word_starts[e + 1] = n_words + len(words)
        new = slice(n_words, n_words + len(words))
        c.sizes[new], c.lengths[new], c.n_runs[new] = ([*map(of, words)] for of in (_n_bytes, len, n_symbols))
        c.flags[new] = flags
        joined = b"".join(keys)
        c.keys[self._n_bytes : self._n_bytes + len(joined)] = np.frombuffer(joined, np.uint8)
        self._n, self._n_bytes, self._n_words = first + len(keys), self._n_bytes + len(joined), new.stop
        c.key_starts[first + 1 : self._n + 1] = c.key_starts[first] + np.cumsum([*map(len, keys)], dtype=np.int64)
        _insert(c, first, self._n)


@lru_cache(maxsize=8)
def chunk_table(language: str) -> ChunkTable:
    """The process's table for `language`."""
    return ChunkTable(splitter(language))


def scratch(n_words: int, n_bytes: int) -> Words:
    """Room for the words of a text of at most `n_bytes` bytes, and less than `n_words` words."""
    kinds = (np.int64, np.int64, np.uint64, np.uint64, np.uint8)
    return Words(np.empty(n_bytes, np.uint8), *(np.empty(n_words, kind) for kind in kinds))


@compiled
def _shapes(data: Any, unknown: Any, chunks: Any, joined: Any, ends: Any) -> None:
    """Write the shapes of the unknown chunks side by side, and where each ends."""
    end = 0
    for i in range(unknown.n[0]):
        start, size = unknown.starts[i], unknown.sizes[i]
        n, n_replaced = size, 0
        if chunks.plain:
            n, n_replaced = shape_of(data, start, size, chunks.named, chunks.shape, chunks.extras)
        for k in range(n):
            joined[end + k] = chunks.shape[k] if n_replaced else data[start + k]
        end += n
        ends[i + 1] = end


@compiled
def _insert(chunks: Any, first: int, stop: int) -> None:
    """Enter the keys of the entries from `first` on into the slots."""
    mask = np.uint64(len(chunks.slots) - 1)
    for e in range(first, stop):
        chunks.hashes[e] = hash_of(chunks.keys, chunks.key_starts[e], chunks.key_starts[e + 1])
        slot = chunks.hashes[e] & mask
        while chunks.slots[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        chunks.slots[slot] = e + 1


def _n_bytes(word: str) -> int:
    return len(word.encode(errors="surrogateescape"))


def _flags(word: str) -> int:
    return SYMBOL * PUNCTUATION.issuperset(word) + ALPHABETIC * any(map(str.isalpha, word))


def _fixed(array: Any) -> Any:
    """`array` as read-only, as Arrow's buffers are: a kernel is compiled once for each of the two."""
    array.flags.writeable = False
    return array
