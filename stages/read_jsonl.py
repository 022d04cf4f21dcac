"""ReadJsonl: one document a line, as JSON; plain, gzip or Zstandard.

| drop_reason | when                         |
|-------------|------------------------------|
| `null_text` | the text field holds a null  |

A line that is no JSON object, or has no text field, or something else than text in it, is `Unreadable`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, ClassVar

import pyarrow as pa

from schemas import columns
from schemas.check import nearest
from schemas.document import DOCUMENT
from stages.compression import GZIP, READ_BYTES, ZSTD, Codec, End, Fault, Window, inflate
from stages.ids import id_of, source_of
from stages.stage import Piece, Read, Resources, Unreadable, at_least, byte_ranges

SCHEMA = pa.schema([*DOCUMENT, columns.META, columns.DROP_REASON])
LINE_BYTES = 64_000_000  # a longer line is not read: it would be the whole of a file that has no lines
NULL_TEXT = "null_text"
TABLE_ROWS = 65536


@dataclass(frozen=True)
class ReadJsonl:
    """Documents in JSON lines. Each setting names the field that a column is taken from; `a.b` is field b of object a.

    What else a line holds goes to `meta`, as text or as JSON. A document without an id has a hash of `file#offset`,
    the byte offset of its line in the decompressed file, which is `source`. `table_bytes` counts text, `piece_bytes`
    the stored file: plain files are cut at lines, compressed ones stay whole.
    """

    text: str = "text"
    id: str = "id"
    url: str = "url"
    date: str = "date"
    dump: str = "dump"
    table_bytes: int = 32_000_000
    piece_bytes: int = 128_000_000

    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        at_least(self, table_bytes=1, piece_bytes=1)

    def split(self, file: BinaryIO, uri: str, size: int) -> list[Piece]:
        """Byte ranges of at most `piece_bytes`; a piece owns the lines that begin in it."""
        n = -(-size // self.piece_bytes)
        return byte_ranges(uri, size, n if n > 1 and _codec(file, uri) is None else 1)

    def schema(self, file: BinaryIO, uri: str) -> pa.Schema:
        """The same for every file: a document, what else its line said, and why it was rejected."""
        return SCHEMA

    def open(self) -> Read:
        return partial(read, self)


def read(settings: ReadJsonl, file: BinaryIO, piece: Piece) -> Iterator[pa.Table | Unreadable]:
    """The documents of `piece` and the lines that are none, in the order of the file."""
    rows: list[dict[str, Any]] = []
    n_bytes = 0
    codec = _codec(file, piece.uri)
    chunks = _plain(file, piece) if codec is None else _inflated(file, codec)
    for item in lines(chunks, piece):
        if isinstance(item, Unreadable):
            yield item
            continue
        offset, line = item
        try:
            row = row_of(line, settings)
        except (ValueError, RecursionError) as error:
            yield Unreadable(offset, f"line at byte {offset}: {error}")
            continue
        row["source"] = source_of(piece.uri, offset)
        row["id"] = row["id"] or id_of(row["source"])
        rows.append(row)
        n_bytes += len(row["text"] or b"")
        if n_bytes >= settings.table_bytes or len(rows) >= TABLE_ROWS:
            yield _table(rows)
            rows, n_bytes = [], 0
    if rows:
        yield _table(rows)


def row_of(line: bytes, settings: ReadJsonl) -> dict[str, Any]:
    """The document in `line`; `text` is UTF-8 bytes. Raises `ValueError` if there is none."""
    document = json.loads(line.decode().removeprefix("\ufeff"))
    if not isinstance(document, dict):
        raise ValueError(f"no JSON object but {type(document).__name__}")
    text = _take(document, settings.text)
    if text is _ABSENT:
        raise ValueError(
            f"no field {settings.text!r}{nearest(settings.text, list(document))} (there: {', '.join(document)}); "
            "set ReadJsonl.text"
        )
    if text is not None and not isinstance(text, str):
        raise ValueError(f"field {settings.text!r} holds {type(text).__name__}, not text")
    row: dict[str, Any] = {"text": None if text is None else _utf8(text)}
    row["drop_reason"] = NULL_TEXT if text is None else None
    for name in ("id", "url", "date", "dump"):
        value = _take(document, getattr(settings, name))
        row[name] = None if value is _ABSENT or value is None else _text(value)
    row["meta"] = [(_text(key), _text(value)) for key, value in document.items() if value is not None]
    return row


_ABSENT = object()


def _take(document: dict[str, Any], path: str) -> Any:
    """Remove and return the field at `path`, or `_ABSENT`."""
    name, _, rest = path.partition(".")
    if path in document:
        return document.pop(path)
    if rest and isinstance(document.get(name), dict):
        return _take(document[name], rest)
    return _ABSENT


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _utf8(text).decode()


def _utf8(text: str) -> bytes:
    """UTF-8 of `text`; halves of surrogate pairs, which JSON can spell, become U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    arrays = []
    for field in SCHEMA:
        values = [row.get(field.name) for row in rows]
        if field.type == columns.TEXT:
            arrays.append(pa.array(values, pa.large_binary()).view(columns.TEXT))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _codec(file: BinaryIO, uri: str) -> Codec | None:
    """The compression by the file's first bytes, else by its name; None for a plain file."""
    file.seek(0)
    start = file.read(4)
    for codec, ending in ((GZIP, ".gz"), (ZSTD, ".zst")):
        if codec.begins(start) or uri.endswith(ending):
            return codec
    return None


def _plain(file: BinaryIO, piece: Piece) -> Iterator[bytes | Fault]:
    """The file from one byte before the piece: that tells whether a line begins with it."""
    file.seek(max(piece.start - 1, 0))
    while data := file.read(READ_BYTES):
        yield data


def _inflated(file: BinaryIO, codec: Codec) -> Iterator[bytes | Fault]:
    """The file's members up to the first that is broken: behind it no offset in the decompressed file is known."""
    window = Window(file, 0)
    while window.peek(1):
        for part in inflate(window, codec):
            if not isinstance(part, End):
                yield part
            if isinstance(part, Fault):
                return


def lines(chunks: Iterator[bytes | Fault], piece: Piece) -> Iterator[tuple[int, bytes] | Unreadable]:
    """The lines that begin in `piece`, with their offset, without blank ones; what cannot be read between them."""
    offset = max(piece.start - 1, 0)
    rest = b""
    skipping = piece.start > 0  # to the end of a line that is another piece's, or too long
    for chunk in chunks:
        if isinstance(chunk, Fault):
            yield Unreadable(offset, f"{chunk.error}; the rest from byte {offset} on is lost")
            return
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if not skipping:
                if piece.stop is not None and offset >= piece.stop:
                    return
                if line.strip():
                    yield offset, line
            skipping = False
            offset += len(line) + 1
        if len(rest) > LINE_BYTES:
            if not skipping:
                yield Unreadable(offset, f"line at byte {offset} is longer than {LINE_BYTES} bytes")
            skipping = True
        if skipping:
            offset += len(rest)
            rest = b""
    if rest.strip() and not skipping and (piece.stop is None or offset < piece.stop):
        yield offset, rest
