"""Runs of bytes cut into WARC records (ISO 28500), whatever their Content-Length says.

A record's length is believed when a line break, a record or nothing follows where it ends. Else the record reaches
to the next line that begins a record: archives whose line ends were changed on the way lose nothing by that.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from stages.compression import End, Fault
from stages.stage import Unreadable
from stages.warc.storage import Begin, Event

HEADER_BYTES = 1 << 22  # a header longer than this is no header
SEARCH_BYTES = 1 << 16
SAMPLE_BYTES = 40  # shown of what is no record
LARGE_BYTES = 1 << 16  # kept of a block that is too large: its HTTP headers
LOOK_BYTES = 64  # how far behind a record the next one is looked for before its length is doubted
VERSION = re.compile(rb"WARC/\d\.\d+[ \t]*\r?\n")
NEXT = re.compile(rb"WARC/\d\.\d{1,2}[ \t]{0,8}\r?\n[A-Za-z-]{1,64}[ \t]{0,8}:")
NEXT_BYTES = 128  # more than `NEXT` ever spans
HEADER_END = re.compile(rb"\r?\n\r?\n")
FOLD = re.compile(rb"\r?\n[ \t]+")
FOLLOWS = re.compile(rb"[\r\n]*(?:WARC/\d|\Z)")
SEPARATOR = re.compile(rb"\r?\n\r?\n")
BREAKS = re.compile(rb"(?:\r?\n){1,2}\Z")
BREAKS_BYTES = 4  # the most that `BREAKS` spans
BREAK_RUN = re.compile(rb"[\r\n]+")

TRUNCATED = "truncated_record"
CORRUPT = "corrupt_record"
TOO_LARGE = "too_large"


@dataclass(frozen=True)
class Record:
    """A record: where it was, its WARC headers by lower-case name, its block, and what is wrong with it (or "").

    `place` is unique in the file: the byte offset of the member it begins, or of itself in a plain file; for a record
    within a member, that and how far into the decompressed bytes it begins, as `offset+distance`.
    """

    offset: int
    place: str
    headers: dict[str, str] = field(repr=False)
    block: bytes = field(repr=False)
    fault: str = ""


class Run:
    """The bytes of one run, pulled from `events` as they are needed; `at` is the cursor in `buffer`."""

    def __init__(self, events: Iterator[Event], begin: Begin, member: bool) -> None:
        self.offset = begin.offset
        self.member = member
        self.buffer = b""
        self.at = 0
        self.n_before = 0  # bytes of the run before the buffer
        self.n_sound = 0  # bytes of the run up to the last member whose checksum was right
        self.fault: Fault | None = None
        self.following: Begin | None = None
        self.ended = False
        self._events = events

    @property
    def distance(self) -> int:
        """Bytes of the run before the cursor."""
        return self.n_before + self.at

    def need(self, size: int) -> int:
        """Pull until `size` bytes lie behind the cursor or the run ends; how many there are."""
        have = len(self.buffer) - self.at
        if have >= size or self.ended:
            return have
        parts = [self.buffer[self.at :]]
        self.n_before += self.at
        self.at = 0
        while have < size and not self.ended:
            event = next(self._events, None)
            if isinstance(event, bytes):
                parts.append(event)
                have += len(event)
            elif isinstance(event, End):
                self.n_sound = self.n_before + have
            else:
                self.ended = True
                self.fault = event if isinstance(event, Fault) else None
                self.following = event if isinstance(event, Begin) else None
        self.buffer = b"".join(parts)
        return have

    def skip_breaks(self) -> None:
        while self.need(1):
            found = BREAK_RUN.match(self.buffer, self.at)
            if found is None:
                return
            self.at = found.end()

    def find_next(self, limit: int) -> int | None:
        """How far behind the cursor the next record begins, if within `limit` bytes; they are all kept."""
        start = 0
        while True:
            have = self.need(min(max(2 * start, SEARCH_BYTES), limit) + NEXT_BYTES)
            found = _next_line(self.buffer, self.at + start)
            if found is not None:
                return found - self.at if found - self.at <= limit else None
            if self.ended or have > limit:
                return None
            start = have - NEXT_BYTES

    def has_next(self) -> bool:
        """True if another record begins in what is left of a run that has ended."""
        return _next_line(self.buffer, self.at) is not None

    def seek_next(self, limit: int | None = None) -> bool:
        """Move to where the next record begins, or on by `limit` bytes; False if the run ends first. Keeps nothing."""
        left = limit
        while True:
            have = self.need(SEARCH_BYTES if left is None else min(left, SEARCH_BYTES) + NEXT_BYTES)
            found = _next_line(self.buffer, self.at)
            step = have if self.ended else max(have - NEXT_BYTES, 0)
            step = step if found is None else found - self.at
            if left is not None and step >= left:
                self.at += left
                return True
            self.at += step
            left = left if left is None else left - step
            if found is not None or self.ended:
                return found is not None


def runs(events: Iterator[Event], member: bool) -> Iterator[Run]:
    """The runs in `events`, one after another; what the reader of a run leaves of it is skipped.

    `member`: the offsets are those of members in a compressed file.
    """
    begin = next(events, None)
    while isinstance(begin, Begin):
        run = Run(events, begin, member)
        yield run
        while not run.ended:
            run.need(SEARCH_BYTES)
            run.at = len(run.buffer)
        begin = run.following or next(events, None)


def records(run: Run, hold: int) -> Iterator[Record | Unreadable]:
    """The records of `run`, whole blocks up to `hold` bytes, and every place that is none."""
    first = True
    while True:
        run.skip_breaks()
        if not run.need(1):
            break
        offset, place = _place(run, first)
        first = False
        header = _take_header(run)
        if header is None:
            sample = run.buffer[run.at : run.at + SAMPLE_BYTES]
            start = run.distance
            run.at += 1
            found = run.seek_next()
            if found or run.fault is None or start < run.n_sound:  # else it is what the fault left
                yield Unreadable(offset, f"no WARC record at {place} but {sample!r}")
            continue
        headers = parse_headers(header)
        size, fault = _measure(run, _length(headers), b"\r" not in header, hold)
        block = run.buffer[run.at : run.at + (size if fault != TOO_LARGE else min(hold, LARGE_BYTES))]
        if fault == TOO_LARGE:
            run.at += 1
            run.seek_next(size - 1 if size else None)
        else:
            run.at += size
        damaged = run.fault is not None and not run.fault.cut and run.distance > run.n_sound and not run.has_next()
        if fault == TRUNCATED and run.fault is None:
            yield Unreadable(offset, f"record at {place} ends before its Content-Length")
        if "warc-type" not in headers:
            yield Unreadable(offset, f"record at {place} has no WARC-Type")
        else:
            yield Record(offset, place, headers, block, fault or (CORRUPT if damaged else ""))
    if run.fault is not None:
        yield Unreadable(run.fault.offset, run.fault.error)


def parse_headers(header: bytes) -> dict[str, str]:
    """WARC header fields by lower-case name, folded lines joined, the first of each name."""
    lines = FOLD.sub(b" ", header).split(b"\n")[1:] if b"\n" in header else []
    return header_map(line.partition(b":")[::2] for line in lines)


def header_map(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Text of header fields: UTF-8 as the standard has it, else Latin-1."""
    headers: dict[str, str] = {}
    for name, value in fields:
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = value.decode("latin-1")
        headers.setdefault(name.strip().lower().decode("latin-1"), text.strip())
    return headers


