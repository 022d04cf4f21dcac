"""A whole archive, or a piece of it, as records: FastWARC while the archive is healthy, our own reading where not.

FastWARC is quick and stops, or says nothing, at what is broken. So it is only believed in a gzip archive of one record
per member, and only for a record behind which it found another: the last one is read again by `records`, which
goes on to the true end of the file. `records` alone gives the same rows, more slowly.
"""

import io
from collections.abc import Generator, Iterator
from typing import BinaryIO

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from stages.compression import GZIP, Codec, Window
from stages.stage import Piece, Unreadable
from stages.warc.records import HEADER_BYTES, LARGE_BYTES, TOO_LARGE, Record, header_map, records, runs
from stages.warc.storage import codec_of, member_events, plain_events, seek_member
from stages.watched import Watched

PROBATION = 8  # members of one sound record each before FastWARC is asked
ROW_TYPES = ("response", "conversion")
FAST_TYPES = (WarcRecordType.response, WarcRecordType.conversion)
DOUBTFUL = (WarcRecordType.unknown, WarcRecordType.no_type)


def read_archive(file: BinaryIO, piece: Piece, hold: int, fast: bool = True) -> Iterator[Record | Unreadable]:
    """The response and conversion records of `piece`, and every place of it that could not be read.

    `hold` is the longest block that is read, in bytes; of longer ones only the start is kept. `fast` False leaves
    FastWARC out.
    """
    codec = codec_of(file, piece.uri)
    n_items = 0
    for item in _plain(file, piece, hold) if codec is None else _members(file, codec, piece, hold, fast):
        n_items += 1
        if isinstance(item, Unreadable) or item.headers["warc-type"].lower() in ROW_TYPES:
            yield item
    if n_items == 0 and piece.start == 0:
        size = file.seek(0, 2)
        yield Unreadable(0, f"no WARC record in this file of {size} bytes")


def _plain(file: BinaryIO, piece: Piece, hold: int) -> Iterator[Record | Unreadable]:
    if piece.start:
        raise ValueError(f"{piece.uri} is not compressed: it is read as one piece, not from byte {piece.start}")
    for run in runs(plain_events(file), member=False):
        yield from records(run, hold)


def _members(file: BinaryIO, codec: Codec, piece: Piece, hold: int, fast: bool) -> Iterator[Record | Unreadable]:
    window = Window(file, piece.start)
    if piece.start and not seek_member(window, codec, piece.stop):
        return
    at: tuple[int, int] | None = (window.pos, 0)
    while at is not None:
        offset, n_known = at
        n_sound = 0
        at = None
        for run in runs(member_events(Window(file, offset), codec, piece.stop), member=True):
            if n_sound >= PROBATION and fast and codec is GZIP:
                at = yield from _fast(file, run.offset, piece.stop, hold)
                break
            n_items = 0
            for item in records(run, hold):
                n_items += 1
                if n_known == 0:
                    yield item
                n_known = 0
            n_sound = n_sound + 1 if n_items == 1 and run.fault is None else 0


def _fast(file: BinaryIO, offset: int, stop: int | None, hold: int) -> Generator[Record, None, tuple[int, int] | None]:
    """Records by FastWARC from the member at `offset` on, as long as there is no doubt.

    Returns where to go on, as the offset of a member and the number of its records already given; None at `stop`.
    """
    watched = Watched(file)
    recent = _Recent(watched, offset)
    go_on = (offset, 0)
    held: Record | None = None
    held_at = -1
    try:
        for raw in ArchiveIterator(recent, parse_http=False):
            at = raw.stream_pos
            if at <= held_at or not recent.begins_member(at):
                break
            if held is not None:
                yield held
            if stop is not None and at >= stop:
                return None
            if held_at >= 0:
                go_on = (held_at, 1)
            held, held_at = None, at
            if raw.record_type in FAST_TYPES:
                held = _record(raw, at, hold)
                if held is None:
                    break
            elif raw.record_type in DOUBTFUL:
                break
    except OSError:
        if watched.failure is not None:
            raise
    return go_on


def _record(raw: WarcRecord, offset: int, hold: int) -> Record | None:
    """FastWARC's record as ours; None if it is shorter than it says, or its header so long that it may be none."""
    length = raw.content_length
    fields = list(raw.headers.items_bytes())
    if sum(len(name) + len(value) for name, value in fields) > HEADER_BYTES // 2:
        return None
    headers = header_map(fields)
    if length > hold:
        return Record(offset, str(offset), headers, raw.reader.read(min(hold, LARGE_BYTES)), TOO_LARGE)
    block = raw.reader.read()
    return Record(offset, str(offset), headers, block) if len(block) == length else None


class _Recent:
    """A file that knows the bytes last read from it, for FastWARC to read from."""

    def __init__(self, file: Watched, offset: int) -> None:
        self._file = file
        self._last = b""
        self._bytes = b""
        self._end = file.seek(offset)

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._last, self._bytes = data, self._last + data
        self._end += len(data)
        return data

    def tell(self) -> int:
        return self._end

    def seek(self, offset: int, whence: int = 0) -> int:
        raise io.UnsupportedOperation(f"read forwards only, not from {offset} ({whence})")

    def close(self) -> None:
        """The file is its owner's to close."""

    def begins_member(self, offset: int) -> bool:
        """True if a gzip member begins at `offset`, as far as the bytes last read can tell."""
        at = offset - (self._end - len(self._bytes))
        return at >= 0 and self._bytes.startswith(GZIP.magic, at)
