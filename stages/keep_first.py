"""Exact duplicates over a whole dataset: of the rows with one hash, one stays."""

from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from schemas import columns as c
from schemas.pair import VERDICT
from stages.dedup import keep as keeping


@dataclass(frozen=True)
class KeepFirst:
    """The shuffle under exact dedup (a barrier between two steps, see `cluster.barrier.Shuffle`).

    Rows with the same `key` are one cluster: `content_hash`, `url_hash`, or a hash of your own. One of them stays, by
    `keep` (stages/dedup/keep.py): the one with the smallest id, an arbitrary choice, or the best by columns. It is the
    same one whatever way the input is ordered or cut into shards. `duplicate_of` of the others is its id; `cluster_id`
    is the smallest id of the cluster, null for a row that is alone.
    Where several rows have the id that stays (files that overlap), the first of them by (shard, row) stays.
    """

    key: str = c.CONTENT_HASH.name
    keep: str = "first"

    version: ClassVar[int] = 2  # 2 adds `cluster_id`
    adds: ClassVar[pa.Schema] = VERDICT
    alone: ClassVar[dict[str, Any]] = {c.CLUSTER_SIZE.name: 1}

    def __post_init__(self) -> None:
        keeping.criteria(self.keep)

    @property
    def reads(self) -> pa.Schema:
        """The key, where it is a column of schemas/, and what `keep` needs."""
        fields = {field.name: field for field in keeping.reads(self.keep)}
        if self.key in c.ALL:
            fields[self.key] = c.ALL[self.key]
        return pa.schema(list(fields.values()))

    def faults(self, schema: pa.Schema, known: pa.Schema | None = None) -> list[str]:
        """What is wrong with the columns that `keep` names."""
        return keeping.faults(self.keep, schema)

    def reduce(self, table: pa.Table) -> pa.Table:
        """(what it reads, shard, row) of one partition, in order -> (shard, row, adds) of clusters, in that order."""
        rows = pl.from_arrow(table)
        assert isinstance(rows, pl.DataFrame)
        size = pl.len().over(self.key).cast(pl.Int64)
        rows = rows.with_columns(size.alias(c.CLUSTER_SIZE.name)).filter(pl.col(c.CLUSTER_SIZE.name) > 1)
        best = keeping.ranked(rows, self.keep).unique(self.key, keep="first", maintain_order=True)
        best = best.select(self.key, stays=c.ID.name, best_shard="shard", best_row="row")
        rows = rows.with_columns(pl.col(c.ID.name).min().over(self.key).alias(c.CLUSTER_ID.name))
        rows = rows.join(best, on=self.key, maintain_order="left")
        is_it = (pl.col("shard") == pl.col("best_shard")) & (pl.col("row") == pl.col("best_row"))
        return rows.select(
            "shard",
            "row",
            pl.when(~is_it).then("stays").alias(c.DUPLICATE_OF.name),
            c.CLUSTER_ID.name,
            c.CLUSTER_SIZE.name,
        ).to_arrow()
