"""The HTTP response in a record, read as leniently as browsers do (RFC 9110, 9112)."""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import brotli
import zstandard

HEADER_BYTES = 1 << 18  # as much of a header is read; browsers take no more
HEADER_END = re.compile(rb"\r?\n\r?\n")
BREAKS = re.compile(rb"[\r\n]*")
FOLD = re.compile(rb"\r?\n[ \t]+")
STATUS = re.compile(rb"(?:HTTP(?:/[\d.]+)?|ICY)[ \t]+(\d{3})(?!\d)", re.IGNORECASE)
CHARSET = re.compile(r"""charset\s*=[\s"']*([^\s"';,]+)""", re.IGNORECASE)
CHUNK = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
BREAK = re.compile(rb"\r?\n")
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
MOST_CODINGS = 8  # one on top of the other; servers send one, rarely two
OUT_BYTES = 1 << 16  # asked of a decompressor at a time
WINDOW_BYTES = 1 << 27  # memory that a Zstandard body may ask for


class BodyError(ValueError):
    """A body that cannot be had; `reason` is the row's drop reason."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


@dataclass(frozen=True)
class Response:
    """Status, header fields by lower-case name, and the body as it was sent."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def mime(self) -> str | None:
        """The media type in lower case, without parameters; None if none is named."""
        return mime_of(self.headers.get("content-type", ""))

    @property
    def charset(self) -> str | None:
        found = CHARSET.search(self.headers.get("content-type", ""))
        return found.group(1) if found else None

    def decoded(self, max_bytes: int) -> bytes:
        """The body with its transfer and content codings undone.

        Raises `BodyError` with reason `too_large` above `max_bytes`, or `bad_encoding`. A coding that the header
        names and the body does not have (archives that store bodies decoded) is passed over, as is an unknown one.
        """
        body = self.body
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            body = dechunked(body)
        names = [name for name in self.headers.get("content-encoding", "").lower().split(",") if name.strip()]
        if len(names) > MOST_CODINGS:
            raise BodyError("bad_encoding", f"{len(names)} codings, {MOST_CODINGS} allowed")
        for name in reversed(names):
            body = undone(name.strip(), body, max_bytes)
        if len(body) > max_bytes:
            raise BodyError("too_large", f"{len(body)} bytes, {max_bytes} allowed")
        return body


def parse_response(block: bytes) -> Response | None:
    """The response in `block`, an interim one (1xx) before it left out; None if it is not HTTP."""
    at = 0
    while True:  # nothing is copied on the way: there may be a million interim responses
        at = BREAKS.match(block, at).end()  # type: ignore[union-attr]
        status = STATUS.match(block, at)
        if status is None:
            return None
        end = HEADER_END.search(block, at)
        stop, body = (end.start(), end.end()) if end else (len(block), len(block))
        if status.group(1)[:1] != b"1" or not STATUS.match(block, body):
            return Response(int(status.group(1)), _fields(block[at : min(stop, at + HEADER_BYTES)]), block[body:])
        at = body


def mime_of(content_type: str) -> str | None:
    """`text/html` of ` Text/HTML;charset=x`; None if it holds no media type."""
    mime = re.split(r"[;,\s]", content_type.strip().lower(), maxsplit=1)[0]
    return mime if "/" in mime else None


def _fields(header: bytes) -> dict[str, str]:
    """Header fields by lower-case name, folded lines joined, the first of each name that is not empty."""
    fields: dict[str, str] = {}
    for line in FOLD.sub(b" ", header).split(b"\n")[1:]:
        name, _, value = line.decode("latin-1").partition(":")
        if value := value.strip():
            fields.setdefault(name.strip().lower(), value)
    return fields


def dechunked(body: bytes) -> bytes:
    """`body` without its chunk sizes; as it is if it is not chunked. A last chunk that is cut counts.

    Raises `BodyError` with reason `bad_encoding` if only its beginning is chunked.
    """
    parts = []
    at = 0
    n_whole = 0
    while size := CHUNK.match(body, at):
        at = size.end() + int(size.group(1), 16)
        parts.append(body[size.end() : at])
        if at == size.end() or at >= len(body):
            return b"".join(parts)
        line_break = BREAK.match(body, at)
        if line_break is None:
            break
        n_whole += 1
        at = line_break.end()
    if n_whole == 0:
        return body
    if at == len(body):
        return b"".join(parts)
    raise BodyError("bad_encoding", f"no chunk begins {at} bytes into the body")


def undone(name: str, body: bytes, max_bytes: int) -> bytes:
    """`body` with the content coding `name` undone; as it is if the coding is unknown or the body is plain text.

    What there is of a body that was cut is given. Raises `BodyError` as `Response.decoded` does.
    """
    if name not in DECODERS or not body:
        return body
    try:
        data = DECODERS[name](body, max_bytes + 1)
    except (zlib.error, zstandard.ZstdError, brotli.error) as error:
        if _is_text(body):
            return body
        raise BodyError("bad_encoding", f"{name}: {error}") from error
    if len(data) > max_bytes:
        raise BodyError("too_large", f"{name} body of more than {max_bytes} bytes")
    return data


def _gunzip(body: bytes, limit: int) -> bytes:
    return zlib.decompressobj(31).decompress(body, limit)


def _inflate(body: bytes, limit: int) -> bytes:
    """`deflate` is zlib's format by the standard and raw deflate by many servers."""
    has_header = body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return zlib.decompressobj(15 if has_header else -15).decompress(body, limit)


def _unbrotli(body: bytes, limit: int) -> bytes:
    decoder = brotli.Decompressor()
    parts = [decoder.process(body, output_buffer_limit=limit)]
    n_bytes = len(parts[0])
    while n_bytes < limit and (part := decoder.process(b"", output_buffer_limit=limit - n_bytes)):
        parts.append(part)
        n_bytes += len(part)
    return b"".join(parts)


def _unzstd(body: bytes, limit: int) -> bytes:
    decoder = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)
    with decoder.stream_reader(body, read_across_frames=True) as reader:
        return b"".join(iter(lambda: reader.read(min(OUT_BYTES, limit - reader.tell())), b""))


DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "br": _unbrotli,
    "deflate": _inflate,
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "zstd": _unzstd,
}


def _is_text(body: bytes) -> bool:
    """True for what no compressor puts out: markup, or ASCII without control characters."""
    head = body[:512].strip()
    return head.startswith(b"<") or (head.isascii() and not CONTROL.search(head))
