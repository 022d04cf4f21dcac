"""Texts put in the place of a table's texts, and what was known of the old ones taken away."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from schemas import columns as c
from stages.edits import Edit, append_edits
from stages.rephrase.rows import STALE
from stages.stage import set_columns

ADDED = (c.BODY, c.N_CHARS, c.EDITS)  # what a stage that does so adds


def replace_texts(table: pa.Table, stage: str, texts: Sequence[str | None], rules: Sequence[str]) -> pa.Table:
    """`table` with `texts`. Of rows whose text is another, `edits` has the rule, and scores and counts are null."""
    before = table.column(c.BODY.name).to_pylist()
    changed = [new != old for new, old in zip(texts, before, strict=True)]
    edits = [
        [Edit(rule, len(old or ""), len(new or ""))] if is_new else []
        for rule, old, new, is_new in zip(rules, before, texts, changed, strict=True)
    ]
    for field in table.schema:
        if field.nullable and (field.name in STALE or field.name.endswith("_score")):
            column = pc.if_else(pa.array(changed), pa.scalar(None, field.type), table.column(field.name))
            table = table.set_column(table.schema.get_field_index(field.name), field, column)
    if c.EDITS.name not in table.column_names:
        table = set_columns(table, edits=pa.nulls(table.num_rows, c.EDITS.type))
    array = pa.array(texts, c.TEXT)
    table = set_columns(table, text=array, n_chars=pc.utf8_length(array).cast(c.N_CHARS.type))
    return append_edits(table, stage, edits)
