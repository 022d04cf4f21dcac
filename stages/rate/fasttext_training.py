"""A fastText classifier trained here, in fastText's own file format (0.9.2): supervised, softmax over all labels.

fastText's packages either train to NaN on NumPy 2 or have the same module name as the one that predicts here; a few
loops do without. What is trained is what theirs trains: rows for words, for n-grams of words and of characters.
"""

import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stages.fasttext_model import LABEL, MAGIC, SOFTMAX, SUPERVISED, fnv

VERSION = 12
END = b"</s>"
NGRAM_PRIME = 116049371  # of n-grams of words, as in dictionary.cc
BLANKS = bytes.maketrans(b"\0", b" ")


@dataclass(frozen=True)
class Options:
    """fastText's own names and defaults, but for fewer buckets: its 2,000,000 make a file of 800 MB."""

    dim: int = 100
    epoch: int = 5
    lr: float = 0.1
    word_ngrams: int = 1
    minn: int = 0  # shortest and longest n-gram of characters: 0 and 0 are none; 3 and 6 help without spaces
    maxn: int = 0
    min_count: int = 1
    bucket: int = 200_000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("dim", "epoch", "word_ngrams", "min_count", "bucket"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} should be at least 1, got {getattr(self, name)}")
        if not self.lr > 0:
            raise ValueError(f"lr should be above 0, got {self.lr}")
        if not 0 <= self.minn <= self.maxn:
            raise ValueError(f"minn and maxn should be 0 <= minn <= maxn, got {self.minn} and {self.maxn}")

    @property
    def buckets(self) -> int:
        """Rows for n-grams: none where there are no n-grams."""
        return self.bucket if self.word_ngrams > 1 or self.maxn > 0 else 0


