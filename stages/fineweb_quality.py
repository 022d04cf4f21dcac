"""Lists and lines without an end: FineWeb's own rules (arXiv 2406.17557, 3.6) as datatrove's `FineWebQualityFilter`."""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from schemas import columns as c
from stages.stage import Resources, Rows, Transform
from stages.text.punctuation import TERMINAL_PUNCTUATION
from stages.text.words import Splitter, check_language, splitter
from stages.verdict import EMPTY, judged, repeated_chars


@dataclass(frozen=True)
class FineWebQuality:
    """Drops a text by its lines; lines of white space do not count.

    `char_duplicates_ratio` is 0.01 in the code FineWeb was made with; its paper says 0.1. `stop_chars` None stands for
    every script's sentence ends, without quotation marks.

    Reasons: `empty`, `line_punct_ratio`, `short_line_ratio`, `char_dup_ratio`, `list_ratio`.
    """

    line_punct_thr: float = 0.12
    line_punct_exclude_zero: bool = False
    stop_chars: tuple[str, ...] | None = None
    short_line_thr: float = 0.67
    short_line_length: int = 30
    char_duplicates_ratio: float = 0.01
    new_line_ratio: float = 0.3
    language: str = "en"

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.DROP_REASON])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        check_language(self.language)

    def open(self) -> Transform:
        split = splitter(self.language)
        return judged(lambda text: self.reason(text, split))

    def reason(self, text: str, split: Splitter) -> str | None:
        """Why `text` is dropped, or None."""
        lines = [line for line in text.split("\n") if line and not line.isspace()]
        if not lines:
            return EMPTY
        ratio = self._ended(lines) / len(lines)
        if ratio < self.line_punct_thr and not (ratio == 0 and self.line_punct_exclude_zero):
            return "line_punct_ratio"
        if sum(len(line) <= self.short_line_length for line in lines) / len(lines) > self.short_line_thr:
            return "short_line_ratio"
        n_newlines = text.count("\n")
        if repeated_chars(lines)[1] / (len(text) - n_newlines) > self.char_duplicates_ratio:
            return "char_dup_ratio"
        # A chunk between white space has at least one word: most texts need not be split to know.
        ratio = n_newlines / len(text.split())
        if ratio > self.new_line_ratio and n_newlines / len(split.words(text)) > self.new_line_ratio:
            return "list_ratio"
        return None

    def _ended(self, lines: list[str]) -> int:
        """Lines that end in a stop character."""
        if self.stop_chars is None:
            return sum(line[-1] in TERMINAL_PUNCTUATION for line in lines)
        return sum(line.endswith(tuple(self.stop_chars)) for line in lines)
