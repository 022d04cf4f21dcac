"""The stored archive as runs: stretches of decompressed bytes that begin where a record may begin.

A member of a compressed archive whose first bytes are `WARC/` begins a run; any other member carries on with the run
before it, so that one record per member, gzip over the whole file and members cut anywhere are all the same here.
Where a member is broken its run ends with a `Fault`, and the next run is the next member that begins with `WARC/`.
That rule alone decides where runs begin, so pieces of a file agree on it. A plain file is one run.

One thing can deceive it: a piece that begins within a record whose payload is itself an archive, stored as it is, takes
the members of that for its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from stages.compression import BROKEN, GZIP, LZ4, READ_BYTES, Codec, End, Fault, Window, inflate

HEAD_BYTES = 16  # decompressed bytes that tell whether a record begins
PROBE_BYTES = 4096  # stored bytes that mostly are enough to decompress those
PROBE_MAX_BYTES = 4 << 20  # the longest block of LZ4: nothing comes out of it before all of it is in
BACK_BYTES = 16 << 20  # how far before an error the next member is looked for: a cut member is noticed late


@dataclass(frozen=True)
class Begin:
    """A run begins at this byte of the stored file, and the one before it ends."""

    offset: int


Event = Begin | Fault | End | bytes


def codec_of(file: BinaryIO, uri: str) -> Codec | None:
    """The compression by the file's first bytes, else by its name; None for a plain file."""
    file.seek(0)
    start = file.read(4)
    for codec, ending in ((GZIP, ".gz"), (LZ4, ".lz4")):
        if start.startswith(codec.magic) or uri.endswith(ending):
            return codec
    return None


def plain_events(file: BinaryIO) -> Iterator[Event]:
    """A file without compression: one run."""
    file.seek(0)
    yield Begin(0)
    while data := file.read(READ_BYTES):
        yield data


def begins_record(head: bytes) -> bool:
    """True if these decompressed bytes are the start of a WARC record, blank lines before it allowed."""
    return head.lstrip(b"\r\n").startswith(b"WARC/")


def seek_member(window: Window, codec: Codec, stop: int | None) -> bool:
    """Move to the next member that begins a record, the present position included; False if none does before `stop`."""
    while window.seek_bytes(codec.magic, stop):
        if _member_begins_record(window, codec):
            return True
        window.skip(1)
    return False


def member_events(window: Window, codec: Codec, stop: int | None) -> Iterator[Event]:
    """The runs of a compressed file from the window's position on, up to the first that begins at or after `stop`."""
    first = True
    while window.peek(1):
        start = window.pos
        begins = _member_begins_record(window, codec)
        if begins and stop is not None and start >= stop:
            return
        if begins or first:
            yield Begin(start)
        first = False
        fault = None
        for part in inflate(window, codec):
            yield part
            fault = part if isinstance(part, Fault) else None
        if fault is not None:
            window.move(max(start + 1, window.pos - BACK_BYTES))
            if not seek_member(window, codec, stop):
                return


def _member_begins_record(window: Window, codec: Codec) -> bool:
    member = codec.new()
    head = b""
    n_fed = 0
    try:
        while len(head) < HEAD_BYTES and not member.eof and n_fed < PROBE_MAX_BYTES:
            stored = window.peek(n_fed + max(n_fed, PROBE_BYTES))[n_fed:]
            if not stored:
                break
            head += member.decompress(stored, HEAD_BYTES)
            n_fed += len(stored)
    except BROKEN:
        return False
    return begins_record(head)
