import gzip
import io
import itertools
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas import columns
from schemas.document import RECORD
from stages.ids import id_of
from stages.read_warc import ReadWarc
from stages.stage import Piece, Source
from stages.warc.archive import read_archive
from tests.stages.archives import HTML, gz, lz, page, pages, read, read_pieces, record, urls
from tests.stages.fitting import assert_fits


def test_it_is_a_source_of_records_and_a_reason():
    assert isinstance(ReadWarc(), Source)
    schema = ReadWarc().schema(io.BytesIO(), "a.warc.gz")
    assert schema.equals(pa.schema([*RECORD, columns.DROP_REASON]), check_metadata=True)


def test_a_response_becomes_one_row():
    data = gz(
        record(b"software: x", "warcinfo"),
        record(
            b"HTTP/1.1 200 OK\r\nContent-Type: Text/HTML; charset=windows-1252\r\n\r\n<p>caf\xe9</p>",
            url="http://a.example/caf\u00e9",
        ),
    )
    uri = "s3://commoncrawl/crawl-data/CC-MAIN-2024-22/segments/1/warc/a.warc.gz"
    source = f"{uri}#{len(gz(record(b'software: x', 'warcinfo')))}"
    (table,) = ReadWarc().open()(io.BytesIO(data), Piece(uri))
    assert_fits(table, ReadWarc().schema(io.BytesIO(), uri))
    assert table.to_pylist() == [
        {
            "id": id_of(source),
            "url": "http://a.example/caf\u00e9",
            "date": "2024-05-01T10:00:00Z",
            "dump": "CC-MAIN-2024-22",
            "source": source,
            "http_status": 200,
            "mime": "text/html",
            "charset": "cp1252",
            "html": "<p>caf\u00e9</p>",
            "text": None,
            "drop_reason": None,
        }
    ]


def test_a_wet_record_becomes_a_text():
    data = gz(record("Grüße".encode(), "conversion", content_type="text/plain"))
    ((row,), places) = read(data, "a.warc.wet.gz")
    assert (row["text"], row["html"], row["mime"], row["charset"]) == ("Grüße", None, "text/plain", "utf-8")
    assert (row["http_status"], row["drop_reason"], places) == (None, None, [])


def test_other_records_are_no_rows():
    kinds = ("warcinfo", "request", "metadata", "revisit", "resource", "continuation", "x-unknown")
    assert read(gz(*[record(b"GET / HTTP/1.1\r\n\r\n", kind) for kind in kinds])) == ([], [])


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n<p>no", "http_status"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n\x89PNG", "mime"),
        (b"HTTP/1.1 200 OK\r\n\r\n<p>what am I", "mime"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\ntext", "mime"),
        (HTML, "empty_body"),
        (HTML + b" \r\n\t\0", "empty_body"),
        (HTML + b"x" * 1001, "too_large"),
        (HTML + b"x" * 5000, "too_large"),
        (b"20240501100000\na.example. 300 IN A 10.0.0.1", "not_http"),
        (
            b"HTTP/1.1 200\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08broken",
            "bad_encoding",
        ),
    ],
)
def test_a_rejected_response_is_a_row_with_a_reason(block, reason):
    ((row,), places) = read(gz(record(block)), source=ReadWarc(max_bytes=1000))
    assert (row["drop_reason"], row["html"], row["text"]) == (reason, None, None)
    assert (row["url"], places) == ("http://a.example/", [])


@pytest.mark.parametrize(
    ("block", "mime", "reason"),
    [(b"", "text/plain", "empty_body"), (b"x" * 1001, "text/plain", "too_large"), (b"{}", "application/json", "mime")],
)
def test_a_rejected_text_is_a_row_with_a_reason(block, mime, reason):
    ((row,), _) = read(gz(record(block, "conversion", content_type=mime)), source=ReadWarc(max_bytes=1000))
    assert (row["drop_reason"], row["text"], row["mime"]) == (reason, None, mime)


def test_the_settings_say_what_is_a_page():
    data = gz(
        record(b"HTTP/1.1 404 Gone\r\nContent-Type: text/plain\r\n\r\ngone"), record(HTML + b"<p>", url="http://b/")
    )
    rows, _ = read(data, source=ReadWarc(statuses=(404,), mimes=("text/plain",)))
    assert [row["drop_reason"] for row in rows] == [None, "http_status"]


def test_url_is_wget_s_without_brackets_and_headers_are_read_by_any_case():
    data = gz(record(HTML + b"<p>", url="<http://a.example/x>").replace(b"WARC-Type", b"warc-type"))
    ((row,), _) = read(data)
    assert row["url"] == "http://a.example/x"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.warc", b"".join(pages(*range(30)))),
        ("a.warc.gz", gz(*pages(*range(30)))),
        ("a.warc.gz", gzip.compress(b"".join(pages(*range(30))))),
        ("a.warc.lz4", lz(*pages(*range(30)))),
        ("no-ending", gz(*pages(*range(30)))),
        ("no-ending", lz(*pages(*range(30)))),
    ],
)
def test_every_packing_gives_the_same_rows(name, data):
    rows, places = read(data, name)
    assert (urls(rows), places) == (list(range(30)), [])
    assert rows[7]["html"] == "<html><body>page 7</body></html>"
    assert len({row["id"] for row in rows}) == 30


