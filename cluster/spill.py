"""Tables cut into partitions by hash, in one Parquet file: row group p is partition p, empty ones too."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cluster.shards import Shard
from cluster.storage import Folder, open_input

ROW = pa.field("row", pa.int64(), nullable=False)
FACTS = b"headrace"  # what a task says of its file, in the file's metadata


def write_partitions(folder: Folder, name: str, table: pa.Table, part: Any, partitions: int, **facts: Any) -> None:
    """Write `table` under `name`, its row i in partition `part[i]`, and `facts` beside them."""
    table = table.replace_schema_metadata({FACTS: json.dumps(facts).encode()})
    order = np.argsort(part, kind="stable")
    table = table.take(pa.array(order)) if table.num_rows else table
    ends = np.searchsorted(part[order], np.arange(partitions), side="right").tolist()
    with folder.writing(name) as out, pq.ParquetWriter(out, table.schema, compression="zstd") as writer:
        for begin, end in zip([0, *ends], ends, strict=False):
            writer.write_table(table.slice(begin, end - begin), row_group_size=max(end - begin, 1))


def read_partition(folder: Folder, names: Iterable[str], partition: int) -> Iterator[pa.Table]:
    """Partition `partition` of each file, in the order of `names`."""
    for name in names:
        with folder.open(name) as file:
            yield pq.ParquetFile(file).read_row_group(partition)


def read_rows(shard: Shard, columns: list[str]) -> Iterator[pa.Table]:
    """The tables of a shard, one a row group, with `columns` and `row`; at least one, if empty."""
    row = 0
    with open_input(shard.piece.uri) as file:
        source = pq.ParquetFile(file)
        for group in range(source.num_row_groups):
            table = source.read_row_group(group, columns=columns)
            yield table.append_column(ROW, pa.array(np.arange(row, row + table.num_rows, dtype=np.int64)))
            row += table.num_rows
        if not source.num_row_groups:
            table = pa.schema([source.schema_arrow.field(name) for name in columns]).empty_table()
            yield table.append_column(ROW, pa.array([], pa.int64()))


def read_facts(folder: Folder, name: str) -> dict[str, Any]:
    """What was said of a file when it was written."""
    with folder.open(name) as file:
        found: dict[str, Any] = json.loads((pq.read_schema(file).metadata or {})[FACTS])
        return found


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


def mixed(numbers: Any) -> Any:
    """Numbers that count up, as hashes: Fibonacci hashing with a fold, so that any modulus sees all bits."""
    product = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return product ^ (product >> np.uint64(32))
