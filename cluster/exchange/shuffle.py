"""Rows to partitions by key, and the verdicts back to their shards: the barrier under every dedup.

    scatter  one task a shard: key, row and what the shuffle reads of every row, row groups by partition
             -> <step>/shuffle/rows/<shard>.parquet
    reduce   one task a partition: Shuffle.reduce over that partition of all shards, in order of shard and row
             -> <step>/shuffle/verdicts/<partition>.parquet, sorted by shard and row
    join     each shard's rows get the verdicts on them as they are read (work.py)

A `Linking` shuffle finds its key first, by the phases of components.py. No task needs more than one partition in
memory. A task's one file is its commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cluster.barrier import COMPONENT, COMPONENT_SIZE, Linking, Shuffle, Spreading
from cluster.commit import Target
from cluster.exchange.components import labels_of
from cluster.exchange.spill import ROW, partitioned, read_between, read_partition, read_rows, write_partitions
from cluster.plan import PlannedStep
from cluster.shards import Shard
from cluster.storage import Folder
from schemas import columns as c

SHARD = pa.field("shard", pa.string(), nullable=False)
VERDICT_ROWS = 1 << 16  # rows in a row group of verdicts: what a shard reads beyond its own


class Task(Protocol):
    """A piece of a barrier's work: one file, written whole."""

    @property
    def name(self) -> str: ...

    def run(self, shuffle: Any, folder: Folder) -> None: ...


@dataclass(frozen=True)
class Scatter:
    """Partition the keys of one shard, the step's `number`-th, or one of an index, of which only the links are read."""

    shard: Shard
    number: int
    partitions: int
    known: bool = False

    @property
    def name(self) -> str:
        return f"shuffle/rows/{self.shard.name}.parquet"

    def run(self, shuffle: Shuffle, folder: Folder) -> None:
        made = isinstance(shuffle, Linking | Spreading)  # the key is not in the file
        columns = list(dict.fromkeys([*shuffle.reads.names, *([] if made else [shuffle.key])]))
        if self.known and isinstance(shuffle, Linking):
            columns = [c.ID.name, *shuffle.links_read.names]
        tables = read_rows(self.shard, columns)
        if isinstance(shuffle, Linking):
            labels = labels_of(folder, self.number)
            labelled = (with_labels(table, labels) for table in tables)
            if self.known:
                labelled = (with_nulls(table, shuffle.reads) for table in labelled)
            tables = map(shuffle.members, labelled)
        elif isinstance(shuffle, Spreading):
            tables = map(shuffle.spread, tables)
        part_of = partitioned(shuffle.key, self.partitions, numbers=isinstance(shuffle, Linking))
        write_partitions(folder, self.name, tables, part_of, self.partitions)


@dataclass(frozen=True)
class Reduce:
    """Reduce one partition of all shards."""

    shards: tuple[str, ...]  # the step's, in order of number; then those of an index
    partition: int
    partitions: int
    known: int = 0  # how many are the index's

    @property
    def name(self) -> str:
        return f"shuffle/verdicts/{self.partition:05d}.parquet"

    def run(self, shuffle: Shuffle, folder: Folder) -> None:
        found = []
        names = [f"shuffle/rows/{shard}.parquet" for shard in self.shards]
        for number, table in enumerate(read_partition(folder, names, self.partition, self.partitions)):
            found.append(table.append_column("shard", pa.repeat(pa.scalar(number, pa.int32()), table.num_rows)))
        rows = pa.concat_tables(found, promote_options="permissive" if self.known else "none")
        if isinstance(shuffle, Linking):
            theirs = pc.greater_equal(rows.column("shard"), len(self.shards) - self.known)
            rows = rows.append_column(c.KNOWN.name, theirs)
        verdicts = shuffle.reduce(rows)
        verdicts = verdicts.filter(pc.less(verdicts.column("shard"), len(self.shards) - self.known))
        verdicts = verdicts.sort_by([("shard", "ascending"), ("row", "ascending")])
        shards = pa.array(self.shards, pa.string()).take(verdicts.column("shard").combine_chunks())
        verdicts = verdicts.set_column(verdicts.column_names.index("shard"), SHARD, shards)
        schema = pa.schema([SHARD, ROW, *shuffle.adds])
        with folder.writing(self.name) as out:
            pq.write_table(
                verdicts.select(schema.names).cast(schema), out, row_group_size=VERDICT_ROWS, compression="zstd"
            )


class Watch(Protocol):
    """Is told how far a barrier is (signals/progress.py)."""

    def phase(self, name: str, tasks: int, done: int) -> None: ...

    def task_done(self) -> None: ...

    def beat(self) -> None: ...

    def note(self, message: str, **what: Any) -> None: ...


class Runner(Protocol):
    """What carries tasks out, and tells `watch` of each that is done."""

    def run_tasks(self, planned: PlannedStep, target: Target, tasks: list[Task], watch: Watch) -> None: ...


@dataclass(frozen=True)
class Carrier:
    """Who carries out the tasks of one barrier, where their files go, and who is told."""

    planned: PlannedStep
    target: Target
    runner: Runner
    watch: Watch

    def do(self, tasks: Sequence[Task]) -> None:
        """Those of `tasks`, a phase, whose file is not there yet: it is their commit."""
        folder, parts = self.target.folder, sorted({task.name.rpartition("/")[0] for task in tasks})
        there = {name for part in parts for name in folder.names(part)}
        undone = [task for task in tasks if task.name not in there]
        if undone:
            self.watch.phase(parts[0].rpartition("/")[2], len(tasks), len(tasks) - len(undone))
            self.runner.run_tasks(self.planned, self.target, undone, self.watch)
        folder.await_listed(task.name for task in undone)  # what is next asks which there are


def run_task(planned: PlannedStep, target: Target, task: Task) -> None:
    """Do one task of the barrier of `planned`; its file appears when it is whole."""
    task.run(planned.step.shuffle, target.folder)
    pa.default_memory_pool().release_unused()  # or the next task begins with what this one has let go of


def with_labels(table: pa.Table, labels: pa.Table) -> pa.Table:
    """The rows of `table` that `labels` knows, with their labels."""
    row, known = table.column(ROW.name).to_numpy(), labels.column(ROW.name).to_numpy()
    first = row[0] if len(row) else 0
    begin, end = np.searchsorted(known, [first, first + len(row)])
    mine = labels.slice(begin, end - begin)
    table = table.take(pa.array(known[begin:end] - first))
    for name in (COMPONENT, COMPONENT_SIZE):
        table = table.append_column(name, mine.column(name))
    return table


def with_nulls(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with the columns of `schema` that it lacks, empty."""
    for field in schema:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table


def read_verdicts(planned: PlannedStep, folder: Folder, shard: str) -> pa.Table:
    """The verdicts on the rows of `shard`: row and the columns the shuffle adds, each row once."""
    shuffle = planned.step.shuffle
    assert isinstance(shuffle, Shuffle)
    schema = pa.schema([ROW, *shuffle.adds])
    found = [
        read_between(folder, name, SHARD.name, shard, shard).select(schema.names)
        for name in folder.names("shuffle/verdicts", ".parquet")
    ]
    verdicts = pa.concat_tables(found) if found else schema.empty_table()
    if isinstance(shuffle, Spreading) and verdicts.num_rows:
        verdicts = shuffle.gather(verdicts.sort_by("row")).select(schema.names).cast(schema)
    return verdicts


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