def test_source_names_the_record():
    two = [page(0), page(1)]
    first = len(gz(page(0)))
    assert [row["source"] for row in read(gz(*two))[0]] == ["a.warc.gz#0", f"a.warc.gz#{first}"]
    assert [row["source"] for row in read(b"".join(two), "a.warc")[0]] == ["a.warc#0", f"a.warc#{len(page(0))}"]
    whole = gzip.compress(b"".join(two))
    assert [row["source"] for row in read(whole)[0]] == ["a.warc.gz#0", f"a.warc.gz#0+{len(page(0))}"]


def test_tables_are_bounded_by_bytes():
    data = gz(*[page(i, 1000) for i in range(10)])
    sizes = [t.num_rows for t in ReadWarc(table_bytes=2000).open()(io.BytesIO(data), Piece("a.warc.gz"))]
    assert sizes == [2, 2, 2, 2, 2]


def bgzf(data: bytes, n_bytes: int) -> bytes:
    """Members cut without regard to records, and an empty one at the end."""
    cuts = range(0, len(data), n_bytes)
    return b"".join(gzip.compress(data[i : i + n_bytes], mtime=0) for i in cuts) + gzip.compress(b"", mtime=0)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.warc.gz", gz(*pages(*range(60)))),
        ("a.warc.gz", gzip.compress(b"".join(pages(*range(60))))),
        (
            "a.warc.gz",
            gz(*pages(*range(20))) + gzip.compress(b"".join(pages(*range(20, 40)))) + gz(*pages(*range(40, 60))),
        ),
        ("a.warc.gz", bgzf(b"".join(pages(*range(60))), 1000)),
        ("a.warc.lz4", lz(*pages(*range(60)))),
        ("a.warc.gz", gz(*pages(*range(30))) + b"garbage" * 9 + gz(*pages(*range(30, 60)))),
    ],
)
def test_pieces_together_are_the_whole(name, data):
    whole = read_pieces(data, [Piece(name)])
    assert urls(whole[0]) == list(range(60))
    for piece_bytes in (len(data) // 2, len(data) // 7, 200, 90):
        source = ReadWarc(piece_bytes=piece_bytes)
        pieces = source.split(io.BytesIO(data), name, len(data))
        assert [p.start for p in pieces[1:]] + [None] == [p.stop for p in pieces]
        assert read_pieces(data, pieces, source) == whole


def test_a_piece_reads_no_further_than_it_must():
    class Counted(io.BytesIO):
        n_bytes = 0

        def read(self, size=-1):
            data = super().read(size)
            Counted.n_bytes += len(data)
            return data

    rng = random.Random(1)
    whole = gzip.compress(b"".join(record(HTML + rng.randbytes(100_000)) for _ in range(80)), compresslevel=1)
    list(ReadWarc().open()(Counted(whole), Piece("a.warc.gz", 1_000_000, 2_000_000)))
    assert Counted.n_bytes < 3_200_000 < len(whole) / 2


def test_small_and_plain_files_are_one_piece():
    plain = b"".join(pages(*range(9)))
    assert ReadWarc(piece_bytes=100).split(io.BytesIO(plain), "a.warc", len(plain)) == [Piece("a.warc")]
    data = gz(*pages(*range(9)))
    assert ReadWarc().split(io.BytesIO(data), "a.warc.gz", len(data)) == [Piece("a.warc.gz")]


def test_a_storage_that_fails_is_no_broken_archive():
    class Storage(io.BytesIO):
        def read(self, size=-1):
            if self.tell() >= 65536:
                raise TimeoutError("storage is away")
            return super().read(min(65536, size))

    data = gz(
        *[
            record(HTML + bytes(itertools.islice(itertools.cycle(range(256)), 9999)), url=f"http://a/{i}")
            for i in range(999)
        ]
    )
    assert len(data) > 200_000
    with pytest.raises(TimeoutError):
        list(ReadWarc().open()(Storage(data), Piece("a.warc.gz")))


def test_real_pages(shared: Path):
    path = shared / "pages-dev.warc.gz"
    with path.open("rb") as file:
        tables = list(ReadWarc().open()(file, Piece(str(path))))
        pieces = ReadWarc(piece_bytes=5_000_000).split(file, str(path), path.stat().st_size)
        split = [table for piece in pieces for table in ReadWarc().open()(file, piece)]
        slow = [r.place for r in read_archive(file, Piece(str(path)), 40_000_000, fast=False)]
    rows = pa.concat_tables(tables)
    truth = pq.read_table(shared / "pages-dev.truth.parquet", columns=["url", "warc_offset"])
    offsets = dict(zip(truth["url"].to_pylist(), truth["warc_offset"].to_pylist(), strict=True))
    assert (rows.num_rows, rows["html"].null_count, len(set(rows["id"].to_pylist()))) == (1709, 0, 1709)
    assert max(table.nbytes for table in tables) < 20_000_000
    assert dict(zip(rows["url"].to_pylist(), rows["source"].to_pylist(), strict=True)) == {
        url: f"{path}#{offset}" for url, offset in offsets.items()
    }
    assert (len(pieces), pa.concat_tables(split).equals(rows)) == (8, True)
    assert [f"{path}#{place}" for place in slow] == rows["source"].to_pylist()


@pytest.mark.parametrize(
    ("name", "n_rows", "n_kept"), [("crawl-dev.warc.gz", 324, 258), ("wet-dev.warc.wet.gz", 69, 69)]
)
def test_real_records(shared: Path, name, n_rows, n_kept):
    rows, places = read((shared / name).read_bytes(), name)
    assert (len(rows), sum(row["drop_reason"] is None for row in rows), places) == (n_rows, n_kept, [])
