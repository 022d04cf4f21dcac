"""Near duplicates over a whole dataset: rows that share a MinHash band, one cluster; the best of it stays."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from schemas import columns as c
from schemas.pair import VERDICT
from stages.dedup import keep as keeping
from stages.dedup.bands import KIND
from stages.stage import at_least
from stages.text.buffers import text_buffers

COMPONENT, COMPONENT_SIZE = c.COMPONENT.name, c.COMPONENT_SIZE.name
SLICE_BYTES = 16 << 20  # of text that is put in order at once
GIANT = 0.7  # true similarity that counts in a component that is too large, where none is asked for


@dataclass(frozen=True)
class NearDuplicates:
    """The shuffle under fuzzy dedup. Rows that share any one of their `bands` are linked; linked rows are a cluster.

    As in FineWeb, whatever hangs together is one cluster, and one row of it stays: by `keep` (stages/dedup/keep.py).
    `duplicate_of` of the others is its id; `cluster_id` is the smallest id of the cluster.

    `verify`: the true Jaccard similarity of shingles of `n_grams` words that counts. Then a cluster is what hangs
    together by verified pairs, and a row goes only if it is that similar to one that stays (`jaccard_score`): a row
    that is like a duplicate, but not like what is kept of it, stays. Several rows of a cluster may stay.

    `index`: the result of earlier runs (any Parquet with `id` and `bands`): what is linked to a row of it goes. Its
    texts are not read: here a band in common decides, whatever `verify` says.

    `max_cluster`: a component of more rows is cut up by the first band and always verified (at `verify`, else at 0.7):
    chains of pages that resemble their neighbours alone would take a whole site away.
    """

    keep: str = "first"
    index: str | None = None
    verify: float | None = None
    n_grams: int = 5
    max_cluster: int = 100_000

    key: ClassVar[str] = COMPONENT
    fan_out: ClassVar[int] = 14
    links_read: ClassVar[pa.Schema] = pa.schema([c.BANDS])
    adds: ClassVar[pa.Schema] = pa.schema([*VERDICT, c.JACCARD])
    alone: ClassVar[dict[str, Any]] = {c.CLUSTER_SIZE.name: 1}

    def __post_init__(self) -> None:
        if self.verify is not None and not 0 < self.verify <= 1:
            raise ValueError(f"NearDuplicates.verify should be above 0 and at most 1, got {self.verify}")
        at_least(self, n_grams=1, max_cluster=1)
        keeping.criteria(self.keep)

    @property
    def reads(self) -> pa.Schema:
        columns = {field.name: field for field in (*keeping.reads(self.keep), c.BANDS, c.BODY)}
        return pa.schema(list(columns.values()))

    def faults(self, schema: pa.Schema) -> list[str]:
        """What is wrong with rows of `schema`: bands of unknown make, columns that `keep` cannot order rows by."""
        found = keeping.faults(self.keep, schema)
        if not made(schema):
            found.append(f"column {c.BANDS.name!r} does not say how it was made: let MinHashBands make it")
        if c.BODY.name in {criterion.column for criterion in keeping.criteria(self.keep)}:
            found.append(
                f"keep orders rows by {c.BODY.name!r}, which is not there for all of them; take another column"
            )
        return found

    def index_faults(self, schema: pa.Schema, known: pa.Schema) -> list[str]:
        """Why bands of `schema` cannot be compared with those of an index."""
        here, there = made(schema), made(known) or "of unknown make"
        if here == there:
            return []
        return [f"its bands cannot be compared with these: they are {there}, these are {here}"]

    def links(self, table: pa.Table) -> pa.Table:
        """(row, link): every band of every row that has any."""
        bands = table.column(c.BANDS.name).combine_chunks()
        rows = table.column("row").combine_chunks().take(pc.list_parent_indices(bands))
        return pa.table({"row": rows, "link": pc.list_flatten(bands)})

    def members(self, table: pa.Table) -> pa.Table:
        """Rows on their way to `reduce`: texts only where they are verified, giants cut up by their first band."""
        giant = pc.greater(table.column(COMPONENT_SIZE), self.max_cluster)
        if self.verify is None:
            text = pc.if_else(giant, table.column(c.BODY.name), pa.scalar(None, c.TEXT))
            table = table.set_column(table.column_names.index(c.BODY.name), c.BODY, text)
        if pc.any(giant).as_py():
            first = pc.list_element(table.column(c.BANDS.name), 0).to_numpy()
            part = (first ^ (table.column(COMPONENT).to_numpy().astype(np.uint64) << np.uint64(1))) >> np.uint64(2)
            component = pc.if_else(giant, pa.array(part.astype(np.int64)), table.column(COMPONENT))
            table = table.set_column(table.column_names.index(COMPONENT), COMPONENT, component)
        return table

    def reduce(self, table: pa.Table) -> pa.Table:
        """(reads, component, component_size, shard, row) of whole components -> the verdict on each row."""
        if not table.num_rows:
            return pa.schema([("shard", pa.int32()), ("row", pa.int64()), *self.adds]).empty_table()
        small = table.drop_columns([c.BODY.name, c.BANDS.name])
        rows = pl.DataFrame(small.append_column("place", pa.array(np.arange(table.num_rows))))
        rows = keeping.ranked(rows, self.keep).sort(
            COMPONENT, c.KNOWN.name, descending=[False, True], maintain_order=True
        )
        rows = rows.with_row_index("at").with_columns(leader=pl.col("at").first().over(COMPONENT).cast(pl.Int64))
        verified = np.full(table.num_rows, self.verify is not None) | (
            rows[COMPONENT_SIZE].to_numpy() > self.max_cluster
        )
        rows = rows.with_columns(cluster=pl.col("leader"), score=pl.lit(None, pl.Float32))
        if verified.any():
            rows = self._verified(rows, table, verified)
        rows = rows.with_columns(
            stays=pl.col("leader") == pl.col("at"),
            kept=pl.col(c.ID.name).gather(pl.col("leader")),
            cluster_id=pl.col(c.ID.name).min().over("cluster"),
            cluster_size=pl.len().over("cluster").cast(pl.Int64),
        ).filter(pl.col("cluster_size") > 1)
        gone = pl.when(~pl.col("stays"))
        verdicts = rows.select(
            "shard",
            "row",
            gone.then("kept").alias(c.DUPLICATE_OF.name),
            c.CLUSTER_ID.name,
            c.CLUSTER_SIZE.name,
            gone.then("score").alias(c.JACCARD.name),
        )
        return verdicts.to_arrow()

    def _verified(self, rows: pl.DataFrame, table: pa.Table, verified: Any) -> pl.DataFrame:
        """`rows` (best first in each component) with cluster, leader and score by true similarity where `verified`."""
        from stages.kernels.jaccard import judge_rows  # noqa: PLC0415 - numba takes 0.4 s to import

        at = np.flatnonzero(verified)
        place = rows["place"].to_numpy()[at]
        sets, ends = self._sets(table.column(c.BODY.name), place)
        bands = table.select([c.BANDS.name]).take(pa.array(place)).column(0)
        bands = bands.combine_chunks().flatten().to_numpy().reshape(len(at), -1)
        component = rows[COMPONENT].to_numpy()[at]
        groups = np.concatenate([[0], np.flatnonzero(component[1:] != component[:-1]) + 1, [len(at)]])
        cluster, leader, score = (np.empty(len(at), kind) for kind in (np.int64, np.int64, np.float64))
        known = rows[c.KNOWN.name].to_numpy()[at]
        judge_rows(sets, ends, bands, known, groups, self.verify or GIANT, cluster, leader, score)
        found = {"cluster": at[cluster], "leader": at[leader], "score": score.astype(np.float32)}
        whole = {name: rows[name].to_numpy().copy() for name in ("cluster", "leader")}
        whole["score"] = np.full(len(rows), np.nan, np.float32)
        for name, values in found.items():
            whole[name][at] = values
        return rows.with_columns(
            pl.Series("cluster", whole["cluster"]),
            pl.Series("leader", whole["leader"]),
            pl.Series("score", whole["score"]).fill_nan(None),
        )

    def _sets(self, texts: pa.ChunkedArray, place: npt.NDArray[np.int64]) -> tuple[Any, Any]:
        """(sets, ends) of `shingle_sets`, of the texts at these places in this order.

        Texts are put in order SLICE_BYTES at a time: beside what the partition holds, all that grows is the sets.
        """
        from stages.kernels import fold  # noqa: PLC0415 - numba takes 0.4 s to import
        from stages.kernels.jaccard import shingle_sets  # noqa: PLC0415

        text = pl.Series(pl.from_arrow(texts)).fill_null("")  # views of the same bytes, which Arrow's take would copy
        reach = np.cumsum(text.str.len_bytes().to_numpy()[place], dtype=np.int64)
        total, ends = 0, np.zeros(len(place) + 1, np.int64)
        sets = np.empty(int(reach[-1]) // 2 + len(place), np.uint64)  # as much of it as is filled becomes memory
        begin = 0
        while begin < len(place):
            before = reach[begin - 1] if begin else 0
            end = max(begin + 1, int(np.searchsorted(reach, before + SLICE_BYTES, side="right")))
            data, offsets = text_buffers(text.gather(place[begin:end]).to_arrow().cast(c.TEXT))
            some = np.empty(end - begin + 1, np.int64)
            n = shingle_sets(data, offsets, fold.table(), self.n_grams, sets[total:], some)
            ends[begin + 1 : end + 1] = total + some[1:]
            total, begin = total + int(n), end
        return sets, ends


def made(schema: pa.Schema) -> str:
    """How the bands of rows of `schema` were made; nothing where they do not say it."""
    kind: bytes = (schema.field(c.BANDS.name).metadata or {}).get(KIND, b"")
    return kind.decode()
