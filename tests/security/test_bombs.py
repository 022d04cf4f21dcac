"""A few stored bytes that stand for very many: memory stays bounded, and each piece is a row or told of.

A process of its own reads, and looks at how far its memory grows.
"""

import gzip
import io
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import brotli
import lz4.frame
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from stages.read_warc import ReadWarc
from stages.stage import Piece, Unreadable
from stages.warc.http import BodyError, parse_response

LARGE = os.environ.get("HEADRACE_FAULTS") == "1"
PROBE = """
import ctypes, gc, json, sys
from pathlib import Path
import pyarrow as pa
from stages.read_jsonl import ReadJsonl
from stages.read_parquet import ReadParquet
from stages.read_warc import ReadWarc
from stages.stage import Piece, Unreadable
sources = {"jsonl": ReadJsonl(), "parquet": ReadParquet(), "warc": ReadWarc()}
def peak():
    return int(next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmHWM")).split()[1])
for line in sys.stdin:
    path = line.strip()
    gc.collect(), pa.default_memory_pool().release_unused(), ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
    before, rows, reasons, errors = peak(), 0, set(), []
    with open(path, "rb") as file:
        for item in sources[path.split(".")[1]].open()(file, Piece(path)):
            if isinstance(item, Unreadable):
                errors.append(item.error)
            else:
                rows += item.num_rows
                reasons.update(map(str, item.column("drop_reason").unique().to_pylist()))
            item = None
    print(json.dumps([rows, sorted(reasons), errors, (peak() - before) // 1024]), flush=True)
"""
Read = Callable[[Path], tuple[int, list[str], list[str], int]]


@pytest.fixture(scope="module")
def read() -> Iterator[Read]:
    """Reads a file: (rows, their reasons, what could not be read, megabytes that the process grew by)."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("peaks are reset by Linux alone")
    process = subprocess.Popen([sys.executable, "-c", PROBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None

    def read_(path: Path) -> tuple[int, list[str], list[str], int]:
        print(path, file=process.stdin, flush=True)
        rows, reasons, errors, megabytes = json.loads(process.stdout.readline())  # type: ignore[union-attr]
        return rows, reasons, errors, megabytes

    yield read_
    process.communicate()


def zeros(pack: Any, size: int) -> bytes:
    """`size` NUL bytes, compressed by `pack`, an object with compress and flush."""
    block = bytes(1 << 24)
    return b"".join([*(pack.compress(block) for _ in range(size >> 24)), pack.flush()])


def gzipped(head: bytes, size: int, tail: bytes = b"") -> bytes:
    """A gzip member of `head`, `size` NUL bytes and `tail`, made of one packed block of them over and over."""
    block = bytes(1 << 24)
    pack = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = pack.compress(head) + pack.flush(zlib.Z_FULL_FLUSH)
    packed = pack.compress(block) + pack.flush(zlib.Z_FULL_FLUSH)
    end = pack.compress(tail) + pack.flush()
    crc = zlib.crc32(head)
    for _ in range(size >> 24):
        crc = zlib.crc32(block, crc)
    trailer = struct.pack("<II", zlib.crc32(tail, crc), (len(head) + size + len(tail)) & 0xFFFFFFFF)
    return b"\x1f\x8b\x08" + bytes(7) + start + packed * (size >> 24) + end + trailer


def warc(block: int, headers: str = "") -> bytes:
    return (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a/\r\n{headers}"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {block}\r\n\r\n"
    ).encode()


def page(coding: str, body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: {coding}\r\n\r\n".encode() + body


TEXTS = 3000 if LARGE else 350
SIZE = (10 << 30) if LARGE else 3 << 27


def test_a_member_of_gigabytes(tmp_path: Path, read: Read) -> None:
    """400 MB in 0.4 MB, and with HEADRACE_FAULTS=1 10 GB in 10 MB; then a sound record."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
    bomb = gzipped(warc(SIZE + len(head)) + head, SIZE)
    good = page("identity", b"<p>words</p>")
    (tmp_path / "a.warc.gz").write_bytes(bomb + gzip.compress(warc(len(good)) + good))
    rows, reasons, _, megabytes = read(tmp_path / "a.warc.gz")
    assert (rows, reasons) == (2, ["None", "too_large"])
    assert megabytes < 300