@dataclass
class Dictionary:
    """Words and labels with their counts, the most frequent first; and the rows of a word."""

    words: list[tuple[bytes, int]]
    labels: list[tuple[str, int]]
    options: Options
    _rows: dict[bytes, list[int]] = field(default_factory=dict)
    _hashes: dict[bytes, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._numbers = {word: number for number, (word, _) in enumerate(self.words)}

    def rows_of(self, words: Sequence[bytes]) -> list[int]:
        """The rows that stand for a text of these words."""
        found = [row for word in words for row in self._rows_of_word(word)]
        if self.options.word_ngrams > 1:
            hashes = np.array([self._hash(word) for word in words], np.uint32).astype(np.int32).astype(np.uint64)
            rolling = hashes  # of n-grams of words, in 64 bits with overflow
            for n in range(2, min(self.options.word_ngrams, len(words)) + 1):
                rolling = rolling[:-1] * np.uint64(NGRAM_PRIME) + hashes[n - 1 :]
                found += (rolling % np.uint64(self.options.bucket) + np.uint64(len(self.words))).tolist()
        return found

    def _rows_of_word(self, word: bytes) -> list[int]:
        if word not in self._rows:
            number = self._numbers.get(word)
            mine = [] if number is None else [number]
            if word != END and self.options.maxn > 0:
                mine += [len(self.words) + h % self.options.bucket for h in map(fnv, self._pieces(word))]
            self._rows[word] = mine
        return self._rows[word]

    def _pieces(self, word: bytes) -> Iterable[bytes]:
        """N-grams of the characters of `<word>`; its borders alone are none."""
        letters = ["<", *word.decode("utf-8", "surrogateescape"), ">"]
        for start in range(len(letters)):
            for n in range(max(self.options.minn, 1), self.options.maxn + 1):
                if start + n > len(letters):
                    break
                if n > 1 or 0 < start < len(letters) - 1:
                    yield "".join(letters[start : start + n]).encode("utf-8", "surrogateescape")

    def _hash(self, word: bytes) -> int:
        if word not in self._hashes:
            self._hashes[word] = fnv(word)
        return self._hashes[word]


@dataclass(frozen=True)
class Trained:
    """A classifier's file, and how well the last epoch went."""

    data: bytes
    labels: tuple[str, ...]
    words: int
    loss: float


def words_of(text: str) -> list[bytes]:
    """The words of a text as fastText reads it: up to white space; the end of the line is one; labels are none."""
    words = text.encode("utf-8", "surrogatepass").translate(BLANKS).split()
    if END in words:
        words = words[: words.index(END)]
    return [*(word for word in words if not word.startswith(LABEL.encode())), END]


def train(texts: Sequence[str], labels: Sequence[str], options: Options) -> Trained:
    """A classifier that tells the `labels` of `texts` apart. The same texts in the same order give the same file."""
    from stages.kernels.fasttext_training import train_all  # noqa: PLC0415 - numba takes 0.4 s to import

    check_labels(labels)
    dictionary = read_dictionary(texts, labels, options)
    names = {label: number for number, (label, _) in enumerate(dictionary.labels)}
    ids = [np.array(dictionary.rows_of(words_of(text)), np.int32) for text in texts]
    ends = np.cumsum([len(one) for one in ids], dtype=np.int64)
    targets = np.array([names[label] for label in labels], np.int32)
    rng = np.random.default_rng(options.seed)
    n_rows = len(dictionary.words) + options.buckets
    rows = rng.uniform(-1 / options.dim, 1 / options.dim, (n_rows, options.dim)).astype(np.float32)
    outputs = np.zeros((len(names), options.dim), np.float32)
    order = rng.permutation(len(ids))  # texts often come label by label: descent would see one at a time
    loss = train_all(np.concatenate(ids), ends, order, targets, rows, outputs, options.epoch, options.lr)
    data = as_file(dictionary, options, rows, outputs)
    return Trained(data, tuple(names), len(dictionary.words), float(loss))


def check_labels(labels: Sequence[str]) -> None:
    """`ValueError` if these cannot be a classifier's labels."""
    distinct = sorted(set(labels))
    if len(distinct) < 2:
        raise ValueError(f"a classifier needs two labels at least, there is {', '.join(distinct) or 'none'}")
    odd = [label for label in distinct if not label or label.split() != [label] or "\0" in label]
    if odd:
        raise ValueError(f"labels should be words without white space, got {odd[:3]}")


def read_dictionary(texts: Sequence[str], labels: Sequence[str], options: Options) -> Dictionary:
    """Words that come `min_count` times at least and all labels; equally frequent ones by their bytes."""
    counts: Counter[bytes] = Counter()
    for text in texts:
        counts.update(words_of(text))
    words = [(word, n) for word, n in counts.items() if n >= options.min_count]
    words.sort(key=lambda one: (-one[1], one[0]))
    return Dictionary(words, sorted(Counter(labels).items(), key=lambda one: (-one[1], one[0])), options)


def as_file(
    dictionary: Dictionary, options: Options, rows: npt.NDArray[np.float32], outputs: npt.NDArray[np.float32]
) -> bytes:
    """The bytes of a .bin file."""
    o, window, negative, update_rate, sampling = options, 5, 5, 100, 1e-4  # what training of classifiers does not use
    entries = [(word, n, 0) for word, n in dictionary.words]
    entries += [((LABEL + label).encode(), n, 1) for label, n in dictionary.labels]
    arguments = (o.dim, window, o.epoch, o.min_count, negative, o.word_ngrams, SOFTMAX, SUPERVISED)
    parts = [struct.pack("<ii", MAGIC, VERSION)]
    parts.append(struct.pack("<12id", *arguments, o.buckets, o.minn, o.maxn, update_rate, sampling))
    n_tokens = sum(n for _, n, _ in entries)
    parts.append(struct.pack("<iiiqq", len(entries), len(dictionary.words), len(dictionary.labels), n_tokens, -1))
    parts += [name + b"\0" + struct.pack("<qb", n, kind) for name, n, kind in entries]
    for matrix in (rows, outputs):
        parts.append(struct.pack("<?qq", False, *matrix.shape) + matrix.astype("<f4").tobytes())
    return b"".join(parts)
