"""Text that is not made of sentences of words: Gopher (arXiv 2112.11446, A1), as datatrove's `GopherQualityFilter`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from schemas import columns as c
from stages.stage import Resources, Rows, Transform, set_columns
from stages.text.words import check_language
from stages.verdict import EMPTY, reasons

if TYPE_CHECKING:
    from stages.kernels.quality import Counts

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")


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
        from stages.kernels.chunks import chunk_table  # noqa: PLC0415 - numba takes 0.4 s to import
        from stages.kernels.quality import count_quality, stop_words_of  # noqa: PLC0415

        chunks, stop_words = chunk_table(self.language), stop_words_of(self.stop_words)

        def transform(table: pa.Table) -> pa.Table:
            counts = [n for array in table.column(c.BODY.name).chunks for n in count_quality(chunks, array, stop_words)]
            n_words = pa.array([n.words for n in counts], c.N_WORDS.type)
            return set_columns(table, n_words=n_words, drop_reason=reasons([self.reason(n) for n in counts]))

        return transform

    def reason(self, n: "Counts") -> str | None:
        """Why a text is dropped, or None."""
        return self._length_reason(n) or self._symbol_reason(n) or self._word_reason(n)

    def _length_reason(self, n: "Counts") -> str | None:
        if self.min_doc_words and n.no_symbols < self.min_doc_words:
            return "gopher_short_doc"
        if not n.words:
            return EMPTY
        if self.max_doc_words and n.no_symbols > self.max_doc_words:
            return "gopher_long_doc"
        if self.min_avg_word_length and n.no_symbols and n.chars / n.no_symbols < self.min_avg_word_length:
            return "gopher_below_avg_threshold"
        if self.max_avg_word_length and n.no_symbols and n.chars / n.no_symbols > self.max_avg_word_length:
            return "gopher_above_avg_threshold"
        return None

    def _symbol_reason(self, n: "Counts") -> str | None:
        if self.max_symbol_word_ratio and n.hashes / n.words > self.max_symbol_word_ratio:
            return "gopher_too_many_hashes"
        if self.max_symbol_word_ratio and n.ellipses / n.words > self.max_symbol_word_ratio:
            return "gopher_too_many_ellipsis"
        if self.max_bullet_lines_ratio and n.bullets / n.lines > self.max_bullet_lines_ratio:
            return "gopher_too_many_bullets"
        if self.max_ellipsis_lines_ratio and n.ends / n.lines > self.max_ellipsis_lines_ratio:
            return "gopher_too_many_end_ellipsis"
        return None

    def _word_reason(self, n: "Counts") -> str | None:
        if self.max_non_alpha_words_ratio and n.alphabetic / n.words < self.max_non_alpha_words_ratio:
            return "gopher_below_alpha_threshold"
        if self.min_stop_words and n.stop_words < self.min_stop_words:
            return "gopher_enough_stop_words"
        return None
