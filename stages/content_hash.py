"""One number per text: what exact deduplication compares."""

import unicodedata
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import xxhash

from schemas import columns as c
from stages.stage import Resources, Rows, Transform, set_columns


@dataclass(frozen=True)
class ContentHash:
    """Add `content_hash`: xxh3-128 of the text's UTF-8, 16 bytes, big-endian; null for a null text.

    With `normalize`, of the text in Unicode form NFC with every run of white space as one space and none at the ends:
    two crawls of a page that differ in line breaks, or in how an accent is coded, are one text. Case, punctuation and
    digits count, since texts that differ there may differ in meaning. Without it, of the text as it is.
    """

    normalize: bool = True

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.CONTENT_HASH])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def open(self) -> Transform:
        return hash_normalized if self.normalize else hash_as_it_is


def hash_normalized(table: pa.Table) -> pa.Table:
    """Fill `content_hash` from the normalised text."""
    texts = table.column(c.BODY.name).to_pylist()
    digests = [None if t is None else xxhash.xxh3_128_digest(normalize(t).encode()) for t in texts]
    return set_columns(table, content_hash=pa.array(digests, pa.binary(16)))


def hash_as_it_is(table: pa.Table) -> pa.Table:
    """Fill `content_hash` from the bytes of the text."""
    texts = table.column(c.BODY.name).cast(pa.large_binary())
    digests = [xxhash.xxh3_128_digest(t.as_buffer()) if t.is_valid else None for t in texts]
    return set_columns(table, content_hash=pa.array(digests, pa.binary(16)))


def normalize(text: str) -> str:
    """NFC, white space (Unicode's, newlines included) collapsed to single spaces, none at the ends."""
    return unicodedata.normalize("NFC", " ".join(text.split()))
