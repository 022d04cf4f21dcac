"""One number per address: what deduplication by URL compares."""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import xxhash

from schemas import columns as c
from stages.dedup.url_canonical import canonical
from stages.stage import Resources, Rows, Transform, set_columns

NO_URL = b"\0id\0"  # no address begins so: white space and controls do not count at its ends


@dataclass(frozen=True)
class UrlHash:
    """Add `url_hash`: xxh3-128 of the canonical form of `url` (stages/dedup/url_canonical.py), 16 bytes, big-endian.

    A row whose URL is null or blank has a hash of its id: it is nobody's duplicate.
    """

    reads: ClassVar[pa.Schema] = pa.schema([c.ID, c.URL])
    adds: ClassVar[pa.Schema] = pa.schema([c.URL_HASH])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def open(self) -> Transform:
        return hash_urls


def hash_urls(table: pa.Table) -> pa.Table:
    """Fill `url_hash`."""
    urls, ids = table.column(c.URL.name).to_pylist(), table.column(c.ID.name)
    forms = [canonical(url).encode() if url and not url.isspace() else b"" for url in urls]
    for row, form in enumerate(forms):
        if not form:
            forms[row] = NO_URL + ids[row].as_py().encode()
    return set_columns(table, url_hash=pa.array([*map(xxhash.xxh3_128_digest, forms)], c.URL_HASH.type))
