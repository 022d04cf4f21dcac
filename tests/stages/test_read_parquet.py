import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas import columns
from schemas.check import SchemaError
from schemas.document import DOCUMENT
from stages.ids import id_of
from stages.read_parquet import ReadParquet
from stages.stage import Piece, Source, Unreadable
from tests.stages.fitting import assert_fits

DROP = columns.DROP_REASON


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def read(data: bytes, source: ReadParquet | None = None, pieces: list[Piece] | None = None) -> tuple[Any, Any]:
    """All tables as one, checked against `schema`, and the unreadable places."""
    source = source or ReadParquet()
    tables, places = [], []
    for piece in pieces or [Piece("a.parquet")]:
        for item in source.open()(io.BytesIO(data), piece):
            if isinstance(item, Unreadable):
                places.append(item)
            else:
                item.validate(full=True)
                assert_fits(item, source.schema(io.BytesIO(data), "a.parquet"))
                tables.append(item)
    return (pa.concat_tables(tables) if tables else None), places


def test_it_is_a_source_whose_files_may_differ():
    assert isinstance(ReadParquet(), Source)
    assert ReadParquet.schema_differs


def test_a_foreign_file_gets_ids_and_large_text():
    table, _ = read(parquet(pa.table({"text": ["a", None, "c"], "stars": pa.array([1, 2, 3], pa.int8())})))
    assert table.schema.names == ["text", "stars", "id", "source", "drop_reason"]
    assert table.schema.field("text").type == pa.large_string()
    assert table["stars"].type == pa.int8()
    assert table["source"].to_pylist() == ["a.parquet#0", "a.parquet#1", "a.parquet#2"]
    assert table["id"].to_pylist() == [id_of("a.parquet#0"), id_of("a.parquet#1"), id_of("a.parquet#2")]
    assert table["drop_reason"].to_pylist() == [None, "null_text", None]


def test_columns_are_mapped():
    data = parquet(pa.table({"doc": [7, 8], "body": ["a", "b"], "link": ["x", "y"], "text": ["old", "old"]}))
    table, _ = read(data, ReadParquet(text="body", id="doc", url="link"))
    assert table.schema.names == ["id", "text", "url", "source", "drop_reason"]
    assert table.select(["id", "text", "url"]).to_pylist() == [
        {"id": "7", "text": "a", "url": "x"},
        {"id": "8", "text": "b", "url": "y"},
    ]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array(["x", None]), ["x", id_of("a.parquet#1")]),
        (pa.array(["x", "y"], pa.large_string()), ["x", "y"]),
        (pa.array(["x", "y"]).dictionary_encode(), ["x", "y"]),
        (pa.array([1, 2]), [id_of("a.parquet#0"), id_of("a.parquet#1")]),
    ],
)
def test_ids_of_the_file_are_kept_if_they_are_text(ids, expected):
    table, _ = read(parquet(pa.table({"id": ids, "text": ["a", "b"]})))
    assert table["id"].to_pylist() == expected
    assert table.schema.field("id").equals(columns.ID, check_metadata=True)


def test_known_columns_take_their_type_and_others_keep_theirs():
    data = parquet(
        pa.table(
            {
                "text": pa.array(["a"], pa.large_string()).dictionary_encode(),
                "url": pa.array(["u"], pa.large_string()),
                "n_tokens": pa.array([5], pa.int32()),
                "lang_score": pa.array([0.1], pa.float64()),
                "date": pa.array([1], pa.timestamp("ms")),
                "meta": pa.array([{"a": 1}]),
            }
        )
    )
    table, _ = read(data)
    assert [str(t) for t in table.schema.types[:6]] == [
        "large_string", "string", "int64", "float", "timestamp[ms]", "struct<a: int64>",
    ]  # fmt: skip


def test_what_headrace_writes_comes_back_as_it_was():
    row = {
        "id": "i", "url": "u", "date": "d", "dump": None, "source": "s#1", "text": "x", "lang": "en", "lang_score": 0.5,
        "n_words": 3, "content_hash": b"0123456789abcdef", "parents": ["p"], "meta": [("k", "v")], "signature": [1, 2],
        "edits": [{"stage": "Pii", "rule": "email", "n_chars_before": 9, "n_chars_after": 8}],
    }  # fmt: skip
    fields = [*DOCUMENT, *(columns.ALL[name] for name in row if name not in DOCUMENT.names)]
    written = pa.Table.from_pylist([row] * 50, schema=pa.schema(fields))
    table, places = read(parquet(written, row_group_size=7))
    assert table.schema.equals(pa.schema([*fields, DROP]), check_metadata=True)
    assert (table.drop_columns(["drop_reason"]).equals(written), table["drop_reason"].null_count) == (True, 50)
    assert places == []


