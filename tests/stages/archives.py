"""Tiny web archives for tests, whole and broken, and what ReadWarc makes of them."""

import gzip
import io
from typing import Any

import lz4.frame
import pyarrow as pa

from stages.read_warc import ReadWarc
from stages.stage import Piece, Unreadable

PAGE = b"<html><body>page %d</body></html>"
HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"


def record(block: bytes, kind: str = "response", url: str = "http://a.example/", **headers: str | None) -> bytes:
    """A WARC record; a header given as None is left out, `content_length` overrides the right one."""
    fields = {
        "WARC-Type": kind,
        "WARC-Target-URI": url,
        "WARC-Date": "2024-05-01T10:00:00Z",
        "WARC-Record-ID": "<urn:uuid:1>",
        "Content-Length": str(len(block)),
    } | {
        name.replace("_", "-").title().replace("Warc", "WARC").replace("Uri", "URI"): value
        for name, value in headers.items()
    }
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join(["WARC/1.0", *lines, "", ""]).encode() + block + b"\r\n\r\n"


def page(number: int, n_bytes: int = 0) -> bytes:
    """A response with page `number` at http://a.example/<number>, filled up with `n_bytes`."""
    return record(HTML + PAGE % number + b"x" * n_bytes, url=f"http://a.example/{number}")


def pages(*numbers: int) -> list[bytes]:
    return [page(number) for number in numbers]


def gz(*records: bytes) -> bytes:
    """One gzip member per record."""
    return b"".join(gzip.compress(r, mtime=0) for r in records)


def lz(*records: bytes) -> bytes:
    """One LZ4 frame per record, with a checksum as FastWARC writes them."""
    return b"".join(lz4.frame.compress(r, content_checksum=True) for r in records)


def read(
    data: bytes, name: str = "a.warc.gz", source: ReadWarc | None = None
) -> tuple[list[dict[str, Any]], list[int]]:
    """All rows, and the offsets of what is unreadable."""
    rows, places = read_pieces(data, [Piece(name)], source)
    return rows, [place.offset for place in places]


def read_pieces(
    data: bytes, pieces: list[Piece], source: ReadWarc | None = None
) -> tuple[list[dict[str, Any]], list[Unreadable]]:
    rows: list[dict[str, Any]] = []
    places = []
    opened = (source or ReadWarc()).open()
    for piece in pieces:
        for item in opened(io.BytesIO(data), piece):
            if isinstance(item, pa.Table):
                item.validate(full=True)
                rows += item.to_pylist()
            else:
                places.append(item)
    return rows, places


def urls(rows: list[dict[str, Any]]) -> list[int]:
    """The numbers of the pages that came through whole."""
    return [int(row["url"].rpartition("/")[2]) for row in rows if row["drop_reason"] is None]
