import gzip
import io
import json
from typing import Any

import pyarrow as pa
import pytest
import zstandard

from schemas import columns
from schemas.document import DOCUMENT
from stages import read_jsonl
from stages.ids import id_of
from stages.read_jsonl import ReadJsonl
from stages.stage import Piece, Source
from tests.stages.fitting import assert_fits


def read(data: bytes, name: str = "a.jsonl", source: ReadJsonl | None = None, pieces: list[Piece] | None = None) -> Any:
    rows, places = [], []
    source = source or ReadJsonl()
    for piece in pieces or [Piece(name)]:
        for item in source.open()(io.BytesIO(data), piece):
            if isinstance(item, pa.Table):
                item.validate(full=True)
                assert_fits(item, source.schema(io.BytesIO(data), name))
                rows += item.to_pylist()
            else:
                places.append((item.offset, item.error))
    return rows, places


def test_it_is_a_source_of_documents():
    assert isinstance(ReadJsonl(), Source)
    expected = pa.schema([*DOCUMENT, columns.META, columns.DROP_REASON])
    assert ReadJsonl().schema(io.BytesIO(), "a.jsonl").equals(expected, check_metadata=True)


def test_a_line_becomes_a_row():
    line = '{"text": "Grüße", "url": "http://a/", "date": "2024", "dump": "CC-MAIN-2024-22", "n": 1, "by": "x"}\n'
    ((row,), places) = read(line.encode())
    assert row == {
        "id": id_of("a.jsonl#0"),
        "url": "http://a/",
        "date": "2024",
        "dump": "CC-MAIN-2024-22",
        "source": "a.jsonl#0",
        "text": "Grüße",
        "meta": [("n", "1"), ("by", "x")],
        "drop_reason": None,
    }
    assert places == []


def test_fields_are_taken_from_where_the_settings_say():
    line = json.dumps({"raw": "one", "id": 7, "metadata": {"url": "http://a/", "score": 0.5}, "a.b": "x"}).encode()
    ((row,), _) = read(line, source=ReadJsonl(text="raw", url="metadata.url", date="a.b"))
    assert (row["id"], row["text"], row["url"], row["date"]) == ("7", "one", "http://a/", "x")
    assert row["meta"] == [("metadata", '{"score": 0.5}')]


def test_a_null_text_is_dropped():
    ((row,), _) = read(b'{"text": null, "id": "a"}')
    assert (row["id"], row["text"], row["drop_reason"]) == ("a", None, "null_text")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"no json", "line at byte 14: Expecting value: line 1 column 1 (char 0)"),
        (b"[1]", "line at byte 14: no JSON object but list"),
        (b'{"txet": "x"}', "line at byte 14: no field 'text'; did you mean 'txet'? (there: txet); set ReadJsonl.text"),
        (b'{"text": 5}', "line at byte 14: field 'text' holds int, not text"),
        (
            b'{"text": "\xff"}',
            "line at byte 14: 'utf-8' codec can't decode byte 0xff in position 10: invalid start byte",
        ),
        (b'{"text": ' + b"[" * 100_000, None),
    ],
)
def test_a_line_that_is_no_document_is_unreadable(line, error):
    rows, places = read(b'{"text": "0"}\n' + line + b'\n\n \n{"text": "1"}\r\n')
    assert [row["text"] for row in rows] == ["0", "1"]
    assert [place for place, _ in places] == [14]
    assert error is None or places[0][1] == error


def test_surrogates_and_byte_order_mark():
    rows, _ = read(b'\xef\xbb\xbf{"text": "a\\ud800b \\ud83d\\ude00", "x": "\\udfff"}')
    assert (rows[0]["text"], rows[0]["meta"]) == ("a\ufffdb \U0001f600", [("x", "\ufffd")])


LINES = b"".join(json.dumps({"text": f"document {i} " * (i % 7)}).encode() + b"\n" for i in range(200))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl.gz", gzip.compress(LINES)),
        ("a.jsonl.gz", gzip.compress(LINES[:1000]) + gzip.compress(LINES[1000:])),
        ("a.jsonl.zst", zstandard.compress(LINES)),
        ("a.jsonl.zst", zstandard.compress(LINES[:1000]) + zstandard.compress(LINES[1000:])),
        ("a", gzip.compress(LINES)),
    ],
)
def test_compressed_files(name, data):
    rows, places = read(data, name)
    assert ([row["text"] for row in rows], places) == ([row["text"] for row in read(LINES)[0]], [])
    assert rows[3]["source"] == f"{name}#{len(b''.join(LINES.splitlines(True)[:3]))}"
    assert ReadJsonl(piece_bytes=10).split(io.BytesIO(data), name, len(data)) == [Piece(name)]


@pytest.mark.parametrize(("name", "pack"), [("a.gz", gzip.compress), ("a.zst", zstandard.compress)])
def test_a_compressed_file_that_is_cut(name, pack):
    data = pack(LINES)
    rows, ((offset, error),) = read(data[:-9], name)
    assert [row["text"] for row in rows] == [row["text"] for row in read(LINES[:offset])[0]]
    assert error.startswith("the file ends within a") and error.endswith(f"the rest from byte {offset} on is lost")
    assert read(b"not compressed", name)[1][0][0] == 0


@pytest.mark.parametrize("piece_bytes", [1, 13, 14, 15, 100, 1000, 5000])
def test_pieces_together_are_the_whole(piece_bytes):
    source = ReadJsonl(piece_bytes=piece_bytes)
    pieces = source.split(io.BytesIO(LINES), "a.jsonl", len(LINES))
    assert read(LINES, source=source, pieces=pieces) == read(LINES)


def test_a_line_that_is_too_long(monkeypatch):
    monkeypatch.setattr(read_jsonl, "LINE_BYTES", 1000)
    monkeypatch.setattr(read_jsonl, "READ_BYTES", 100)
    rows, places = read(b'{"text": "0"}\n{"text": "' + b"x" * 5000 + b'"}\n{"text": "1"}\n')
    assert [row["text"] for row in rows] == ["0", "1"]
    assert places == [(14, "line at byte 14 is longer than 1000 bytes")]
    assert rows[1]["source"] == "a.jsonl#5027"


def test_tables_are_bounded_by_bytes():
    tables = list(ReadJsonl(table_bytes=2000).open()(io.BytesIO(LINES), Piece("a")))
    assert max(sum(map(len, table["text"].to_pylist())) for table in tables) < 2100
    assert sum(table.num_rows for table in tables) == 200
