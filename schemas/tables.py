"""What more than one room asks of a table or of a column's type."""

from collections.abc import Iterator

import pyarrow as pa


def is_text(type_: pa.DataType) -> bool:
    """Text, or a dictionary of texts."""
    if pa.types.is_dictionary(type_):
        return is_text(type_.value_type)
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def halved(table: pa.Table, n_bytes: int) -> Iterator[pa.Table]:
    """`table` in halves until none takes more than twice `n_bytes`: a file says little of how long its rows are."""
    if table.num_rows > 1 and table.nbytes > 2 * n_bytes:
        half = table.num_rows // 2
        yield from halved(table.slice(0, half), n_bytes)
        yield from halved(table.slice(half), n_bytes)
    else:
        yield table
