"""ReadWarc: web archives (WARC and WET; gzip, LZ4, plain) to one row per response or conversion record.

Rows that are rejected stay rows, with null html and text:

| drop_reason        | when                                                                             |
|--------------------|----------------------------------------------------------------------------------|
| `truncated_record` | the file or its member ends within the record, or before its Content-Length      |
| `corrupt_record`   | all of it is there, but the checksum of its member says that it is not as written |
| `too_large`        | the body has more than `max_bytes`, decoded or not                               |
| `not_http`         | a response of another protocol (dns, ftp) or without a status line               |
| `http_status`      | the status is none of `statuses`                                                 |
| `mime`             | the media type is none of `mimes` (WET: of `text_mimes`), or none is named       |
| `bad_encoding`     | the transfer or content coding cannot be undone                                  |
| `empty_body`       | nothing but white space                                                          |

The first that holds is given. Broken places are `Unreadable` besides: a cut record is a row and a broken place.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, ClassVar

import pyarrow as pa

from schemas import columns
from schemas.document import RECORD
from stages.ids import id_of
from stages.stage import Piece, Read, Resources, Unreadable, at_least, byte_ranges
from stages.warc.archive import read_archive
from stages.warc.charset import to_utf8
from stages.warc.http import BodyError, mime_of, parse_response
from stages.warc.records import Record
from stages.warc.storage import codec_of

SCHEMA = pa.schema([*RECORD, columns.DROP_REASON])
DUMP = re.compile(r"CC-MAIN-\d{4}-\d\d(?!\d)")
TABLE_ROWS = 8192


@dataclass(frozen=True)
class ReadWarc:
    """Web archives. Sizes are bytes: `max_bytes` of a body, `table_bytes` of a table's pages, `piece_bytes` of a piece.

    A file is cut into pieces, each a shard, of about `piece_bytes` of the stored file but no more than `max_pieces`:
    a file of a few MB keeps every core busy, and one of Common Crawl's (1 GB) makes 64. For a whole crawl, where there
    are more files than workers anyway, `max_pieces=1` makes each file one shard.

    A broken record is counted as `Unreadable` and skipped past, by member in a compressed file, by line else.
    `source` is `file#offset` of the record's member (plain files: of the record); of a record within a member, such
    as all of a file gzipped as a whole, `file#offset+distance` with its distance in the decompressed bytes.
    """

    statuses: tuple[int, ...] = (200,)
    mimes: tuple[str, ...] = ("text/html", "application/xhtml+xml")
    text_mimes: tuple[str, ...] = ("text/plain",)
    max_bytes: int = 20_000_000
    table_bytes: int = 8_000_000
    piece_bytes: int = 4_000_000
    max_pieces: int = 64

    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        at_least(self, max_bytes=1, table_bytes=1, piece_bytes=1, max_pieces=1)

    def split(self, file: BinaryIO, uri: str, size: int) -> list[Piece]:
        """Byte ranges of about `piece_bytes`; a piece owns the members that begin in it. Plain files stay whole."""
        n = min(-(-size // self.piece_bytes), self.max_pieces)
        return byte_ranges(uri, size, n if n > 1 and codec_of(file, uri) is not None else 1)

    def schema(self, file: BinaryIO, uri: str) -> pa.Schema:
        """The same for every archive: a record and why it was rejected."""
        return SCHEMA

    def open(self) -> Read:
        return partial(read, self)


def read(settings: ReadWarc, file: BinaryIO, piece: Piece) -> Iterator[pa.Table | Unreadable]:
    """The tables of `piece` and its broken places, in the order of the file."""
    dump = DUMP.search(piece.uri)
    rows = Rows()
    for item in read_archive(file, piece, hold=2 * settings.max_bytes):
        if isinstance(item, Unreadable):
            yield item
            continue
        row = row_of(item, settings)
        row["source"] = f"{piece.uri}#{item.place}"
        row["id"] = id_of(row["source"])
        row["dump"] = dump.group() if dump else None
        rows.add(row)
        if rows.n_bytes >= settings.table_bytes or len(rows.rows) >= TABLE_ROWS:
            yield rows.take()
    if rows.rows:
        yield rows.take()


def row_of(record: Record, settings: ReadWarc) -> dict[str, Any]:
    """What a record says, as far as it can be read, and `drop_reason` if that is not a page."""
    url = record.headers.get("warc-target-uri", "").strip("<> \t\0")
    row: dict[str, Any] = {"url": url or None, "date": record.headers.get("warc-date")}
    try:
        if record.headers["warc-type"].lower() == "conversion":
            _fill_text(row, record, settings)
        else:
            _fill_page(row, record, settings)
    except BodyError as error:
        row["drop_reason"] = error.reason
    return row


def _fill_text(row: dict[str, Any], record: Record, settings: ReadWarc) -> None:
    row["mime"] = mime_of(record.headers.get("content-type", ""))
    _reject(record.fault, f"record {record.place}")
    _reject("mime" if row["mime"] not in settings.text_mimes else "", f"{row['mime']}")
    _reject("too_large" if len(record.block) > settings.max_bytes else "", f"{len(record.block)} bytes")
    text, charset = to_utf8(record.block)
    _reject("" if text.strip() else "empty_body", "no text")
    row["text"], row["charset"] = text, charset


def _fill_page(row: dict[str, Any], record: Record, settings: ReadWarc) -> None:
    response = parse_response(record.block)
    if response is not None:
        row["http_status"], row["mime"] = response.status, response.mime
    _reject(record.fault, f"record {record.place}")
    if response is None:
        raise BodyError("not_http", f"{record.block[:20]!r}")
    _reject("http_status" if response.status not in settings.statuses else "", f"{response.status}")
    _reject("mime" if response.mime not in settings.mimes else "", f"{response.mime}")
    html, charset = to_utf8(response.decoded(settings.max_bytes), response.charset)
    _reject("" if html.strip() else "empty_body", "no page")
    row["html"], row["charset"] = html, charset


def _reject(reason: str, detail: str) -> None:
    if reason:
        raise BodyError(reason, detail)


@dataclass
class Rows:
    """Rows on their way into a table; `n_bytes` counts their pages and texts."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    n_bytes: int = 0

    def add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        self.n_bytes += len(row.get("html") or row.get("text") or b"")

    def take(self) -> pa.Table:
        """The rows as a table; starts anew."""
        table = pa.Table.from_arrays([self._column(f) for f in SCHEMA], schema=SCHEMA)
        self.rows, self.n_bytes = [], 0
        return table

    def _column(self, column: pa.Field) -> pa.Array:
        values = [row.get(column.name) for row in self.rows]
        if column.type == columns.TEXT:
            return pa.array(values, pa.large_binary()).view(columns.TEXT)  # `to_utf8` has made them valid
        return pa.array(values, column.type)
