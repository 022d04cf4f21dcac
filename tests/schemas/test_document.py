"""What is written of a row, and where."""

import pyarrow as pa

from schemas import columns as c
from schemas import document

ROW = pa.schema([c.ID, c.HTML, c.BODY, c.DROP_REASON])


def test_written_leaves_out_transient_columns_and_verdicts() -> None:
    assert document.written(ROW).names == ["id", "text"]


def test_removed_says_first_where_and_why() -> None:
    assert document.removed(ROW).names == ["drop_stage", "drop_reason", "id", "text"]


def test_removed_can_be_without_text() -> None:
    assert document.removed(ROW, text=False).names == ["drop_stage", "drop_reason", "id"]


def test_dead_keeps_the_whole_row_so_that_it_can_be_replayed() -> None:
    assert document.dead(ROW).names == ["stage", "error", "traceback", "attempt", "id", "html", "text"]


def test_dead_row_that_has_an_error_column_of_its_own_keeps_one() -> None:
    names = document.dead(pa.schema([c.ID, c.ERROR, pa.field("stage", pa.string())])).names
    assert names == ["stage", "error", "traceback", "attempt", "id"]


def test_documents_and_records_have_what_every_row_has() -> None:
    for schema in (document.DOCUMENT, document.RECORD):
        assert [schema.field(f.name) for f in document.ROW] == list(document.ROW)


def test_written_is_stable() -> None:
    assert document.written(document.written(ROW)) == document.written(ROW)
