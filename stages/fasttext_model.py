"""A fastText classifier's file, read into arrays that a kernel can walk (the format of fastText 0.9.2).

That takes supervised models with hierarchical softmax and no word n-grams, such as lid.176 (.bin and
.ftz): for those the kernel gives the labels and scores of fastText's own `predict`.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

MAGIC, VERSIONS = 793712314, (11, 12)
SUPERVISED, HIERARCHICAL_SOFTMAX = 3, 1
LABEL = "__label__"
CENTROIDS = 256  # of a product quantizer

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


class Arrays(NamedTuple):
    """What the kernel needs of a model, in the order of its arguments."""

    word_bytes: npt.NDArray[np.uint8]
    word_ends: Ints  # word i is word_bytes[word_ends[i - 1]:word_ends[i]]; labels follow the words
    slots: Ints  # of a word's 32-bit hash, open addressing: its number, or -1
    kept: Ints  # new number of each bucket of character n-grams, -1 if it was pruned; empty if none was
    rows: Floats  # of words, then of n-grams
    outputs: Floats  # of the inner nodes of the tree of labels
    left: Ints  # children of a node; the labels are the nodes below n_labels
    right: Ints
    sizes: Ints  # number of words, n-gram buckets, shortest and longest n-gram in code points


@dataclass(frozen=True)
class FastTextModel:
    """Labels, without their prefix, by number; and the arrays, None if the kernel does not evaluate such a model."""

    labels: tuple[str, ...]
    arrays: Arrays | None


class _Reader:
    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._at = 0

    def values(self, form: str) -> tuple[Any, ...]:
        at, self._at = self._at, self._at + struct.calcsize("<" + form)
        return struct.unpack_from("<" + form, self._data, at)

    def word(self) -> bytes:
        at = self._at
        self._at = self._data.find(b"\0", at) + 1
        return self._data[at : self._at - 1]

    def array(self, dtype: str, n: int) -> npt.NDArray[Any]:
        at, self._at = self._at, self._at + n * np.dtype(dtype).itemsize
        if self._at > len(self._data):
            raise ValueError(f"the file ends at byte {len(self._data)}, within a matrix that ends at {self._at}")
        if at % np.dtype(dtype).itemsize:
            return np.frombuffer(self._data[at : self._at], dtype)
        return np.frombuffer(self._data, dtype, n, at)


def read_model(path: Path) -> FastTextModel:
    """The model in the file `path`. `ValueError` if that is not a fastText model, or ends early."""
    reader = _Reader(path)
    magic, version = reader.values("ii")
    if magic != MAGIC or version not in VERSIONS:
        raise ValueError(f"{path} is not a fastText model of version 11 or 12: it begins with {magic}, {version}")
    dim, _, _, _, _, word_ngrams, loss, kind, buckets, minn, maxn, _, _ = reader.values("12id")
    size, n_words, n_labels, _, n_kept = reader.values("iiiqq")
    words: list[bytes] = []
    counts: list[int] = []
    for _ in range(size):
        words.append(reader.word())
        counts.append(reader.values("qb")[0])
    labels = tuple(word.decode().removeprefix(LABEL) for word in words[n_words:])
    if (version, kind, loss, word_ngrams) != (12, SUPERVISED, HIERARCHICAL_SOFTMAX, 1) or maxn <= 0:
        return FastTextModel(labels, None)
    kept = np.zeros(0, np.int32)
    if n_kept >= 0:
        kept = np.full(buckets, -1, np.int32)
        pairs = reader.array("<i4", 2 * n_kept).reshape(-1, 2)
        kept[pairs[:, 0]] = pairs[:, 1]
    quantized = reader.values("?")[0]
    rows = _quantized(reader) if quantized else _dense(reader)
    if reader.values("?")[0]:  # a quantized output matrix
        return FastTextModel(labels, None)
    rows.flags.writeable = False  # as a dense matrix is: a kernel is compiled anew for each kind
    outputs = _dense(reader)
    left, right = _tree(counts[n_words:])
    sizes = np.array([n_words, buckets, minn, maxn], np.int32)
    if rows.shape[1] != dim or outputs.shape != (n_labels, dim):
        raise ValueError(f"{path}: matrices of {rows.shape} and {outputs.shape}, expected {dim} columns")
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
