"""One error names every fault, and the nearest name."""

import pyarrow as pa
import pytest

from schemas import columns as c
from schemas.check import SchemaError, check_table, conform, missing, nearest

SCHEMA = pa.schema([c.ID, c.BODY])


def test_nearest_names_the_closest() -> None:
    assert nearest("txet", ["text", "url"]) == "; did you mean 'text'?"
    assert nearest("zzz", ["text", "url"]) == ""


def test_missing_column_is_named_with_a_hint() -> None:
    have = pa.schema([pa.field("n_word", pa.int64())])
    assert missing(have, pa.schema([c.N_WORDS]), "GopherQuality") == [
        "GopherQuality reads 'n_words', which no earlier stage adds; did you mean 'n_word'?"
    ]


def test_column_of_another_type_is_named_with_both() -> None:
    have = pa.schema([pa.field("text", pa.string())])
    assert missing(have, pa.schema([c.BODY]), "Pii") == ["Pii reads 'text' as large_string, found string"]


def test_nothing_missing_is_no_fault() -> None:
    assert missing(SCHEMA, pa.schema([c.BODY]), "Pii") == []


def test_table_that_fits_passes() -> None:
    check_table(pa.table({"id": ["a"], "text": ["x"]}, SCHEMA), SCHEMA, "file")


def test_every_fault_of_a_table_is_in_one_error() -> None:
    table = pa.table({"id": pa.array([None, "a"], pa.string()), "txt": ["x", "y"]})
    with pytest.raises(SchemaError) as caught:
        check_table(table, SCHEMA, "a.parquet")
    assert str(caught.value) == (
        "a.parquet: column 'id' has 1 nulls, none allowed; column 'text' (large_string) is missing; "
        "column 'txt' is not in the schema; did you mean 'text'?"
    )


def test_table_with_another_type_is_refused() -> None:
    with pytest.raises(SchemaError, match="column 'text' is string, expected large_string"):
        check_table(pa.table({"id": ["a"], "text": ["x"]}), SCHEMA, "file")


def test_conform_orders_fills_and_leaves_out() -> None:
    table = pa.table({"more": [1], "id": ["a"]})
    assert conform(table, SCHEMA).to_pydict() == {"id": ["a"], "text": [None]}
    assert conform(table, SCHEMA).schema == SCHEMA


def test_conform_takes_tables_without_rows_and_in_chunks() -> None:
    chunks = pa.concat_tables([pa.table({"id": ["a"]}), pa.table({"id": ["b"]})])
    assert conform(chunks, SCHEMA).column("id").to_pylist() == ["a", "b"]
    assert conform(chunks.slice(0, 0), SCHEMA).num_rows == 0
