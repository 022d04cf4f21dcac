"""One error names every fault, and the nearest name."""

import pyarrow as pa

from schemas import columns as c
from schemas.check import conform, missing, nearest

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


def test_conform_orders_fills_and_leaves_out() -> None:
    table = pa.table({"more": [1], "id": ["a"]})
    assert conform(table, SCHEMA).to_pydict() == {"id": ["a"], "text": [None]}
    assert conform(table, SCHEMA).schema == SCHEMA


def test_conform_takes_tables_without_rows_and_in_chunks() -> None:
    chunks = pa.concat_tables([pa.table({"id": ["a"]}), pa.table({"id": ["b"]})])
    assert conform(chunks, SCHEMA).column("id").to_pylist() == ["a", "b"]
    assert conform(chunks.slice(0, 0), SCHEMA).num_rows == 0
