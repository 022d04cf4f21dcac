"""Text that repeats itself: Gopher (arXiv 2112.11446), table A1, as datatrove's `GopherRepetitionFilter` applies it.

    duplicate line fraction       0.30     top 2-gram character fraction         0.20
    duplicate paragraph fraction  0.30     top 3-gram                            0.18
    ... of characters in lines    0.20     top 4-gram                            0.16
    ... in paragraphs             0.20     duplicate 5- .. 10-gram characters    0.15 0.14 0.13 0.12 0.11 0.10

Every share is of the characters of the text as it is. Most texts are far from the n-gram thresholds and most words are
in no repetition: what is counted is bounded, or narrowed to the words that matter, in one pass for all n.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import sub
from typing import ClassVar

import pyarrow as pa

from schemas import columns as c
from stages.stage import Resources, Rows, Transform
from stages.text.words import Splitter, check_language, splitter
from stages.verdict import EMPTY, judged, repeated_chars

_PARAGRAPHS = re.compile(r"\n{2,}")
_LINES = re.compile(r"\n+")


@dataclass(frozen=True)
class GopherRepetition:
    """Drops a text of which more than a share is repetition; None or 0 switches a line or paragraph rule off.

    Reasons: `dup_para_frac`, `dup_para_char_frac`, `dup_line_frac`, `dup_line_char_frac`, `top_{n}_gram`,
    `duplicated_{n}_n_grams`, and `empty`.
    """

    dup_line_frac: float | None = 0.3
    dup_para_frac: float | None = 0.3
    dup_line_char_frac: float | None = 0.2
    dup_para_char_frac: float | None = 0.2
    top_n_grams: tuple[tuple[int, float], ...] = ((2, 0.2), (3, 0.18), (4, 0.16))
    dup_n_grams: tuple[tuple[int, float], ...] = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
    language: str = "en"

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.DROP_REASON])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        check_language(self.language)
        if wrong := [n for n, _ in (*self.top_n_grams, *self.dup_n_grams) if n < 1]:
            raise ValueError(f"GopherRepetition: an n-gram has at least one word, found n={wrong[0]}")

    def open(self) -> Transform:
        split = splitter(self.language)
        return judged(lambda text: self.reason(text, split))

    def reason(self, text: str, split: Splitter) -> str | None:
        """Why `text` is dropped, or None."""
        if not text:
            return EMPTY
        return self._lines(text) or self._n_grams(text, split.words(text))

    def _lines(self, text: str) -> str | None:
        paragraphs = _PARAGRAPHS.split(text.strip())
        n, chars = repeated_chars(paragraphs)
        if self.dup_para_frac and n / len(paragraphs) > self.dup_para_frac:
            return "dup_para_frac"
        if self.dup_para_char_frac and chars / len(text) > self.dup_para_char_frac:
            return "dup_para_char_frac"
        lines = _LINES.split(text)
        n, chars = repeated_chars(lines)
        if self.dup_line_frac and n / len(lines) > self.dup_line_frac:
            return "dup_line_frac"
        if self.dup_line_char_frac and chars / len(text) > self.dup_line_char_frac:
            return "dup_line_char_frac"
        return None

    def _n_grams(self, text: str, words: list[str]) -> str | None:
        top = _TopBound(words)
        for n, share in self.top_n_grams:
            if top.chars(n) / len(text) > share and top_n_gram_chars(words, n) / len(text) > share:
                return f"top_{n}_gram"
        if not self.dup_n_grams:
            return None
        joined = "".join(words)
        starts = [0, *accumulate(map(len, words))]
        candidates: Sequence[int] = range(len(words))
        last = 0
        for n, share in self.dup_n_grams:
            candidates = narrow(joined, starts, n, candidates if n >= last else range(len(words)))
            last = n
            if repeated_n_gram_chars(joined, starts, n, candidates) / len(text) > share:
                return f"duplicated_{n}_n_grams"
        return None


def top_n_gram_chars(words: list[str], n: int) -> int:
    """Characters of the most frequent n-gram (the first of equals), joined by blanks, times its count."""
    grams = Counter(zip(*(words[i:] for i in range(n)), strict=False))
    if not grams:
        return 0
    gram, count = grams.most_common(1)[0]
    return (sum(map(len, gram)) + n - 1) * count


def repeated_n_gram_chars(joined: str, starts: Sequence[int], n: int, candidates: Iterable[int]) -> int:
    """Characters of n-grams met before. The scan goes on behind an n-gram it knows, and by one word otherwise.

    Word i is `joined[starts[i]:starts[i + 1]]`. N-grams are compared without the gaps between their words.
    `candidates` are the words, in order, at which an n-gram begins: all, or those where one may begin that comes twice.
    """
    known: set[str] = set()
    chars = next_word = 0
    for i in candidates:
        if i < next_word:
            continue
        gram = joined[starts[i] : starts[i + n]]
        if gram in known:
            chars += len(gram)
            next_word = i + n
        else:
            known.add(gram)
    return chars


class _TopBound:
    """An upper bound of `top_n_gram_chars`: no word of an n-gram comes less often than the n-gram."""

    def __init__(self, words: list[str]) -> None:
        counts = Counter(words)
        self._chars = max((len(word) * count for word, count in counts.items()), default=0)
        self._count = max(counts.values(), default=0)

    def chars(self, n: int) -> int:
        return n * self._chars + (n - 1) * self._count


def narrow(joined: str, starts: list[int], n: int, candidates: Sequence[int]) -> list[int]:
    """The words among `candidates` at which an n-gram, or a longer one, may begin that comes twice.

    None has fewer than `size` characters, so that one that comes twice has its first `size` characters come twice.
    """
    begins = [starts[i] for i in candidates[: bisect_left(candidates, len(starts) - n)]]
    ends = [starts[i + n] for i in candidates[: len(begins)]]
    size = min(map(sub, ends, begins), default=0)
    keys = [joined[begin : begin + size] for begin in begins]
    counts = Counter(keys)
    return [i for i, key in zip(candidates, keys, strict=False) if counts[key] > 1]
