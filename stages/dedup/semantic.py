"""Semantic duplicates over a whole dataset: texts whose embeddings are almost the same, whatever their words.

SemDeDup (Abbas et al. 2023, arXiv 2303.09540): k-means cuts the dataset into clusters, and rows are compared with those
of their own cluster alone: rows^2 / clusters products instead of rows^2.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
import xxhash

from schemas import columns as c
from schemas.pair import VERDICT
from stages.dedup import keep as keeping
from stages.dedup.vectors import Floats, cosine, is_vector, leaders, matrix, nearest, unit
from stages.model_file import checksum, locate
from stages.stage import Resources, Rows, StageError, Transform, set_columns

CENTROID, SIMILARITY = c.CENTROID.name, c.CENTROID_SIMILARITY.name
NO_EMBEDDING = 1 << 63  # set in `centroid` of a row without an embedding: a number that no centroid has


@dataclass(frozen=True)
class AssignCentroid:
    """Add `centroid`, the number of the centroid that the row's embedding is most similar to, and that similarity.

    `centroids`: the file that `python -m pipelines.centroids` writes (a NumPy array, one centroid a row), as a path, or
    an http(s) URL with `centroids_sha256`. `column`: where the embeddings are, lists of numbers of any kind and length.

    A row without an embedding (null) has no similarity, and a hash of its id for a number: it is nobody's duplicate. An
    embedding of another size than the centroids, of zeros or of what is no number makes a dead row.
    """

    centroids: str = ""
    centroids_sha256: str | None = None
    column: str = "embedding"
    centroids_checksum: str | None = field(init=False)

    adds: ClassVar[pa.Schema] = pa.schema([c.CENTROID, c.CENTROID_SIMILARITY, c.ERROR])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        found = checksum(self.centroids, self.centroids_sha256, "AssignCentroid") if self.centroids else None
        object.__setattr__(self, "centroids_checksum", found)

    @property
    def reads(self) -> pa.Schema:
        return pa.schema([c.ID, pa.field(self.column, keeping.ANY)])

    def open(self) -> Transform:
        if self.centroids_checksum is None:
            raise StageError(
                "AssignCentroid has no centroids: fit them with `python -m pipelines.centroids --input DATA --output "
                "centroids.npy`, then set AssignCentroid.centroids=centroids.npy"
            )
        centroids = read_centroids(locate(self.centroids, self.centroids_checksum, "AssignCentroid"))
        return lambda table: self._assign(table, centroids)

    def _assign(self, table: pa.Table, centroids: Floats) -> pa.Table:
        column = table.column(self.column)
        if not is_vector(column.type):
            raise StageError(f"AssignCentroid.column {self.column!r} is {column.type}, expected a list of numbers")
        size = centroids.shape[1]
        vectors, fits = matrix(column, size)
        vectors, good = unit(vectors)
        number = np.zeros(len(vectors), np.uint64)
        number[good] = nearest(vectors[good], centroids)
        absent = column.is_null().to_numpy(zero_copy_only=False)
        ids = table.column(c.ID.name).to_pylist()
        number[~good] = [NO_EMBEDDING | xxhash.xxh3_64_intdigest(ids[row].encode()) for row in np.flatnonzero(~good)]
        similarity = np.zeros(len(vectors), np.float32)
        similarity[good] = np.clip(cosine(vectors[good], centroids[number[good]]), -1, 1)
        error = np.full(len(vectors), None, object)
        error[~fits & ~absent] = f"ValueError: {self.column!r} has not {size} numbers, as the centroids have"
        error[fits & ~good] = f"ValueError: {self.column!r} has no direction: all zero, or not finite"
        return set_columns(
            table,
            centroid=pa.array(number),
            centroid_similarity=pa.array(similarity, mask=~good),
            error=pa.array(error, c.TEXT),
        )


@dataclass(frozen=True)
class SemanticDuplicates:
    """The shuffle under semantic dedup. Of rows with one `centroid`, those too similar to one that stays go.

    Rows are taken in the order of `keep` (stages/dedup/keep.py), and a row goes if the cosine similarity of its
    embedding to that of one that stays is above 1 - `epsilon`: `duplicate_of` is the first such, `similarity` theirs,
    `cluster_id` the smallest id of all that go for one row. SemDeDup keeps the row that is least like its centroid;
    `highest centroid_similarity` keeps the most typical one.

    The authors' own program also takes rows away that are like one that goes itself, so that chains vanish as in
    FineWeb's MinHash; here every row that goes has one that stays within `epsilon`.
    """

    epsilon: float = 0.05
    keep: str = "lowest centroid_similarity"
    column: str = "embedding"

    key: ClassVar[str] = CENTROID
    adds: ClassVar[pa.Schema] = pa.schema([*VERDICT, c.SIMILARITY])
    alone: ClassVar[dict[str, Any]] = {c.CLUSTER_SIZE.name: 1}

    def __post_init__(self) -> None:
        if not 0 < self.epsilon <= 1:
            raise ValueError(f"SemanticDuplicates.epsilon should be above 0 and at most 1, got {self.epsilon}")
        keeping.criteria(self.keep)

    @property
    def reads(self) -> pa.Schema:
        fields = (*keeping.reads(self.keep), c.CENTROID, c.CENTROID_SIMILARITY, pa.field(self.column, keeping.ANY))
        return pa.schema(list({field.name: field for field in fields}.values()))

    def faults(self, schema: pa.Schema) -> list[str]:
        """What is wrong with the columns that `keep` and `column` name."""
        type_ = schema.field(self.column).type
        wrong = [] if is_vector(type_) else [f"column {self.column!r} is {type_}, expected a list of numbers"]
        return wrong + keeping.faults(self.keep, schema)

    def reduce(self, table: pa.Table) -> pa.Table:
        """(what it reads, shard, row) of whole clusters of k-means, in order -> the verdict on rows that have likes."""
        if table.column(SIMILARITY).null_count:  # a filter copies all embeddings
            table = table.filter(table.column(SIMILARITY).is_valid())
        if not table.num_rows:
            return pa.schema([("shard", pa.int32()), ("row", pa.int64()), *self.adds]).empty_table()
        embeddings = table.column(self.column)
        vectors, _ = matrix(embeddings, len(embeddings[0]))
        small = table.drop_columns([self.column])
        rows = pl.DataFrame(small.append_column("place", pa.array(np.arange(table.num_rows))))
        rows = keeping.ranked(rows, self.keep).sort(CENTROID, maintain_order=True)
        place, number = rows["place"].to_numpy(), rows[CENTROID].to_numpy()
        leader, similarity = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
        borders = [0, *(np.flatnonzero(number[1:] != number[:-1]) + 1).tolist(), len(rows)]
        for begin, end in pairwise(borders):
            mine, _ = unit(vectors[place[begin:end]])
            found = leaders(mine, 1 - self.epsilon)
            leader[begin:end], similarity[begin:end] = begin + found, np.clip(cosine(mine, mine[found]), -1, 1)
        rows = rows.with_columns(pl.Series("leader", leader), pl.Series("score", similarity)).with_row_index("at")
        rows = rows.with_columns(
            stays=pl.col("leader") == pl.col("at"),
            kept=pl.col(c.ID.name).gather(pl.col("leader")),
            cluster_id=pl.col(c.ID.name).min().over("leader"),
            cluster_size=pl.len().over("leader").cast(pl.Int64),
        ).filter(pl.col("cluster_size") > 1)
        gone = pl.when(~pl.col("stays"))
        return rows.select(
            "shard",
            "row",
            gone.then("kept").alias(c.DUPLICATE_OF.name),
            c.CLUSTER_ID.name,
            c.CLUSTER_SIZE.name,
            gone.then("score").alias(c.SIMILARITY.name),
        ).to_arrow()


def read_centroids(path: Path) -> Floats:
    """The centroids (k, d) in a file, scaled to length 1. `StageError` if it holds something else."""
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise StageError(f"{path} is no NumPy file of centroids: {error}") from error
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind != "f" or not found.size:
        what = f"{found.dtype} of shape {found.shape}" if isinstance(found, np.ndarray) else "several arrays"
        raise StageError(f"{path} holds {what}, expected centroids: one a row, as floats")
    centroids, good = unit(found.astype(np.float32))
    if not good.all():
        raise StageError(f"{path}: {int((~good).sum())} of {len(good)} centroids are zero or not finite")
    return centroids
