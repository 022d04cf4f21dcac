"""Rows that died where they were made of a document: a replay has them written again, and nothing else of it.

Such a row is no document. It is known by its last entry in `answers`, and keeps what is known of its document
(stages/synthesize/heirs.py), so that the same is asked about it as before.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from schemas import columns as c
from stages.stage import set_columns

FAILED = "failed"  # decision on a row whose call failed; the row is dead, so no other row has it last


class Dead(NamedTuple):
    """Rows that died, and for each the place of its document among the documents."""

    rows: pa.Table
    places: list[int]

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(self.rows.column(c.ID.name).to_pylist())


Write = Callable[[pa.Table, Dead | None], pa.Table]


def with_dead(table: pa.Table, stage: str, write: Write) -> pa.Table:
    """What `stage` makes of a table: `write(documents, None)`; of rows of its own that died, `write(documents, Dead)`.

    The latter has to return the rows that died alone, each under its id, whatever becomes of it now.
    """
    answers = table.column(c.ANSWERS.name).to_pylist() if c.ANSWERS.name in table.column_names else []
    failed = pa.array([_is_failed(entries, stage) for entries in answers], pa.bool_())
    if not pc.any(failed, min_count=0).as_py():
        return write(table, None)
    again = write(*_documents(table.filter(failed)))
    whole = table.filter(pc.invert(failed))
    return pa.concat_tables([write(whole, None), again]) if whole.num_rows else again


def _documents(rows: pa.Table) -> tuple[pa.Table, Dead]:
    """The documents of rows that died, each once."""
    ids = [parents[0] for parents in rows.column(c.PARENTS.name).to_pylist()]
    texts = rows.column(c.PARENT_TEXT.name).cast(c.TEXT).to_pylist()
    first: dict[tuple[str, str], int] = {}
    heads, places = [], []
    for row, document in enumerate(zip(ids, texts, strict=True)):
        if document not in first:
            first[document] = len(first)
            heads.append(row)
        places.append(first[document])
    documents = rows.take(pa.array(heads, pa.int64()))
    ids, texts = [id_ for id_, _ in first], [text for _, text in first]
    documents = set_columns(documents, id=pa.array(ids, c.ID.type), text=pa.array(texts, c.TEXT))
    return documents, Dead(rows, places)


def _is_failed(answers: list[dict[str, Any]] | None, stage: str) -> bool:
    """Whether a row is not a document but one that `stage` had to make of one."""
    last = answers[-1] if answers else {}
    return last.get("stage") == stage and last["decision"] == FAILED
