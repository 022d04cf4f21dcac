"""New rows that were made from documents: what they take over, what is theirs, and the text they must be true to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from schemas import columns as c
from stages.ids import id_of
from stages.stage import set_columns

TAKEN_OVER = (c.URL.name, c.DATE.name, c.DUMP.name, c.SOURCE.name, c.TITLE.name, c.LANG.name)
# What every stage that makes rows adds.
ADDED = (
    c.ID, c.BODY, c.PARENTS, c.PARENT_TEXT, c.ENTITIES, c.MODEL, c.PROMPT_HASH, c.ANSWERS, c.DROP_REASON, c.ERROR,
)  # fmt: skip


@dataclass(frozen=True)
class Heir:
    """One new row. `row`: its document's place in the table; `parts`: what tells it from others of that document."""

    row: int
    parts: tuple[str, ...]
    text: str
    reason: str | None = None  # why it is dropped
    error: str | None = None  # why it is dead
    answer: dict[str, Any] | None = None  # an entry of `stages.models.ask.account`
    entities: Sequence[str] = field(default_factory=tuple)


def heir_id(stage: str, document: str, parts: Sequence[str]) -> str:
    """The id of a new row: a hash of stage, document and parts."""
    return id_of("\x1f".join((stage, document, *parts)))


def heirs(table: pa.Table, stage: str, model: str | None, made: Sequence[Heir]) -> pa.Table:
    """The rows `made` of the documents of `table`, those of one document together, in the order they were made.

    Every document must have one at least (a row without an heir is a row lost). `parent_text` is the document's text,
    once in memory however many rows it has. A dead row has all that is known of its document: it is made again of that
    (stages/synthesize/again.py).
    """
    ordered = sorted(made, key=lambda heir: heir.row)
    rows = pa.array([heir.row for heir in ordered], pa.int32())
    dead = pa.array([heir.row if heir.error is not None else None for heir in ordered], pa.int32())
    ids = table.column(c.ID.name).to_pylist()
    texts = table.column(c.BODY.name).combine_chunks()
    values: dict[str, list[Any]] = {
        c.ID.name: [heir_id(stage, ids[h.row], h.parts) for h in ordered],
        c.BODY.name: [h.text for h in ordered],
        c.PARENTS.name: [[ids[h.row]] for h in ordered],
        c.ENTITIES.name: [list(h.entities) for h in ordered],
        c.MODEL.name: [model] * len(ordered),
        c.PROMPT_HASH.name: [h.answer["prompt_hash"] if h.answer else None for h in ordered],
        c.ANSWERS.name: [[h.answer] if h.answer else None for h in ordered],
        c.DROP_REASON.name: [h.reason if h.error is None else None for h in ordered],
        c.ERROR.name: [h.error for h in ordered],
    }
    types = {f.name: f.type for f in ADDED}
    arrays = {name: pa.array(column, types[name]) for name, column in values.items()}
    arrays[c.PARENT_TEXT.name] = pa.DictionaryArray.from_arrays(rows, texts)
    kept = pa.table([arrays.pop(c.ID.name)], schema=pa.schema([c.ID]))
    for field_ in table.schema:
        if field_.name in TAKEN_OVER:
            kept = kept.append_column(field_, table.column(field_.name).take(rows))
        elif field_.name not in types:  # said of the document, not of what is made from it
            known = pa.nulls(len(ordered), field_.type)
            if dead.null_count < len(dead) and not c.is_transient(field_):
                known = table.column(field_.name).take(dead)
            kept = kept.append_column(field_, known)
    return set_columns(kept, **arrays)
