"""Compressed files read forwards, member by member, with what is broken told apart from what the storage refuses.

Gzip files are a row of members, LZ4 and Zstandard files a row of frames: here all are members.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import lz4.frame
import zstandard

READ_BYTES = 1 << 20  # asked of the file at a time
FEED_BYTES = 1 << 16  # given to the decompressor at a time: bounds what one call of gzip returns to 64 MB
ZSTD_FEED_BYTES = 1 << 11  # 4 bytes of Zstandard can be 128 KB: as many MB
MAGIC_BYTES = 4
SHOWN_BYTES = 16  # of what is no member
SKIPPABLE = tuple(bytes((0x50 + i,)) + b"\x2a\x4d\x18" for i in range(16))  # frames that hold no data


@dataclass(frozen=True)
class Codec:
    """A compression whose files are independent members one after another, each beginning with `magic`.

    `new` makes an object with decompress(data), eof and unused_data, as in the bz2 module.
    """

    name: str
    magic: bytes
    new: Callable[[], Any]
    others: tuple[bytes, ...] = ()
    feed: int = FEED_BYTES

    def begins(self, stored: bytes) -> bool:
        return stored.startswith((self.magic, *self.others))


GZIP = Codec("gzip", b"\x1f\x8b\x08", lambda: zlib.decompressobj(31))
LZ4 = Codec("lz4", b"\x04\x22\x4d\x18", lz4.frame.LZ4FrameDecompressor, SKIPPABLE)
ZSTD = Codec(
    "zstd", b"\x28\xb5\x2f\xfd", lambda: zstandard.ZstdDecompressor().decompressobj(), SKIPPABLE, ZSTD_FEED_BYTES
)
BROKEN = (zlib.error, zstandard.ZstdError, RuntimeError, EOFError)  # what they raise on bytes that are not theirs


@dataclass(frozen=True)
class Fault:
    """The decompressed bytes end here because the stored ones do; `cut`: the file ends, else it is damaged.

    `offset` is where the broken member begins in the file.
    """

    offset: int
    error: str
    cut: bool = False


@dataclass(frozen=True)
class End:
    """A member ends here and its checksum is right."""


END = End()


class Window:
    """A file read forwards, with the bytes not yet used in hand; `pos` is where they begin in the file."""

    def __init__(self, file: BinaryIO, pos: int) -> None:
        self.file = file
        self.move(pos)

    def move(self, pos: int) -> None:
        self.file.seek(pos)
        self.pos = pos
        self._data = b""
        self._at = 0

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end of the file."""
        while (short := size - (len(self._data) - self._at)) > 0:
            more = self.file.read(max(READ_BYTES, short))
            if not more:
                break
            self._data = self._data[self._at :] + more
            self._at = 0
        return self._data[self._at : self._at + size]

    def skip(self, size: int) -> None:
        self._at += size
        self.pos += size

    def seek_bytes(self, wanted: bytes, stop: int | None = None) -> bool:
        """Move to the next place where `wanted` is; False if the file ends, or `stop` is passed, first."""
        while stop is None or self.pos < stop:
            found = self._data.find(wanted, self._at)
            if found >= 0:
                self.skip(found - self._at)
                return True
            self.skip(max(len(self._data) - self._at - len(wanted) + 1, 0))
            if len(self.peek(len(wanted))) < len(wanted):
                return False
        return False


def inflate(window: Window, codec: Codec) -> Iterator[bytes | End | Fault]:
    """The bytes of the member at the window's position, which ends up behind it, then `END`, or a `Fault`."""
    start = window.pos
    if not codec.begins(window.peek(MAGIC_BYTES)):
        if not _skip_padding(window, codec):
            yield Fault(start, f"no {codec.name} member begins here but {window.peek(SHOWN_BYTES)!r}")
        return
    member = codec.new()
    while not member.eof:
        stored = window.peek(codec.feed)
        if not stored:
            yield Fault(start, f"the file ends within a {codec.name} member", cut=True)
            return
        try:
            data = member.decompress(stored)
        except BROKEN as error:
            yield from _salvage(window, codec, start)
            yield Fault(start, f"{codec.name} member damaged: {error}")
            return
        window.skip(len(stored) - len(member.unused_data or b""))
        if data:
            yield data
    yield END


def _salvage(window: Window, codec: Codec, start: int) -> Iterator[bytes]:
    """What the decompressor made of the stored bytes before it failed on those at the window's position.

    It gives back nothing of the call it failed in, which may be the whole member, so that call is made again by bytes.
    """
    failed = window.pos
    window.move(start)
    member = codec.new()
    while window.pos < failed:
        stored = window.peek(codec.feed)
        member.decompress(stored)
        window.skip(len(stored))
    for byte in window.peek(codec.feed):
        try:
            data = member.decompress(bytes((byte,)))
        except BROKEN:
            return
        window.skip(1)
        if data:
            yield data


def _skip_padding(window: Window, codec: Codec) -> bool:
    """Skip NUL bytes (tape and block padding); False if then neither a member nor the end of the file follows."""
    while (block := window.peek(FEED_BYTES)) and not block.strip(b"\0"):
        window.skip(len(block))
    window.skip(len(block) - len(block.lstrip(b"\0")))
    return not window.peek(1) or codec.begins(window.peek(MAGIC_BYTES))