def test_a_header_of_gigabytes(tmp_path: Path, read: Read) -> None:
    """It has no end: no record, and the next member is read."""
    bomb = gzipped(b"WARC/1.0\r\nWARC-Type: response\r\nX: ", SIZE)
    good = page("identity", b"<p>words</p>")
    record = gzip.compress(warc(len(good)) + good)
    (tmp_path / "a.warc.gz").write_bytes(record * 12 + bomb + record * 12)
    rows, reasons, errors, megabytes = read(tmp_path / "a.warc.gz")
    assert (rows, reasons) == (24, ["None"])
    assert errors
    assert megabytes < 300


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_page_of_gigabytes(coding: str) -> None:
    """Bodies: in one coding, and in two, one within the other."""
    packs = {
        "gzip": gzip.compress, "deflate": zlib.compress, "br": lambda b: brotli.compress(b, quality=1),
        "zstd": zstandard.compress,
    }  # fmt: skip
    once = packs[coding](bytes(1 << 25))
    for codings, body in ((coding, once), (f"{coding}, {coding}", packs[coding](once))):
        response = parse_response(page(codings, body))
        assert response is not None
        with pytest.raises(BodyError, match=r"^too_large: .* more than 1000000 bytes"):
            response.decoded(1_000_000)


def test_codings_without_end() -> None:
    body = b"<p>words</p>"
    for _ in range(9):
        body = gzip.compress(body)
    response = parse_response(page(", ".join(["gzip"] * 9), body))
    assert response is not None
    with pytest.raises(BodyError, match=r"^bad_encoding: 9 codings, 8 allowed"):
        response.decoded(1_000_000)
    response = parse_response(page(", ".join(["gzip"] * 8), gzip.decompress(body)))
    assert response is not None
    assert response.decoded(1_000_000) == b"<p>words</p>"


def test_frames_of_zstandard(tmp_path: Path, read: Read) -> None:
    """4 bytes of it can be 128 KB: 64 KB, which is what gzip is given at a time, would be 2 GB."""
    good = json.dumps({"text": "words"}).encode() + b"\n"
    pack = zstandard.ZstdCompressor().compressobj()
    bomb = zeros(pack, SIZE)
    assert LARGE or len(bomb) < 1 << 16
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard.compress(good) + bomb + zstandard.compress(b"\n" + good))
    rows, reasons, errors, megabytes = read(tmp_path / "a.jsonl.zst")
    assert (rows, reasons) == (2, ["None"])
    assert errors == [f"line at byte {len(good)} is longer than 64000000 bytes"]
    assert megabytes < 400


def test_a_line_without_end(tmp_path: Path, read: Read) -> None:
    good = json.dumps({"text": "words"}).encode() + b"\n"
    (tmp_path / "a.jsonl.gz").write_bytes(gzipped(good + b'{"text": "', SIZE, b'"}\n' + good))
    rows, _, errors, megabytes = read(tmp_path / "a.jsonl.gz")
    assert rows == 2
    assert errors == [f"line at byte {len(good)} is longer than 64000000 bytes"]
    assert megabytes < 400


def test_json_that_is_all_brackets(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"[" * 100_000 + b"\n" + b'{"text": ' * 20_000 + b'\n{"text": "words"}\n')
    rows, _, errors, _ = read(tmp_path / "a.jsonl")
    assert (rows, len(errors)) == (1, 2)


def test_lz4_that_claims_more_than_there_is(tmp_path: Path, read: Read) -> None:
    """The frame's header says 2^60 bytes; the archive has one record."""
    good = page("identity", b"<p>words</p>")
    frame = bytearray(lz4.frame.compress(warc(len(good)) + good, store_size=True))
    struct.pack_into("<Q", frame, 6, 1 << 60)
    (tmp_path / "a.warc.lz4").write_bytes(bytes(frame))
    rows, _, errors, megabytes = read(tmp_path / "a.warc.lz4")
    assert (rows, len(errors)) == (0, 1)  # the header's checksum is wrong as well
    assert megabytes < 100