def _next_line(data: bytes, start: int) -> int | None:
    """Where from `start` on a line begins a record."""
    for found in NEXT.finditer(data, start):
        if found.start() == 0 or data[found.start() - 1 : found.start()] == b"\n":
            return found.start()
    return None


def _place(run: Run, first: bool) -> tuple[int, str]:
    if not run.member:
        return run.distance, str(run.distance)
    return run.offset, str(run.offset) if first else f"{run.offset}+{run.distance}"


def _take_header(run: Run) -> bytes | None:
    """The header at the cursor, which moves behind its blank line; None if there is none."""
    size = 1024
    while size <= HEADER_BYTES:
        have = run.need(size)
        if not VERSION.match(run.buffer, run.at):
            return None
        if end := HEADER_END.search(run.buffer, run.at, run.at + min(have, size)):  # one chunk of a bomb is 64 MB
            if end.start() - run.at > HEADER_BYTES:
                return None
            header = run.buffer[run.at : end.start()]
            run.at = end.end()
            return header
        if run.ended:
            return None
        size *= 4
    return None


def _length(headers: dict[str, str]) -> int | None:
    length = headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdecimal() else None


def _measure(run: Run, length: int | None, bare: bool, hold: int) -> tuple[int, str]:
    """Bytes of the block at the cursor, and `TRUNCATED` or `TOO_LARGE` if it is.

    `bare`: the archive lost the CR of its line ends, so a block may be shorter than it says by as many.
    Of a block that is too large the size is what its length says, 0 for up to the next record.
    """
    believed = length is not None and length <= hold
    if believed:
        assert length is not None
        have = run.need(length + LOOK_BYTES)
        end = run.at + length
        if have >= length and FOLLOWS.match(run.buffer, end):
            return length, ""
        if have >= length and SEPARATOR.match(run.buffer, end) and run.find_next(length) is None:
            return length, ""
    found = run.find_next(hold)
    if found is None and not run.ended:
        return 0 if believed else length or 0, TOO_LARGE
    have = len(run.buffer) - run.at
    size = have if found is None else found
    breaks = BREAKS.search(run.buffer, run.at + max(size - BREAKS_BYTES, 0), run.at + size)
    size = breaks.start() - run.at if breaks else size
    if found is not None or length is None or have >= length:
        return size, ""
    if bare and length - size <= run.buffer.count(b"\n", run.at):
        return size, ""
    return have, TRUNCATED
