"""Text that is not made of sentences of words: Gopher (arXiv 2112.11446, A1), as datatrove's `GopherQualityFilter`."""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from schemas import columns as c
from stages.stage import Resources, Rows, Transform, set_columns
from stages.text.memo import Memo
from stages.text.punctuation import PUNCTUATION
from stages.text.words import Splitter, check_language, splitter
from stages.verdict import EMPTY, reasons, texts

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
_ELLIPSES = ("...", "…")


@dataclass(frozen=True)
class GopherQuality:
    """Drops a text whose words, lines or symbols are not those of prose; None or 0 switches a rule off.

    Length and mean are of words that are not all punctuation, shares are of all words. `max_non_alpha_words_ratio` is
    datatrove's name for the least share of words with a letter. Stop words are compared with their case.
    Also counts `n_words`, punctuation included.

    Reasons: `gopher_short_doc`, `gopher_long_doc`, `gopher_below_avg_threshold`, `gopher_above_avg_threshold`,
    `gopher_too_many_hashes`, `gopher_too_many_ellipsis`, `gopher_too_many_bullets`, `gopher_too_many_end_ellipsis`,
    `gopher_below_alpha_threshold`, `gopher_enough_stop_words`, and
    `empty` for a text without words that `min_doc_words` lets by.
    """

    min_doc_words: int | None = 50
    max_doc_words: int | None = 100000
    min_avg_word_length: float | None = 3
    max_avg_word_length: float | None = 10
    max_symbol_word_ratio: float | None = 0.1
    max_bullet_lines_ratio: float | None = 0.9
    max_ellipsis_lines_ratio: float | None = 0.3
    max_non_alpha_words_ratio: float | None = 0.8
    min_stop_words: int | None = 2
    stop_words: tuple[str, ...] = STOP_WORDS
    language: str = "en"

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.N_WORDS, c.DROP_REASON])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        check_language(self.language)

    def open(self) -> Transform:
        judge = Judge(self, splitter(self.language))

        def transform(table: pa.Table) -> pa.Table:
            judged = [judge(text) for text in texts(table)]
            n_words = pa.array([n for n, _ in judged], c.N_WORDS.type)
            return set_columns(table, n_words=n_words, drop_reason=reasons([reason for _, reason in judged]))

        return transform


class Judge:
    """`judge(text)` is (number of words, why it is dropped or None) by the rules of `GopherQuality`."""

    def __init__(self, rules: GopherQuality, split: Splitter) -> None:
        self._rules = rules
        self._split = split
        self._stop_words = frozenset(rules.stop_words)
        self._length = Memo(_length)
        self._has_letter = Memo(_has_letter)

    def __call__(self, text: str) -> tuple[int, str | None]:
        words = self._split.words(text)
        return len(words), self._length_reason(words) or self._symbol_reason(text, words) or self._word_reason(words)

    def _length_reason(self, words: list[str]) -> str | None:
        r = self._rules
        lengths = list(map(self._length.__getitem__, words))
        n = len(lengths) - lengths.count(0)
        if r.min_doc_words and n < r.min_doc_words:
            return "gopher_short_doc"
        if not words:
            return EMPTY
        if r.max_doc_words and n > r.max_doc_words:
            return "gopher_long_doc"
        if r.min_avg_word_length and n and sum(lengths) / n < r.min_avg_word_length:
            return "gopher_below_avg_threshold"
        if r.max_avg_word_length and n and sum(lengths) / n > r.max_avg_word_length:
            return "gopher_above_avg_threshold"
        return None

    def _symbol_reason(self, text: str, words: list[str]) -> str | None:
        r = self._rules
        if r.max_symbol_word_ratio and text.count("#") / len(words) > r.max_symbol_word_ratio:
            return "gopher_too_many_hashes"
        if r.max_symbol_word_ratio and sum(map(text.count, _ELLIPSES)) / len(words) > r.max_symbol_word_ratio:
            return "gopher_too_many_ellipsis"
        lines = text.splitlines()
        if r.max_bullet_lines_ratio:
            bullets = sum(line.lstrip().startswith(("•", "-")) for line in lines)
            if bullets / len(lines) > r.max_bullet_lines_ratio:
                return "gopher_too_many_bullets"
        if r.max_ellipsis_lines_ratio:
            ellipses = sum(line.rstrip().endswith(_ELLIPSES) for line in lines)
            if ellipses / len(lines) > r.max_ellipsis_lines_ratio:
                return "gopher_too_many_end_ellipsis"
        return None

    def _word_reason(self, words: list[str]) -> str | None:
        r = self._rules
        n_alpha = sum(map(self._has_letter.__getitem__, words))
        if r.max_non_alpha_words_ratio and n_alpha / len(words) < r.max_non_alpha_words_ratio:
            return "gopher_below_alpha_threshold"
        if r.min_stop_words and len(self._stop_words.intersection(words)) < r.min_stop_words:
            return "gopher_enough_stop_words"
        return None


def _length(word: str) -> int:
    """Length of a word; 0 when it is all punctuation."""
    return 0 if PUNCTUATION.issuperset(word) else len(word)


def _has_letter(word: str) -> bool:
    return any(map(str.isalpha, word))
