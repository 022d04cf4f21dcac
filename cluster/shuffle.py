"""Rows to partitions by key, and the verdicts back to their shards: the barrier under every dedup.

    scatter  one task a shard: key, id, shard and row of every row, one row group a partition
             -> <step>/shuffle/rows/<shard>.parquet
    reduce   one task a partition: Shuffle.reduce over that partition of all shards, in order of shard and row
             -> <step>/shuffle/verdicts/<partition>.parquet, sorted by shard and row
    join     each shard's rows get the verdicts on them as they are read (work.py)

No task needs more than one partition in memory, and the texts are never read. A task's one file is its commit.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cluster.commit import Target
from cluster.plan import PlannedStep
from cluster.recipe import Shuffle
from cluster.shards import Shard
from cluster.storage import Folder, open_input

ROWS_PER_PARTITION = 4_000_000  # about 400 MB of keys and ids in a reducer
SHARD = pa.field("shard", pa.string(), nullable=False)
ROW = pa.field("row", pa.int64(), nullable=False)
VERDICT_ROWS = 1 << 16  # rows in a row group of verdicts: what a shard reads beyond its own


@dataclass(frozen=True)
class Scatter:
    """Partition the keys of one shard."""

    shard: Shard
    partitions: int

    @property
    def name(self) -> str:
        return f"shuffle/rows/{self.shard.name}.parquet"


@dataclass(frozen=True)
class Reduce:
    """Reduce one partition of all shards."""

    shards: tuple[str, ...]
    partition: int

    @property
    def name(self) -> str:
        return f"shuffle/verdicts/{self.partition:05d}.parquet"


Task = Scatter | Reduce


def partitions_for(rows: int) -> int:
    """How many partitions: from the count of rows that upstream's manifests give, not guessed."""
    return max(1, -(-rows // ROWS_PER_PARTITION))


def run_task(planned: PlannedStep, target: Target, task: Task) -> None:
    """Do one task of the shuffle of `planned`; its file appears when it is whole."""
    shuffle = planned.step.shuffle
    assert shuffle is not None
    if isinstance(task, Scatter):
        _scatter(shuffle, target.folder, task)
    else:
        _reduce(shuffle, target.folder, task)


def read_verdicts(planned: PlannedStep, folder: Folder, shard: str) -> pa.Table:
    """The verdicts on the rows of `shard`: row and the columns the shuffle adds."""
    shuffle = planned.step.shuffle
    assert shuffle is not None
    schema = pa.schema([ROW, *shuffle.adds])
    found = []
    for name in folder.names("shuffle/verdicts", ".parquet"):
        with folder.open(name) as file:
            table = pq.read_table(file, filters=pc.field("shard") == shard)
            found.append(table.select(schema.names))
    return pa.concat_tables(found) if found else schema.empty_table()


def join_verdicts(shuffle: Shuffle, table: pa.Table, verdicts: pa.Table, first_row: int) -> pa.Table:
    """`table`, rows `first_row`.. of its shard, with the columns of the verdicts; other rows get `alone` or null."""
    rows = verdicts.column("row").to_numpy() - first_row
    inside = (rows >= 0) & (rows < table.num_rows)
    take: Any = np.full(table.num_rows, -1, dtype=np.int64)
    take[rows[inside]] = np.flatnonzero(inside)
    indices = pa.array(take, mask=take < 0)
    for field in shuffle.adds:
        values = verdicts.column(field.name).combine_chunks().take(indices)
        if shuffle.alone.get(field.name) is not None:
            values = pc.if_else(pc.is_null(indices), pa.scalar(shuffle.alone[field.name], field.type), values)
        if field.name in table.column_names:
            table = table.set_column(table.column_names.index(field.name), field, values)
        else:
            table = table.append_column(field, values)
    return table


def _scatter(shuffle: Shuffle, folder: Folder, task: Scatter) -> None:
    with open_input(task.shard.piece.uri) as file:
        table = pq.read_table(file, columns=list(dict.fromkeys([*shuffle.reads.names, shuffle.key])))
    n = table.num_rows
    part = _partition_of(table.column(shuffle.key).combine_chunks(), task.partitions)
    table = table.append_column(SHARD, pa.repeat(pa.scalar(task.shard.name), n))
    table = table.append_column(ROW, pa.array(np.arange(n, dtype=np.int64)))
    schema = table.schema
    with folder.writing(task.name) as out, pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for p in range(task.partitions):  # row group p is partition p, empty ones too
            writer.write_table(table.filter(pa.array(part == p)), row_group_size=max(n, 1))


def _reduce(shuffle: Shuffle, folder: Folder, task: Reduce) -> None:
    found = []
    for shard in sorted(task.shards):
        with folder.open(f"shuffle/rows/{shard}.parquet") as file:
            found.append(pq.ParquetFile(file).read_row_group(task.partition))
    verdicts = shuffle.reduce(pa.concat_tables(found))
    schema = pa.schema([SHARD, ROW, *shuffle.adds])
    verdicts = verdicts.select(schema.names).cast(schema).sort_by([("shard", "ascending"), ("row", "ascending")])
    with folder.writing(task.name) as out:
        pq.write_table(verdicts, out, row_group_size=VERDICT_ROWS, compression="zstd")


def _partition_of(key: pa.Array, partitions: int) -> Any:
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