def test_a_verdict_of_another_run_is_left_out():
    data = parquet(
        pa.table({"drop_stage": ["C4"], "drop_reason": ["too_short"], "id": ["i"], "text": ["a"], "error": ["e"]})
    )
    table, _ = read(data)
    assert table.to_pylist() == [{"id": "i", "text": "a", "source": "a.parquet#0", "drop_reason": None}]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (ReadParquet(), "u: column 'text' is missing; did you mean 'texts'? (there: texts, n); set ReadParquet.text"),
        (ReadParquet(text="n"), "u: column 'n' is int64, ReadParquet.text takes text"),
        (
            ReadParquet(text="a", url="b"),
            "u: column 'a' is missing (there: texts, n); set ReadParquet.text; "
            "column 'b' is missing (there: texts, n); set ReadParquet.url",
        ),
    ],
)
def test_a_file_without_the_columns_asked_for(source, message):
    data = parquet(pa.table({"texts": ["a"], "n": [1]}))
    with pytest.raises(SchemaError) as error:
        source.schema(io.BytesIO(data), "u")
    assert str(error.value) == message
    with pytest.raises(SchemaError):
        list(source.open()(io.BytesIO(data), Piece("u")))


MANY = pa.table({"text": [f"document {i}" for i in range(1000)], "n": list(range(1000))})


@pytest.mark.parametrize("piece_bytes", [1, 2000, 4000])
def test_pieces_are_whole_row_groups_and_together_the_whole(piece_bytes):
    data = parquet(MANY, row_group_size=100)
    source = ReadParquet(piece_bytes=piece_bytes)
    pieces = source.split(io.BytesIO(data), "a.parquet", len(data))
    assert (pieces[0].start, pieces[-1].stop) == (0, None)
    assert [piece.stop for piece in pieces[:-1]] == [piece.start for piece in pieces[1:]]
    assert len(pieces) == {1: 10, 2000: 5, 4000: 3}[piece_bytes]
    assert read(data, source, pieces)[0].equals(read(data)[0])


def test_tables_are_bounded_by_bytes():
    data = parquet(
        pa.table({"text": ["x" * 1000 for _ in range(100)] + ["y" * 100_000 for _ in range(20)]}), use_dictionary=False
    )
    tables = list(ReadParquet(table_bytes=150_000).open()(io.BytesIO(data), Piece("a.parquet")))
    assert max(table.nbytes for table in tables) <= 300_000
    assert sum(table.num_rows for table in tables) == 120
    assert tables[-1]["source"].to_pylist()[-1] == "a.parquet#119"


def test_text_that_is_not_utf8_is_repaired():
    text = pa.array([b"caf\xe9", None, b"ok"], pa.binary()).view(pa.string())
    table, _ = read(parquet(pa.table({"text": text})))
    assert table["text"].to_pylist() == ["caf\ufffd", None, "ok"]


@pytest.mark.parametrize("data", [b"", b"PAR1", b"this is no Parquet file" * 99, parquet(MANY)[:-100]])
def test_a_file_that_is_no_parquet(data):
    source = ReadParquet(piece_bytes=10)
    assert source.split(io.BytesIO(data), "a.parquet", len(data)) == [Piece("a.parquet")]
    (place,) = ReadParquet().open()(io.BytesIO(data), Piece("a.parquet"))
    assert (place.offset, place.error.startswith("no Parquet file: ")) == (0, True)
    with pytest.raises(ValueError, match="no Parquet file"):
        source.schema(io.BytesIO(data), "a.parquet")


def test_a_row_group_that_is_broken_is_passed_by():
    data = bytearray(parquet(MANY, row_group_size=100, compression="zstd"))
    column = pq.ParquetFile(io.BytesIO(bytes(data))).metadata.row_group(3).column(0)
    data[column.data_page_offset : column.data_page_offset + 40] = b"\xff" * 40
    table, (place,) = read(bytes(data))
    assert table["n"].to_pylist() == [*range(300), *range(400, 1000)]
    assert (place.offset, place.error.startswith("row group 3 from row 300 on: ")) == (3, True)


def test_a_storage_that_fails_is_no_broken_file():
    class Storage(io.BytesIO):
        def read(self, size=-1):
            raise OSError("storage is away")

    file = Storage(parquet(MANY))
    source = ReadParquet(piece_bytes=1)
    with pytest.raises(OSError, match="storage is away"):
        source.split(file, "a", 9999)
    with pytest.raises(OSError, match="storage is away"):
        source.schema(file, "a")
    with pytest.raises(OSError, match="storage is away"):
        list(source.open()(file, Piece("a")))


def test_a_file_without_rows():
    assert read(parquet(MANY.slice(0, 0))) == (None, [])


def test_real_documents(shared: Path):
    table, places = read((shared / "webtext-dev.parquet").read_bytes())
    assert (table.num_rows, places, table["text"].null_count) == (2091, [], 0)
