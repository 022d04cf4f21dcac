"""Text that repeats itself: Gopher (arXiv 2112.11446), table A1, as datatrove's `GopherRepetitionFilter` applies it.

    duplicate line fraction       0.30     top 2-gram character fraction         0.20
    duplicate paragraph fraction  0.30     top 3-gram                            0.18
    ... of characters in lines    0.20     top 4-gram                            0.16
    ... in paragraphs             0.20     duplicate 5- .. 10-gram characters    0.15 0.14 0.13 0.12 0.11 0.10

Every share is of the characters of the text as it is.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from schemas import columns as c
from stages.stage import Resources, Rows, Transform
from stages.text.words import check_language
from stages.verdict import EMPTY, by_array

if TYPE_CHECKING:
    from stages.kernels.repetition import Repeated, Text


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
        from stages.kernels.chunks import chunk_table  # noqa: PLC0415 - numba takes 0.4 s to import
        from stages.kernels.repetition import count_repetition  # noqa: PLC0415

        table = chunk_table(self.language)
        top, duplicated = (tuple(n for n, _ in grams) for grams in (self.top_n_grams, self.dup_n_grams))

        def judge(array: pa.Array) -> list[str | None]:
            return [self.reason(text) for text in count_repetition(table, array, top, duplicated)]

        return by_array(judge)

    def reason(self, text: "Text") -> str | None:
        """Why a text is dropped, or None."""
        if not text.n_chars:
            return EMPTY
        return (
            _elements_reason("para", text.paragraphs, text.n_chars, self.dup_para_frac, self.dup_para_char_frac)
            or _elements_reason("line", text.lines, text.n_chars, self.dup_line_frac, self.dup_line_char_frac)
            or self._n_grams_reason(text)
        )

    def _n_grams_reason(self, text: "Text") -> str | None:
        for (n, share), chars in zip(self.top_n_grams, text.top, strict=True):
            if chars / text.n_chars > share:
                return f"top_{n}_gram"
        for (n, share), chars in zip(self.dup_n_grams, text.duplicated, strict=True):
            if chars / text.n_chars > share:
                return f"duplicated_{n}_n_grams"
        return None


def _elements_reason(
    name: str, found: "Repeated", n_chars: int, share: float | None, char_share: float | None
) -> str | None:
    if share and found.n_repeated / found.n > share:
        return f"dup_{name}_frac"
    return f"dup_{name}_char_frac" if char_share and found.n_chars / n_chars > char_share else None
