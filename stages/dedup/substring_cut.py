"""Repeated spans, taken out of their texts or masked."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from schemas import columns as c
from stages.edits import Edit, append_edits
from stages.stage import Resources, Rows, Transform, set_columns

RULE = "repeated_span"


@dataclass(frozen=True)
class CutSpans:
    """Take the spans in `repeats` out of the text or, with `mask`, put that in the place of each.

    Of a row that has any:

    - one with fewer than `min_chars` code points outside its spans is dropped, as `too_little_left`; 20 is what
      RefinedWeb (arXiv 2306.01116) asks for;
    - one with a larger share of its code points in spans than `max_share` is dropped, as `mostly_repeated`;
    - each span is an entry of `edits`, under the rule `repeated_span`, in the order of `repeats`, which says of which
      row it is. `repeats` stays as it is: it tells where the spans stood in the text before.

    White space behind a span stays with a mask, and goes with it otherwise. To have the spans alone, as a mask on the
    loss, leave this stage out.
    """

    mask: str | None = None
    min_chars: int = 20
    max_share: float = 1.0

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY, c.REPEATS])
    adds: ClassVar[pa.Schema] = pa.schema([c.BODY, c.N_CHARS, c.EDITS, c.DROP_REASON])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        if not 0 <= self.max_share <= 1:
            raise ValueError(f"CutSpans: max_share should be from 0 to 1, got {self.max_share}")

    def open(self) -> Transform:
        return self._cut

    def _cut(self, table: pa.Table) -> pa.Table:
        text = table.column(c.BODY.name).combine_chunks()
        spans = table.column(c.REPEATS.name).combine_chunks()
        has = pc.fill_null(pc.greater(pc.list_value_length(spans), 0), False)
        edits: list[list[Edit]] = [[] for _ in range(table.num_rows)]
        reasons: list[str | None] = [None] * table.num_rows
        left = []
        values = (column.filter(has).to_pylist() for column in (text, spans))
        for row, before, found in zip(pc.indices_nonzero(has).to_pylist(), *values, strict=True):
            after, edits[row] = cut(before, found, self.mask)
            reasons[row] = self.reason(before, found)
            left.append(after)
        if left:
            text = pc.replace_with_mask(text, has, pa.array(left, c.TEXT))
        table = append_edits(table, type(self).__name__, edits)
        return set_columns(
            table,
            text=text,
            n_chars=pc.utf8_length(text).cast(pa.int64()),
            drop_reason=pa.array(reasons, c.DROP_REASON.type),
        )

    def reason(self, text: str, spans: Iterable[dict[str, Any]]) -> str | None:
        """Why a text of such spans is dropped, if it is."""
        repeated = sum(span["end"] - span["start"] for span in spans)
        if len(text) - repeated < self.min_chars:
            return "too_little_left"
        return "mostly_repeated" if repeated > self.max_share * len(text) else None


def cut(text: str, spans: Iterable[dict[str, Any]], mask: str | None) -> tuple[str, list[Edit]]:
    """`text` without its `spans`, in order and not overlapping, or with `mask` in their places, and what that did."""
    parts, edits = [], []
    at, n_chars = 0, len(text)
    for span in spans:
        instead = ""
        if mask is not None:
            part = text[span["start"] : span["end"]]
            instead = mask + part[len(part.rstrip()) :]
        parts += [text[at : span["start"]], instead]
        at = span["end"]
        before, n_chars = n_chars, n_chars - (span["end"] - span["start"]) + len(instead)
        edits.append(Edit(RULE, before, n_chars))
    after = "".join([*parts, text[at:]])
    if mask is None and at == len(text):  # nothing is behind the last span
        after = after.rstrip()
        edits[-1] = edits[-1]._replace(n_chars_after=len(after))
    return after, edits
