"""A fastText classifier's file, read into arrays that a kernel can walk (the format of fastText 0.9.2).

That takes supervised models with softmax over all labels or over a tree of them, n-grams of characters and none of
words: lid.176 (.bin and .ftz), and by their published training settings GlotLID and OpenLID. For those the kernel gives
the labels and scores of fastText's own `predict`. A dense matrix stays in the file, mapped, so that all workers of a
machine share the memory it takes.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

MAGIC, VERSIONS = 793712314, (11, 12)
KINDS = {1: "word vectors (cbow)", 2: "word vectors (skipgram)", 3: "a classifier"}
SUPERVISED = 3
HIERARCHICAL_SOFTMAX, SOFTMAX = 1, 3  # losses that the kernel evaluates; negative sampling and one-vs-all it does not
LABEL = "__label__"
CENTROIDS = 256  # of a product quantizer
MAPPED_BYTES = 1 << 24  # a matrix as large stays in the file, even where it is not aligned there

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


class Arrays(NamedTuple):
    """What the kernel needs of a model, in the order of its arguments."""

    word_bytes: npt.NDArray[np.uint8]
    word_ends: Ints  # word i is word_bytes[word_ends[i - 1]:word_ends[i]]; labels follow the words
    slots: Ints  # of a word's 32-bit hash, open addressing: its number, or -1
    kept: Ints  # new number of each bucket of character n-grams, -1 if it was pruned; empty if none was
    rows: Floats  # of words, then of n-grams
    outputs: Floats  # of the labels, a column each; with a tree of labels, of its inner nodes, a row each
    left: Ints  # children of a node of the tree, whose labels are the nodes below n_labels; empty without a tree
    right: Ints
    sizes: Ints  # number of words, n-gram buckets, shortest and longest n-gram in code points


@dataclass(frozen=True)
class FastTextModel:
    """Labels, without their prefix, by number; and the arrays, None if the kernel does not evaluate such a model."""

    labels: tuple[str, ...]
    arrays: Arrays | None


class _Shape(NamedTuple):
    """The numbers of the header that matter."""

    version: int
    dim: int
    word_ngrams: int
    loss: int
    buckets: int
    minn: int
    maxn: int
    n_words: int
    n_labels: int
    n_kept: int  # buckets that a compressed model kept, -1 for all


class _Names(NamedTuple):
    """What a file says before its matrices: the words and behind them the labels, each with its count in training."""

    shape: _Shape
    words: list[bytes]
    counts: list[int]
    labels: tuple[str, ...]


class _Reader:
    def __init__(self, path: Path) -> None:
        if not path.stat().st_size:
            raise ValueError("the file is empty")
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._at = 0

    @property
    def start(self) -> bytes:
        return self._data[:16]

    def values(self, form: str) -> tuple[Any, ...]:
        at = self._step(struct.calcsize("<" + form), "the header")
        return struct.unpack_from("<" + form, self._data, at)

    def word(self) -> bytes:
        end = self._data.find(b"\0", self._at)
        at = self._step(end + 1 - self._at if end >= 0 else len(self._data), "the dictionary")
        return self._data[at:end]

    def array(self, dtype: str, n: int) -> npt.NDArray[Any]:
        at = self._step(n * np.dtype(dtype).itemsize, "a matrix")
        if at % np.dtype(dtype).itemsize and self._at - at < MAPPED_BYTES:
            return np.frombuffer(self._data[at : self._at], dtype)
        return np.frombuffer(self._data, dtype, n, at)

    def _step(self, n_bytes: int, where: str) -> int:
        at, end = self._at, self._at + n_bytes
        if n_bytes < 0 or end > len(self._data):
            raise ValueError(f"the file ends at byte {len(self._data)}, within {where} that ends at {end}")
        self._at = end
        return at


def read_model(path: Path) -> FastTextModel:
    """The model in the file `path`. `ValueError` if that is not a fastText classifier, or ends early."""
    try:
        return _read(_Reader(path))
    except ValueError as error:
        raise ValueError(f"{path} is not a fastText classifier that can be read: {error}") from error


def read_labels(path: Path) -> tuple[str, ...]:
    """The labels of the classifier in the file `path`, whose matrices are not read. `ValueError` as `read_model`."""
    try:
        return _read_names(_Reader(path)).labels
    except ValueError as error:
        raise ValueError(f"{path} is not a fastText classifier that can be read: {error}") from error


def _read_names(reader: _Reader) -> _Names:
    start = reader.start
    magic, version = reader.values("ii") if len(start) >= 8 else (0, 0)
    if magic != MAGIC or version not in VERSIONS:
        there = f"version {version}" if magic == MAGIC else f"it begins with {start!r}"
        raise ValueError(f"expected fastText's format of version 11 or 12, {there}")
    dim, _, _, _, _, word_ngrams, loss, kind, buckets, minn, maxn, _, _ = reader.values("12id")
    size, n_words, n_labels, _, n_kept = reader.values("iiiqq")
    shape = _Shape(version, dim, word_ngrams, loss, buckets, minn, maxn, n_words, n_labels, n_kept)
    if kind != SUPERVISED or n_labels < 1:
        raise ValueError(f"it holds {KINDS.get(kind, f'a model of kind {kind}')} with {max(n_labels, 0)} labels")
    if dim < 1 or n_words < 0 or size != n_words + n_labels:
        raise ValueError(f"it says {dim} dimensions, and {size} entries of which {n_words} words, {n_labels} labels")
    words: list[bytes] = []
    counts: list[int] = []
    for _ in range(size):
        words.append(reader.word())
        counts.append(reader.values("qb")[0])
    labels = tuple(word.decode().removeprefix(LABEL) for word in words[n_words:])
    return _Names(shape, words, counts, labels)


def _read(reader: _Reader) -> FastTextModel:
    shape, words, counts, labels = _read_names(reader)
    version, dim, word_ngrams, loss, buckets, minn, maxn, n_words, n_labels, n_kept = shape
    pairs = reader.array("<i4", 2 * max(n_kept, 0)).reshape(-1, 2)
    rows = _quantized(reader) if reader.values("?")[0] else _dense(reader)
    quantized = reader.values("?")[0]
    outputs = _quantized(reader) if quantized else _dense(reader)
    if rows.shape[1] != dim or outputs.shape != (n_labels, dim):
        raise ValueError(f"it has matrices of {rows.shape} and {outputs.shape}, expected {dim} columns")
    if (version, word_ngrams, quantized) != (12, 1, False) or maxn <= 0 or loss not in (HIERARCHICAL_SOFTMAX, SOFTMAX):
        return FastTextModel(labels, None)
    kept = np.zeros(0, np.int32)
    if n_kept >= 0:
        kept = np.full(buckets, -1, np.int32)
        kept[pairs[:, 0]] = pairs[:, 1]
    left = right = np.zeros(0, np.int32)
    if loss == HIERARCHICAL_SOFTMAX:
        left, right = _tree(counts[n_words:])
    else:
        outputs = np.ascontiguousarray(outputs.T)  # the kernel sums many labels side by side
    for matrix in (rows, outputs):
        matrix.flags.writeable = False  # as a dense matrix is: a kernel is compiled anew for each kind
    sizes = np.array([n_words, buckets, minn, maxn], np.int32)
    ends = np.cumsum([len(word) for word in words], dtype=np.int32)
    data = np.frombuffer(b"".join(words), np.uint8)
    return FastTextModel(labels, Arrays(data, ends, _slots(words), kept, rows, outputs, left, right, sizes))


def fnv(word: bytes) -> int:
    """The hash of a word in fastText: FNV-1a, 32 bits, of signed bytes."""
    value = 2166136261
    for byte in word:
        value = ((value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619) & 0xFFFFFFFF
    return value


def _slots(words: list[bytes]) -> Ints:
    size = 1 << (2 * len(words) + 1).bit_length()
    slots = np.full(size, -1, np.int32)
    for number, word in enumerate(words):
        slot = fnv(word) & (size - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (size - 1)
        slots[slot] = number
    return slots


def _dense(reader: _Reader) -> Floats:
    n_rows, dim = reader.values("qq")
    return reader.array("<f4", n_rows * dim).reshape(n_rows, dim)


def _quantized(reader: _Reader) -> Floats:
    """The rows of a product-quantized matrix, each times its norm: the numbers that fastText adds up."""
    with_norms, n_rows, _, n_codes = reader.values("?qqi")
    rows = _decode(reader, reader.array("u1", n_codes).reshape(n_rows, -1))
    if with_norms:
        rows *= _decode(reader, reader.array("u1", n_rows).reshape(n_rows, 1))
    return rows


def _decode(reader: _Reader, codes: npt.NDArray[Any]) -> Floats:
    dim, parts, width, last = reader.values("4i")
    centroids = reader.array("<f4", dim * CENTROIDS)
    rows = np.empty((len(codes), dim), np.float32)
    for part in range(parts):
        columns = width if part < parts - 1 else last
        start = part * CENTROIDS * width
        table = centroids[start : start + CENTROIDS * columns].reshape(CENTROIDS, columns)
        rows[:, part * width : part * width + columns] = table[codes[:, part]]
    return rows


def _tree(counts: list[int]) -> tuple[Ints, Ints]:
    """Children of each node of the Huffman tree over labels, which stand by falling count."""
    n = len(counts)
    left, right = np.full(2 * n - 1, -1, np.int32), np.full(2 * n - 1, -1, np.int32)
    weights = [*counts, *[10**15] * (n - 1)]
    leaf, node = n - 1, n
    for new in range(n, 2 * n - 1):
        pair = []
        for _ in range(2):
            if leaf >= 0 and weights[leaf] < weights[node]:
                pair.append(leaf)
                leaf -= 1
            else:
                pair.append(node)
                node += 1
        left[new], right[new] = pair
        weights[new] = weights[pair[0]] + weights[pair[1]]
    return left, right
