"""Tokens and numbers of the template engine: a tokenizer without a vocabulary, likelihoods, vectors, marks.

A token is a piece of a text as a number: its UTF-8 bytes behind a 1, so that any text comes back from its tokens. Words
of more than eight letters are several, with which English has about 1.3 tokens a word, as large models have.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xxhash

from stages.models.template.source import WORD, source

PIECE = re.compile(r" ?[^\W\d_]{1,8}| ?\d{1,3}| ?[^\w\s]{1,4}|\s{1,8}|_{1,8}|.", re.DOTALL)
BOS = 0  # in front of a text; no piece is it
VOCABULARY, SURPRISE = 50_000, 500.0  # words that there may be; how many met words one that is new weighs against
DIMENSIONS = 256
HIGHEST = 5.0
SHORT, LONG_WORDS, LONG_SENTENCE = 6, 0.4, 25  # letters; share of longer words and words a sentence for the best mark


def encode(text: str, special: bool = False) -> list[int]:
    """The tokens of `text`."""
    pieces = (match[0].encode("utf-8", "surrogatepass") for match in PIECE.finditer(text))
    return [*([BOS] if special else []), *(int.from_bytes(b"\x01" + piece, "big") for piece in pieces)]


def decode(tokens: Sequence[int]) -> str:
    """The text of `tokens`."""
    pieces = (token.to_bytes((token.bit_length() + 7) // 8, "big")[1:] for token in tokens if token != BOS)
    return b"".join(pieces).decode("utf-8", "surrogatepass")


def likelihoods(tokens: Sequence[int]) -> npt.NDArray[np.float32]:
    """Logarithms of the probability of each token behind the first, by how often it came before in the same text."""
    met: Counter[int] = Counter(tokens[:1])
    found = []
    for n, token in enumerate(tokens[1:], 1):
        found.append(math.log((met[token] + SURPRISE / VOCABULARY) / (n + SURPRISE)))
        met[token] += 1
    return np.array(found, np.float32)


def embedding(text: str) -> npt.NDArray[np.float32]:
    """A vector of length 1: roots of the counts of words, each word in a place and with a sign by its hash."""
    vector = np.zeros(DIMENSIONS, np.float32)
    for word, n in Counter(match[0].lower() for match in WORD.finditer(text)).items():
        hashed = xxhash.xxh3_64_intdigest(word.encode("utf-8", "surrogatepass"))
        vector[hashed % DIMENSIONS] += math.sqrt(n) * (1 if hashed >> 63 else -1)
    length = float(np.linalg.norm(vector))
    if length == 0:
        vector[0], length = 1.0, 1.0
    return vector / length


def marks(text: str, labels: Sequence[str]) -> npt.NDArray[np.float32]:
    """A mark from 0 to 5 for each label: by long words and long sentences, each label with weights of its own."""
    found = [match[0] for match in WORD.finditer(text)]
    long = min(sum(len(word) > SHORT for word in found) / max(len(found), 1) / LONG_WORDS, 1.0)
    sentence = min(len(found) / max(len(source(text).sentences), 1) / LONG_SENTENCE, 1.0)
    weights = [0.3 + 0.6 * (xxhash.xxh3_64_intdigest(label.encode()) % 100) / 100 for label in labels]
    return np.array([HIGHEST * (long * w + sentence * (1 - w)) for w in weights], np.float32)
