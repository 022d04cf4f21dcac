"""The record of what stages did to a text, kept with the row, so that any output can be explained."""

from typing import NamedTuple

import pyarrow as pa

from schemas import columns as c
from stages.stage import set_columns


class Edit(NamedTuple):
    """One change of a text by one rule. Lengths in code points."""

    rule: str
    n_chars_before: int
    n_chars_after: int


def append_edits(table: pa.Table, stage: str, edits: list[list[Edit]]) -> pa.Table:
    """`table` with each row's `edits` appended to those of earlier stages; a row that was never changed has null."""
    there = c.EDITS.name in table.column_names
    if there and not any(edits):
        return table
    earlier = table.column(c.EDITS.name).to_pylist() if there else [None] * table.num_rows
    values = [
        [*(before or []), *({"stage": stage, **edit._asdict()} for edit in new)] if new else before
        for before, new in zip(earlier, edits, strict=True)
    ]
    return set_columns(table, edits=pa.array(values, c.EDITS.type))
