"""The verdict of a deduplication of lines, carried out."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas import columns as c
from stages.edits import Edit, append_edits
from stages.stage import Resources, Rows, Transform, set_columns
from stages.verdict import reasons

RULE = "repeated_lines"


@dataclass(frozen=True)
class CutLines:
    """Cut the `repeated_lines` of each row out of its text.

    Blank lines about a cut become as many as stood before it; at either end of the text they go. What is cut is told in
    `edits`, under the rule `repeated_lines`. A row that was cut and has less than `min_words` words between white space
    or `min_chars` characters left is dropped, with its text as it was. Reasons: `too_few_words`, `too_few_chars`. The
    first is datatrove's (`SentDedupConfig.min_doc_words`), the second CCNet's, of 300 characters, for texts of any
    script; 0 switches one off. A row with nothing left is always dropped.
    """

    min_words: int = 50
    min_chars: int = 0

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY, c.REPEATED_LINES])
    adds: ClassVar[pa.Schema] = pa.schema([c.BODY, c.N_CHARS, c.EDITS, c.DROP_REASON])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def open(self) -> Transform:
        return self._cut

    def _cut(self, table: pa.Table) -> pa.Table:
        text = pa.chunked_array(table.column(c.BODY.name)).combine_chunks()
        lines = table.column(c.REPEATED_LINES.name)
        concerned = pc.and_(pc.is_valid(text), pc.greater(pc.fill_null(pc.list_value_length(lines), 0), 0))
        rows = pc.indices_nonzero(concerned)
        before, numbers = text.take(rows).to_pylist(), lines.take(rows).to_pylist()
        why: list[str | None] = [None] * table.num_rows
        edits: list[list[Edit]] = [[] for _ in range(table.num_rows)]
        after = []
        for row, whole, gone in zip(rows.to_pylist(), before, numbers, strict=True):
            left = cut(whole, gone)
            why[row] = self._fault(left)
            if why[row] is None:
                edits[row] = [Edit(RULE, len(whole), len(left))]
            after.append(whole if why[row] else left)
        if after:
            text = pc.replace_with_mask(text, np.asarray(concerned), pa.array(after, c.TEXT))
        table = set_columns(table, text=text, n_chars=pc.utf8_length(text).cast(pa.int64()), drop_reason=reasons(why))
        return append_edits(table, type(self).__name__, edits)

    def _fault(self, text: str) -> str | None:
        if len(text.split(maxsplit=self.min_words)) < max(self.min_words, 1):
            return "too_few_words"
        return "too_few_chars" if len(text) < self.min_chars else None


def cut(text: str, numbers: list[int]) -> str:
    """`text` without the lines of these numbers, from 0. `ValueError` if it has no such line."""
    lines = text.split("\n")
    if max(numbers) >= len(lines):
        raise ValueError(
            f"repeated_lines names line {max(numbers)} of a text of {len(lines)} lines: an earlier stage changed it; "
            "CutLines has to be the first of its step"
        )
    gone = set(numbers)
    kept: list[str] = []
    was_cut, blank = False, True  # a line since the last kept one that is not blank; whether the last kept one is blank
    for number, line in enumerate(lines):
        if number in gone:
            was_cut = True
            continue
        is_blank = not line or line.isspace()
        if is_blank and was_cut and blank:
            continue
        was_cut, blank = was_cut and is_blank, is_blank
        kept.append(line)
    while was_cut and kept and (not kept[-1] or kept[-1].isspace()):
        kept.pop()
    return "\n".join(kept)
