"""Rows to other shards, in one order over the whole dataset: the barrier under a global shuffle.

    move     one task a shard: its rows, row groups by range of the key    -> <step>/shuffle/moved/<shard>.parquet
    arrange  one task a range: its rows of all shards, by key and id        -> <step>/shuffle/arranged/<range>.parquet

The ranges are the shards of the step: read one after the other, they are the whole dataset in order, whatever shards
it came in. Ranges are equally wide, so the key must be spread evenly over 64 bits. No task holds more than one range.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cluster.barrier import Moving
from cluster.exchange.phases import SLACK, TEXT_BYTES, partitions_for
from cluster.exchange.shuffle import Carrier
from cluster.exchange.spill import ROW, all_facts, read_partition, read_rows, write_partitions
from cluster.shards import InputFile, Shard
from cluster.storage import Folder, address, locate, open_input
from schemas import columns as c
from stages.stage import Piece

ARRANGED_ROWS_BYTES = 16 << 20  # Arrow bytes of a row group of what is arranged
PLAN = "shuffle/plan.json"


@dataclass(frozen=True)
class Move:
    """The rows of one shard, by range."""

    shard: Shard
    key: str
    ranges: int

    @property
    def name(self) -> str:
        return f"shuffle/moved/{self.shard.name}.parquet"

    def run(self, shuffle: Any, folder: Folder) -> None:
        with open_input(self.shard.piece.uri) as file:
            names = pq.read_schema(file).names
        tables = (table.drop_columns([ROW.name]) for table in read_rows(self.shard, names))
        write_partitions(folder, self.name, tables, lambda table: range_of(table, self.key, self.ranges), self.ranges)


@dataclass(frozen=True)
class Arrange:
    """The rows of one range, in order."""

    shards: tuple[str, ...]  # sorted, so that rows with one key and one id keep an order too
    key: str
    range: int
    ranges: int

    @property
    def name(self) -> str:
        return f"shuffle/arranged/{self.range:05d}.parquet"

    def run(self, shuffle: Any, folder: Folder) -> None:
        names = [f"shuffle/moved/{shard}.parquet" for shard in self.shards]
        rows = pa.concat_tables(read_partition(folder, names, self.range, self.ranges))
        order = pc.sort_indices(rows, [(self.key, "ascending"), (c.ID.name, "ascending")])
        n = max(1, ARRANGED_ROWS_BYTES * rows.num_rows // max(rows.nbytes, 1))
        with folder.writing(self.name) as out, pq.ParquetWriter(out, rows.schema, compression="zstd") as writer:
            for begin in range(0, max(rows.num_rows, 1), n):
                writer.write_table(rows.take(order.slice(begin, n)))


def range_of(table: pa.Table, key: str, ranges: int) -> Any:
    """The range of each row: its key as a share of 2^64, times `ranges`."""
    head = table.column(key).to_numpy() >> np.uint64(32)
    return ((head * np.uint64(ranges)) >> np.uint64(32)).astype(np.int32)


def ranges_of(folder: Folder) -> int:
    """How many ranges there are; 0 before it is known."""
    try:
        found = json.loads(folder.get(PLAN))
    except FileNotFoundError:
        return 0
    return int(found["ranges"]) if found.get("measured") else 0


def moved_shards(carrier: Carrier, shards: Sequence[Shard], memory: int) -> list[Shard]:
    """The shards of the step, with their rows in place, unless all of them are committed."""
    folder = carrier.target.folder
    ranges = ranges_of(folder)
    if not ranges or uncommitted(folder, ranges):
        arrange(carrier, shards, memory)
    return arranged_shards(folder)


def uncommitted(folder: Folder, ranges: int) -> list[int]:
    """The ranges that are still to be made shards of the step."""
    committed = set(folder.names("manifests", ".json"))
    return [number for number in range(ranges) if f"manifests/{number:05d}.json" not in committed]


def arrange(carrier: Carrier, shards: Sequence[Shard], memory: int) -> None:
    """Bring the rows of `shards` in order, as far as that is not done and not committed."""
    shuffle, do = carrier.planned.step.shuffle, carrier.do
    assert isinstance(shuffle, Moving)
    folder, own = carrier.target.folder, sorted(shards, key=lambda shard: shard.name)
    names, key = [shard.name for shard in own], shuffle.key
    try:
        plan = json.loads(folder.get(PLAN))
    except FileNotFoundError:
        plan = {}
    if plan.get("shards") != names:
        folder.below("shuffle").clear()
        guess = TEXT_BYTES * sum(shard.file.size for shard in own)
        plan = {"shards": names, "ranges": partitions_for(guess, memory), "measured": False}
        folder.put(PLAN, json.dumps(plan).encode())

    def moves() -> list[Move]:
        return [Move(shard, key, plan["ranges"]) for shard in own]

    if not plan["measured"]:
        do(moves())
        n_bytes = sum(fact["bytes"] for fact in all_facts(folder, [move.name for move in moves()]))
        wanted = partitions_for(n_bytes, memory)
        if wanted > SLACK * plan["ranges"]:  # what is written takes more in memory than was thought
            folder.below("shuffle/moved").clear()
            plan["ranges"] = wanted
            folder.put(PLAN, json.dumps(plan).encode())
            do(moves())
        plan["measured"] = True
        folder.put(PLAN, json.dumps(plan).encode())
    tasks = [Arrange(tuple(names), key, number, plan["ranges"]) for number in uncommitted(folder, plan["ranges"])]
    if not {task.name for task in tasks} <= set(folder.names("shuffle/arranged")):
        do(moves())  # they have gone where this step was done once: a manifest that was deleted is made again
    do(tasks)
    folder.below("shuffle/moved").clear()


def arranged_shards(folder: Folder) -> list[Shard]:
    """The shards of the step, once it is known how many there are."""
    shards = []
    for number in range(ranges_of(folder)):
        filesystem, path = locate(f"{folder.url}/shuffle/arranged/{number:05d}.parquet")
        uri = address(filesystem, path)
        size = folder.size(f"shuffle/arranged/{number:05d}.parquet") if filesystem.exists(path) else 0
        shards.append(Shard(f"{number:05d}", Piece(uri), InputFile(uri, size, "")))
    return shards
