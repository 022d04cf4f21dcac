"""Gzip without a clock: the header says neither time nor system."""

import struct
import zlib


def member(data: bytes) -> bytes:
    """`data` as a gzip member."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = deflate.compress(data) + deflate.flush()
    return b"\x1f\x8b\x08\0\0\0\0\0\x02\xff" + body + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def damaged(data: bytes) -> bytes:
    """A gzip member with 64 bytes overwritten in the middle of its compressed data."""
    whole = member(data)
    middle = len(whole) // 2
    return whole[:middle] + b"\xff" * 64 + whole[middle + 64 :]
