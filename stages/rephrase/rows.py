"""Rewrites as rows of the table: beside the original, which they name as their parent, or in its place."""

from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from schemas import columns as c
from stages.edits import Edit, append_edits
from stages.ids import id_of
from stages.models.ask import Asker, account, append_answers
from stages.rephrase.rewrite import Task, Work
from stages.stage import StageError, set_columns

STAGE = "Rephrase"
# What earlier stages found out about the text that was there before, beside every `<thing>_score`.
STALE = {
    column.name
    for column in (
        c.N_WORDS, c.N_TOKENS, c.CONTENT_HASH, c.SIGNATURE, c.BANDS, c.EMBEDDING, c.CLUSTER_ID, c.CLUSTER_SIZE,
        c.DUPLICATE_OF, c.REPEATS, c.REPEATED_LINES, c.CONTAMINATED_BY, c.CENTROID, c.CENTROID_SIMILARITY, c.SIMILARITY,
    )
}  # fmt: skip


class Found(NamedTuple):
    """What became of each row of a table in one style."""

    task: Task
    works: list[Work]


def prepared(table: pa.Table, adds: pa.Schema, found: list[Found]) -> pa.Table:
    """`table` with every column of `adds`, null where it is new, and the errors of rows that failed in any style."""
    for field in (c.ID, *adds):
        if field.name in table.column_names:
            place = table.column_names.index(field.name)
            table = table.set_column(place, field, _cast(table.column(place), field))
        else:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    errors = [
        next((work.error for work in row if work.error), None) for row in zip(*(f.works for f in found), strict=True)
    ]
    lengths = pc.utf8_length(table.column(c.BODY.name)).cast(c.N_CHARS.type)
    return set_columns(table, n_chars=lengths, error=pa.array(errors, c.TEXT))


def _cast(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise StageError(
            f"{STAGE} writes a column {field.name!r}, and the input has another of that name ({column.type}): rename it"
        ) from error


def instead(table: pa.Table, found: Found, asker: Asker) -> pa.Table:
    """`table` with the texts that were rewritten in place of the old ones."""
    alive = pc.is_null(table.column(c.ERROR.name)).to_pylist()
    works = [work if lives else None for work, lives in zip(found.works, alive, strict=True)]
    entries = [_entry(found.task, work, asker) if work else None for work in works]
    rows = [row for row, work in enumerate(works) if work and work.result is not None]
    edits: list[list[Edit]] = [[] for _ in works]
    for row in rows:
        edits[row] = [_edit(found.task, found.works[row])]
    new = _rewritten(table.take(pa.array(rows, pa.int64())), found, rows, asker)
    merged = pa.concat_tables([table, new])
    place = {row: table.num_rows + number for number, row in enumerate(rows)}
    table = merged.take(pa.array([place.get(row, row) for row in range(table.num_rows)], pa.int64()))
    return append_answers(append_edits(table, STAGE, edits), entries)


def beside(table: pa.Table, found: list[Found], asker: Asker) -> pa.Table:
    """The rows of `table`, each with its rewrites behind it; a row in a style that gave none has the account of it."""
    alive = pc.is_null(table.column(c.ERROR.name)).to_pylist()
    parts, order = [], [(row, 0) for row in range(table.num_rows)]
    for number, style in enumerate(found, 1):
        made = [bool(lives and work.result is not None) for work, lives in zip(style.works, alive, strict=True)]
        entries = [_entry(style.task, work, asker) for work in style.works]
        kept = [None if m or not a else entry for m, a, entry in zip(made, alive, entries, strict=True)]
        table = append_answers(table, kept)
        rows = [row for row, is_made in enumerate(made) if is_made]
        new = _rewritten(table.take(pa.array(rows, pa.int64())), style, rows, asker)
        ids = new.column(c.ID.name).to_pylist()
        new = set_columns(
            new,
            id=pa.array([id_of(f"{id_}#{style.task.name}#0") for id_ in ids], c.ID.type),
            parents=pa.array([[id_] for id_ in ids], c.PARENTS.type),
            edits=pa.nulls(len(rows), c.EDITS.type),
            answers=pa.nulls(len(rows), c.ANSWERS.type),
        )
        new = append_edits(new, STAGE, [[_edit(style.task, style.works[row])] for row in rows])
        parts.append(append_answers(new, [entries[row] for row in rows]))
        order += [(row, number) for row in rows]
    merged = pa.concat_tables([table, *parts])
    return merged.take(pa.array(sorted(range(len(order)), key=order.__getitem__), pa.int64()))


def _rewritten(rows: pa.Table, found: Found, numbers: list[int], asker: Asker) -> pa.Table:
    """`rows`, which are `numbers` of the table, with the new text and without what was known of the old one."""
    works = [found.works[number] for number in numbers]
    for field in rows.schema:
        if field.nullable and (field.name in STALE or field.name.endswith("_score")):
            rows = rows.set_column(rows.schema.get_field_index(field.name), field, pa.nulls(rows.num_rows, field.type))
    text = pa.array([work.result for work in works], c.TEXT)
    rows = set_columns(
        rows,
        text=text,
        n_chars=pc.utf8_length(text).cast(c.N_CHARS.type),
        model=pa.array([asker.model] * len(works), c.MODEL.type),
        prompt_hash=pa.array([found.task.prompt.hash] * len(works), c.PROMPT_HASH.type),
    )
    if c.CONFIDENCE.name in rows.column_names and found.task.samples:
        scores = pa.array([work.confidence for work in works], c.CONFIDENCE.type)
        rows = rows.set_column(rows.schema.get_field_index(c.CONFIDENCE.name), c.CONFIDENCE, scores)
    return rows


def _edit(task: Task, work: Work) -> Edit:
    return Edit(task.name, len(work.text), len(work.result or ""))


def _entry(task: Task, work: Work, asker: Asker) -> dict[str, Any]:
    return account(asker, STAGE, task.prompt.hash, work.answers, work.decision, work.rejected)
