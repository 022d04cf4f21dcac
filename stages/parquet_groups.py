"""How many rows of a Parquet row group are decoded at a time, so that memory does not depend on what the file claims.

A dictionary or a run of equal values takes a few bytes for any number of rows: a file of 10 kB can hold 3 GB of text.
So rows are read a few at a time where the longest value, if all of them had it, would take more than `BLOCK_BYTES`, and
a row group is refused whose lists would take more than `MOST_BYTES`: those can be all in one row.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.watched import Watched

TABLE_ROWS = 65536
BLOCK_BYTES = 1 << 25
MOST_BYTES = 1 << 28
GROWTH = 64  # times its bytes in the file: a row group of lists that takes less is none of those meant here
PLACE = 4  # bytes of an index into a dictionary: the least that a value in a list takes
WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}


class GroupError(ValueError):
    """A row group that would take more memory than any table may."""


def batches(
    parquet: pq.ParquetFile, file: Watched, group: int, names: list[str], rows: int
) -> Iterator[pa.RecordBatch]:
    """Columns `names` of a row group in batches of `rows`, fewer where those are too large. Raises `GroupError`."""
    rows = min(rows, TABLE_ROWS)
    few = min(rows, rows_at_a_time(parquet, file, group, names, rows))
    waiting: list[pa.RecordBatch] = []
    for batch in parquet.iter_batches(few, row_groups=[group], columns=names):
        waiting.append(batch)
        if sum(b.num_rows for b in waiting) >= rows or sum(b.nbytes for b in waiting) >= BLOCK_BYTES:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def rows_at_a_time(parquet: pq.ParquetFile, file: Watched, group: int, names: list[str], rows: int) -> int:
    """So many rows take at most about `BLOCK_BYTES`, whichever they are."""
    footer = parquet.metadata.row_group(group)
    row_bytes = 0.0
    for leaf in range(footer.num_columns):
        column, there = footer.column(leaf), parquet.schema.column(leaf)
        if there.path.partition(".")[0] not in names:
            continue
        stored, n = int(column.total_uncompressed_size), int(column.num_values)
        in_lists, most = there.max_repetition_level > 0, max(MOST_BYTES, GROWTH * stored)
        value = PLACE if in_lists and PLACE * n > most else _longest(parquet, file, group, column, there, rows)
        if in_lists and value * n > most:
            raise GroupError(
                f"column {there.path} claims {n:,} values in {stored:,} bytes, lists of up to {value * n:,} bytes in "
                f"memory; {most:,} are allowed"
            )
        row_bytes += value * max(1.0, n / max(footer.num_rows, 1))
    return max(1, int(BLOCK_BYTES / max(row_bytes, 1.0)))


def _longest(parquet: pq.ParquetFile, file: Watched, group: int, column: Any, there: Any, rows: int) -> int:
    """Bytes of the longest value that the column may hold more often than the file does; 0 where there is none."""
    if there.physical_type in WIDTHS:
        return WIDTHS[there.physical_type]
    if there.physical_type == "FIXED_LEN_BYTE_ARRAY":
        return int(there.length)
    stored = int(column.total_uncompressed_size)
    if "DELTA_BYTE_ARRAY" in column.encodings:  # a value may repeat all of the one before it
        return stored
    if not column.has_dictionary_page:
        return 0
    if stored * max(rows, column.num_values if there.max_repetition_level else 0) <= BLOCK_BYTES:
        return stored
    reader = pq.ParquetFile(file, metadata=parquet.metadata, read_dictionary=[there.path])
    first = next(reader.iter_batches(1, row_groups=[group], columns=[there.path]), None)
    found = None if first is None else first.column(0)
    while found is not None and not pa.types.is_dictionary(found.type):
        struct = pa.types.is_struct(found.type) and found.type.num_fields
        found = found.field(0) if struct else getattr(found, "values", None)
    return stored if found is None else int(pc.max(pc.binary_length(found.dictionary)).as_py() or 0)


def _joined(batches_: list[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.concat_batches(batches_) if len(batches_) > 1 else batches_[0]
