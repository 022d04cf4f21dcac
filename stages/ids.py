"""The id of a row: a hash of where it was read, so that it is the same in every run and on every runner."""

import xxhash


def source_of(uri: str, offset: int) -> str:
    """The `source` column: file and offset (bytes for archives and JSON lines, row for Parquet)."""
    return f"{uri}#{offset}"


def id_of(source: str) -> str:
    """32 hex digits of xxh3-128 of `source`."""
    return xxhash.xxh3_128_hexdigest(source.encode())
