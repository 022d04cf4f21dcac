"""Exact duplicates over a whole dataset: of the rows with one hash, the first by id stays."""

from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from schemas import columns as c


@dataclass(frozen=True)
class KeepFirst:
    """The shuffle under exact dedup (a barrier between two steps, see `cluster.recipe.Shuffle`).

    Rows with the same `key` are one cluster. The one with the smallest id stays: an arbitrary choice, and the same one
    whatever way the input is ordered or cut into shards. `duplicate_of` of the others is its id.
    Where several rows have that very id (files that overlap), the first of them by (shard, row) stays.
    """

    key: str = c.CONTENT_HASH.name

    reads: ClassVar[pa.Schema] = pa.schema([c.ID, c.CONTENT_HASH])
    adds: ClassVar[pa.Schema] = pa.schema([c.DUPLICATE_OF, c.CLUSTER_SIZE])
    alone: ClassVar[dict[str, Any]] = {c.CLUSTER_SIZE.name: 1}

    def reduce(self, table: pa.Table) -> pa.Table:
        """(id, key, shard, row) of one partition, in order -> (shard, row, duplicate_of, cluster_size) of clusters."""
        rows = pl.from_arrow(table)
        assert isinstance(rows, pl.DataFrame)
        first = pl.col("id").min().over(self.key)
        stays = (pl.col("id") == pl.col("first")) & pl.struct(self.key, "id").is_first_distinct()
        verdicts = (
            rows.with_columns(cluster_size=pl.len().over(self.key).cast(pl.Int64), first=first)
            .filter(pl.col("cluster_size") > 1)
            .select(
                "shard",
                "row",
                pl.when(~stays).then("first").alias(c.DUPLICATE_OF.name),
                c.CLUSTER_SIZE.name,
            )
        )
        return verdicts.to_arrow()