def parquet(path: Path, table: pa.Table, **options: Any) -> None:
    pq.write_table(table, path, compression="zstd", store_schema=False, **options)


def test_a_dictionary_of_one_long_text(tmp_path: Path, read: Read) -> None:
    """3 kB that are 0.4 GB of text, or 3: every row has the same."""
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(TEXTS, np.int32)), pa.array(["x" * 1_000_000]))
    parquet(tmp_path / "a.parquet", pa.table({"text": texts}), dictionary_pagesize_limit=1 << 30)
    assert (tmp_path / "a.parquet").stat().st_size < 10_000
    rows, reasons, errors, megabytes = read(tmp_path / "a.parquet")
    assert (rows, reasons, errors) == (TEXTS, ["None"], [])
    assert megabytes < 350


def test_a_run_of_rows(tmp_path: Path, read: Read) -> None:
    """Equal rows in one group of a few bytes: they come in tables, not at once."""
    table = pa.table({"text": pa.DictionaryArray.from_arrays(pa.array(np.zeros(300_000, np.int8)), pa.array(["a"]))})
    parquet(tmp_path / "a.parquet", table, row_group_size=300_000)
    rows, _, errors, megabytes = read(tmp_path / "a.parquet")
    assert (rows, errors) == (300_000, [])
    assert megabytes < 150


def test_lists_of_one_long_text(tmp_path: Path, read: Read) -> None:
    """A row whose list would be 50 GB: the row group is told of, the next one is read."""
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(50_000, np.int32)), pa.array(["x" * 1_000_000]))
    lists = pa.ListArray.from_arrays(pa.array([0, 50_000], pa.int32()), texts)
    schema = pa.schema([("text", pa.string()), ("tags", pa.list_(pa.string()))])
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"], "tags": lists}), buffer, compression="zstd", store_schema=False)
    bomb = pq.ParquetFile(buffer)
    assert bomb.schema_arrow.types == schema.types
    (tmp_path / "a.parquet").write_bytes(buffer.getvalue())
    rows, _, errors, megabytes = read(tmp_path / "a.parquet")
    assert rows == 0
    assert errors == [
        "row group 0 from row 0 on: column tags.list.element claims 50,000 values in "
        f"{bomb.metadata.row_group(0).column(1).total_uncompressed_size:,} bytes, lists of up to 50,000,000,000 bytes "
        "in memory; 268,435,456 are allowed"
    ]
    assert megabytes < 300


def test_footers_that_lie() -> None:
    """Every byte of a small file changed in turn: rows, or a piece told of; nothing else is raised."""
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ["a", "b"], "n": [1, 2]}), buffer, store_schema=False)
    whole = buffer.getvalue()
    from stages.read_parquet import ReadParquet

    transform, seen = ReadParquet().open(), set()
    for at in range(4, len(whole), 1 if LARGE else 7):
        changed = bytearray(whole)
        changed[at] ^= 0xFF
        try:
            for item in transform(io.BytesIO(bytes(changed)), Piece("a.parquet")):
                seen.add(type(item).__name__)
        except Exception as error:  # a column that has gone is told before a run begins
            assert type(error).__name__ == "SchemaError", f"byte {at}: {error!r}"
    assert seen == {"Table", "Unreadable"}


def test_ten_thousand_columns(tmp_path: Path, read: Read) -> None:
    names = ["text", *(f"c{n}" for n in range(10_000 if LARGE else 500))]
    pq.write_table(pa.table([["a"]] * len(names), names=names), tmp_path / "a.parquet")
    rows, _, errors, megabytes = read(tmp_path / "a.parquet")
    assert (rows, errors) == (1, [])
    assert megabytes < 200


def test_what_is_cut_is_told_of() -> None:
    """Not a bomb but half of one: nothing is lost without a word."""
    good = page("identity", b"<p>words</p>")
    data = gzip.compress(warc(len(good)) + good)
    found = list(ReadWarc().open()(io.BytesIO(data[: len(data) // 2]), Piece("a.warc.gz")))
    assert any(isinstance(item, Unreadable) for item in found)
