"""How few words a text gets by with: the measure of a leaner language (TinyHelen, arXiv 2501.00522).

TinyHelen has a large model rewrite texts in plain words, so that a small model with a vocabulary of 2,000 can learn
them. The style `leaner` of Rephrase writes; this stage says how far the result keeps to a list of words.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from schemas import columns as c
from stages.stage import Resources, Rows, Transform, set_columns
from stages.verdict import reasons, texts

BUNDLED = Path(__file__).with_name("lean_words.txt")
RARE_WORDS = "rare_words"
WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
BEGINS = re.compile(r"(?:\A|[.!?:\u2026][\"'\u201d\u2019)\]]*\s+|\n)\W*\Z")  # what a sentence begins behind
ENDINGS = (  # of regular forms of English words, and what stands for each in the base form
    ("'s", ("",)), ("s", ("",)), ("es", ("",)), ("ies", ("y",)), ("ed", ("", "e")), ("ied", ("y",)), ("ing", ("", "e")),
    ("er", ("", "e")), ("ier", ("y",)), ("est", ("", "e")), ("iest", ("y",)), ("ly", ("", "le")), ("ily", ("y",)),
)  # fmt: skip


@dataclass(frozen=True)
class LeanWords:
    """Adds `rare_word_rate`, of the words of a text those that are not in `vocabulary`, and `vocabulary_size`.

    `vocabulary` is a file with words between white space, and lines of remarks that begin with #; null: lean_words.txt
    beside this file, about fifteen hundred words of English, where TinyHelen's models have 2,000 tokens. If `inflect`,
    regular English forms of a word of the list are in it too. A capitalised word inside a sentence is a name, and
    digits are no words: neither counts. Texts with a rate above `most` are dropped with the reason `rare_words`; null
    keeps all: what is normal depends on the list, so take a quantile of the column.
    """

    vocabulary: str | None = None
    inflect: bool = True
    most: float | None = None
    vocabulary_hash: str = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.RARE_WORD_RATE, c.VOCABULARY_SIZE, c.DROP_REASON])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources(memory_gb=0.5)

    def __post_init__(self) -> None:
        if self.most is not None and not 0 <= self.most <= 1:
            raise ValueError(f"LeanWords.most should be from 0 to 1, or null, got {self.most}")
        words = "\n".join(sorted(read_words(self._path)))
        object.__setattr__(self, "vocabulary_hash", hashlib.sha256(words.encode()).hexdigest()[:16])

    def open(self) -> Transform:
        return self._rate

    def _rate(self, table: pa.Table) -> pa.Table:
        known = read_words(self._path)
        rates, sizes = [], []
        for text in texts(table):
            words = list(words_of(text))
            rare = sum(not self._is_known(word, known) for word in words)
            rates.append(rare / len(words) if words else None)
            sizes.append(len(set(words)))
        why = [
            RARE_WORDS if self.most is not None and rate is not None and rate > self.most else None for rate in rates
        ]
        return set_columns(
            table,
            rare_word_rate=pa.array(rates, c.RARE_WORD_RATE.type),
            vocabulary_size=pa.array(sizes, c.VOCABULARY_SIZE.type),
            drop_reason=reasons(why),
        )

    def _is_known(self, word: str, known: frozenset[str]) -> bool:
        return word in known or (self.inflect and any(base in known for base in bases_of(word)))

    @property
    def _path(self) -> str:
        return self.vocabulary or str(BUNDLED)


def words_of(text: str) -> Iterator[str]:
    """The words of a text in small letters, but for names: capitalised words that begin no sentence."""
    for match in WORD.finditer(text):
        word = match[0].replace("\u2019", "'")
        named = word[0].isupper() and word != "I" and not word.startswith("I'")
        if not named or BEGINS.search(text, max(match.start() - 8, 0), match.start()):
            yield word.casefold()


def bases_of(word: str) -> Iterator[str]:
    """Words that `word` may be a regular form of: stopped -> stopp, stoppe, stop; houses -> house, hous."""
    for ending, instead in ENDINGS:
        stem = word.removesuffix(ending)
        if stem == word or len(stem) < 2:
            continue
        yield from (stem + letters for letters in instead)
        if stem[-1] == stem[-2] and ending[0] in "ei":
            yield stem[:-1]


@lru_cache(maxsize=8)
def read_words(path: str) -> frozenset[str]:
    """The words of a file; `ValueError` where there is none."""
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"LeanWords.vocabulary: {path}: {error}") from error
    words = frozenset(word.casefold() for line in lines if not line.startswith("#") for word in line.split())
    if not words:
        raise ValueError(f"LeanWords.vocabulary: {path} has no words")
    return words
