"""Tables cut into partitions by hash, in one Parquet file: row group p of each run is partition p, empty ones too.

A run is so many rows as take RUN_BYTES: a shard is cut run by run, so that no task holds a whole one.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cluster.shards import OPEN_AT_ONCE, Shard
from cluster.storage import Folder, open_input
from schemas.tables import halved

ROW = pa.field("row", pa.int64(), nullable=False)
FACTS = b"headrace"  # what a task says of its file, in the file's metadata
READ_BYTES = 8 << 20  # Arrow bytes of a shard that are read at once: a shuffle may make several times that of them
RUN_BYTES = 16 << 20  # Arrow bytes that are put in order at once


def write_partitions(
    folder: Folder,
    name: str,
    tables: Iterable[pa.Table],
    part_of: Callable[[pa.Table], Any],
    partitions: int,
    **facts: Any,
) -> None:
    """Write `tables`, at least one, under `name`; row i of a table of them goes to partition `part_of(table)[i]`.

    The file says `facts` of itself, and how many `rows` and Arrow `bytes` it holds.
    """
    rows = n_bytes = 0
    writer: pq.ParquetWriter | None = None
    with folder.writing(name) as out, ExitStack() as stack:
        for table in runs(tables):
            if writer is None:
                writer = stack.enter_context(pq.ParquetWriter(out, table.schema, compression="zstd"))
            part = part_of(table)
            order = np.argsort(part, kind="stable")
            ordered = table.take(pa.array(order)) if table.num_rows else table
            ends = np.searchsorted(part[order], np.arange(partitions), side="right").tolist()
            for begin, end in zip([0, *ends], ends, strict=False):
                writer.write_table(ordered.slice(begin, end - begin), row_group_size=max(end - begin, 1))
            rows, n_bytes = rows + table.num_rows, n_bytes + table.nbytes
            del table, ordered  # before the next run is gathered
        assert writer is not None
        writer.add_key_value_metadata({FACTS: json.dumps({**facts, "rows": rows, "bytes": n_bytes}).encode()})


def runs(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """`tables` joined to ones of RUN_BYTES or a little more, in one piece each; at least one, if empty."""
    waiting: list[pa.Table] = []
    none = True
    for table in tables:
        waiting.append(table)
        if sum(waits.nbytes for waits in waiting) >= RUN_BYTES:
            joined = pa.concat_tables(waiting).combine_chunks()
            waiting, none = [], False
            yield joined
    if none or any(table.num_rows for table in waiting):
        yield pa.concat_tables(waiting).combine_chunks()


def read_partition(folder: Folder, names: Iterable[str], partition: int, partitions: int) -> Iterator[pa.Table]:
    """Partition `partition` of each file, in the order of `names`."""
    for name in names:
        with folder.open(name) as file:
            spilled = pq.ParquetFile(file)
            yield spilled.read_row_groups(list(range(partition, spilled.num_row_groups, partitions)))


def read_between(folder: Folder, name: str, column: str, low: Any, high: Any) -> pa.Table:
    """The rows with low <= `column` <= high of a file that is sorted by it: only row groups that can have any."""
    with folder.open(name) as file:
        source = pq.ParquetFile(file)
        at = source.schema_arrow.get_field_index(column)
        wanted = []
        for group in range(source.num_row_groups):
            said = source.metadata.row_group(group).column(at).statistics
            if said is None or not said.has_min_max or (said.min <= high and said.max >= low):
                wanted.append(group)
        table = source.read_row_groups(wanted)
    inside = pc.and_(pc.greater_equal(table.column(column), low), pc.less_equal(table.column(column), high))
    return table.filter(inside)


def read_rows(shard: Shard, columns: list[str]) -> Iterator[pa.Table]:
    """The rows of a shard with `columns` and `row`, in tables of about READ_BYTES; at least one, if empty."""
    row = 0
    with open_input(shard.piece.uri) as file:
        source = pq.ParquetFile(file)
        for group in range(source.num_row_groups):
            said = source.metadata.row_group(group)
            n_rows = max(1, READ_BYTES * said.num_rows // max(said.total_byte_size, 1))
            for batch in source.iter_batches(n_rows, row_groups=[group], columns=columns):
                for table in halved(pa.Table.from_batches([batch]), READ_BYTES):
                    numbers = pa.array(np.arange(row, row + table.num_rows, dtype=np.int64))
                    yield table.append_column(ROW, numbers)
                    row += table.num_rows
        if not row:
            table = pa.schema([source.schema_arrow.field(name) for name in columns]).empty_table()
            yield table.append_column(ROW, pa.array([], pa.int64()))


def read_facts(folder: Folder, name: str) -> dict[str, Any]:
    """What was said of a file when it was written."""
    with folder.open(name) as file:
        found: dict[str, Any] = json.loads((pq.read_metadata(file).metadata or {})[FACTS])
        return found


def all_facts(folder: Folder, names: Iterable[str]) -> list[dict[str, Any]]:
    """What was said of each file, many read at once."""
    with ThreadPoolExecutor(OPEN_AT_ONCE) as threads:
        return list(threads.map(lambda name: read_facts(folder, name), names))


def partition_of(key: pa.Array, partitions: int) -> Any:
    """The partition of each key. The key is a hash already: its first 8 bytes are as good as random."""
    if key.null_count:
        raise ValueError(f"{key.null_count} rows have no key to shuffle by")
    if pa.types.is_fixed_size_binary(key.type):
        width = key.type.byte_width
        raw = np.frombuffer(key.buffers()[1], dtype=np.uint8, count=len(key) * width, offset=key.offset * width)
        head = raw.reshape(-1, width)[:, :8].copy().view("<u8")[:, 0]
    else:
        head = key.cast(pa.uint64()).to_numpy()
    return (head % np.uint64(partitions)).astype(np.int32)


def partitioned(key: str, partitions: int, numbers: bool = False) -> Callable[[pa.Table], Any]:
    """What gives the rows of a table their partitions by the column `key`, a hash or, with `numbers`, none."""

    def part_of(table: pa.Table) -> Any:
        if not table.num_rows:
            return np.array([], np.int32)
        keys = pa.concat_arrays(table.column(key).chunks)
        return partition_of(pa.array(mixed(keys.to_numpy())) if numbers else keys, partitions)

    return part_of


def mixed(numbers: Any) -> Any:
    """Numbers that count up, as hashes: Fibonacci hashing with a fold, so that any modulus sees all bits."""
    product = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return product ^ (product >> np.uint64(32))
