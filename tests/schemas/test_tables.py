"""Tables in halves, and what counts as text."""

import pyarrow as pa
import pytest

from schemas.tables import halved, is_text


def test_tables_are_halved_until_they_are_small_and_every_row_stays_in_order() -> None:
    table = pa.table({"n": pa.array(range(10), pa.int64())})  # 80 bytes
    assert [part.column("n").to_pylist() for part in halved(table, 10)] == [
        [0, 1], [2], [3, 4], [5, 6], [7], [8, 9]
    ]  # fmt: skip
    assert [part.num_rows for part in halved(table, 40)] == [10]
    assert [part.num_rows for part in halved(table, 1)] == [1] * 10  # one row is never cut
    assert [part.num_rows for part in halved(table.slice(0, 0), 1)] == [0]


def test_long_rows_are_cut_out_and_short_ones_stay_together() -> None:
    table = pa.table({"text": ["a" * 40, "b" * 500, "c", "d", "e"]})
    assert [part["text"].to_pylist() for part in halved(table, 50)] == [["a" * 40], ["b" * 500], ["c", "d", "e"]]


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (pa.string(), True), (pa.large_string(), True), (pa.dictionary(pa.int32(), pa.string()), True),
        (pa.dictionary(pa.int32(), pa.int64()), False), (pa.binary(), False), (pa.int64(), False),
    ],
)  # fmt: skip
def test_text_is_text_in_a_dictionary_too(type_: pa.DataType, text: bool) -> None:
    assert is_text(type_) is text
