"""Lines and paragraphs that stand in more than one place of a dataset, as CCNet finds them (arXiv 1911.00359, 3.2)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import xxhash

from schemas import columns as c
from stages.dedup import keep as keeping
from stages.dedup.sites import host_in, site_of
from stages.stage import at_least
from stages.text.buffers import text_buffers

KEY = "line_hash"
SCOPES: dict[str, pa.Field | None] = {"dataset": None, "dump": c.DUMP, "site": c.URL, "host": c.URL}
PLACE_BITS = 32  # a unit's place is the rank of its document and, below it, the line
NEWLINE = 10

Unit = Literal["line", "paragraph"]
Scope = Literal["dataset", "dump", "site", "host"]


@dataclass(frozen=True)
class RepeatedLines:
    """The shuffle under dedup of lines. `repeated_lines` are the lines of a row to cut; `CutLines` cuts them.

    A `unit` is a line, or a paragraph: lines with no blank one between them. Two are the same if they are in lower
    case, with every digit as 0, without punctuation and accents (stages/kernels/line_hash.py; 64 bits). Those of fewer
    than `min_chars` characters in that form are not judged; CCNet judges all, as 1 does.

    `scope`: where a unit must come again: anywhere, in the same crawl (`dump`), or on the same `site` (registered
    domain) or `host`. A row without URL is a site by itself; rows without dump are one dump.

    One occurrence stays, the first line of the first row: rows in the order of `keep` (stages/dedup/keep.py), by
    default by id. With `in_documents` n none stays of a unit that comes in n rows or more, and the rest is left alone:
    what many pages of a site have in common is not what they say. CCNet as it was run does that, with n = 2, and cuts
    what one row says twice as well.
    """

    unit: Unit = "line"
    scope: Scope = "dataset"
    min_chars: int = 10
    keep: str = "first"
    in_documents: int | None = None

    key: ClassVar[str] = KEY
    adds: ClassVar[pa.Schema] = pa.schema([c.REPEATED_LINES])
    alone: ClassVar[dict[str, Any]] = {}

    def __post_init__(self) -> None:
        keeping.criteria(self.keep)
        at_least(self, min_chars=1)
        if self.in_documents is not None and self.in_documents < 2:
            raise ValueError(f"RepeatedLines.in_documents should be at least 2, or null, got {self.in_documents}")

    @property
    def fan_out(self) -> int:
        """About how many units a page has."""
        return 40 if self.unit == "line" else 15

    @property
    def reads(self) -> pa.Schema:
        scope = SCOPES[self.scope]
        fields = [*keeping.reads(self.keep), c.BODY, *([] if scope is None else [scope])]
        return pa.schema(list({field.name: field for field in fields}.values()))

    def faults(self, schema: pa.Schema, known: pa.Schema | None = None) -> list[str]:
        """What is wrong with the columns that `keep` names."""
        return keeping.faults(self.keep, schema)

    def spread(self, table: pa.Table) -> pa.Table:
        """One row a unit: row, line_hash, line (its first), lines (how many), and what `keep` needs."""
        from stages.kernels.line_hash import hash_lines  # noqa: PLC0415 - numba takes 0.4 s to import
        from stages.kernels.line_hash import table as fold  # noqa: PLC0415

        text = _one_array(table.column(c.BODY.name)).cast(pa.large_string())
        data, offsets = text_buffers(text)
        room = int(np.count_nonzero(data[offsets[0] : offsets[-1]] == NEWLINE)) + len(text)
        units = tuple(np.empty(room, kind) for kind in (np.int64, np.int32, np.int32, np.uint64))
        valid = np.asarray(text.is_valid())
        seeds = self._seeds(table)
        n = hash_lines(data, offsets, valid, seeds, fold(), self.unit == "paragraph", self.min_chars, units)
        place, line, lines, hashes = (values[:n] for values in units)
        names = [] if self.in_documents else keeping.reads(self.keep).names
        spread = table.select(["row", *names]).take(pa.array(place))
        for name, values in ((KEY, hashes), ("line", line), ("lines", lines)):
            spread = spread.append_column(name, pa.array(values))
        return spread

    def reduce(self, table: pa.Table) -> pa.Table:
        """Units of one partition, in order of shard and row -> (shard, row, repeated_lines) of rows with some."""
        rows = pl.from_arrow(table)
        assert isinstance(rows, pl.DataFrame)
        rows = rows.filter(pl.col(KEY).is_duplicated())
        begins = (pl.col("shard") != pl.col("shard").shift()) | (pl.col("row") != pl.col("row").shift())
        rows = rows.with_columns(begins=begins.fill_null(True))
        rows = rows.with_columns(document=pl.col("begins").cum_sum().cast(pl.Int64) - 1)
        if self.in_documents:
            repeated = pl.col("document").n_unique().over(KEY) >= self.in_documents
        else:
            rows = rows.with_columns(place=self._places(rows))
            repeated = pl.col("place") != pl.col("place").min().over(KEY)
        rows = rows.filter(repeated).select("document", "shard", "row", "line", "lines")
        if rows["lines"].max() not in (None, 1):
            rows = rows.with_columns(line=pl.int_ranges("line", pl.col("line") + pl.col("lines"))).explode("line")
        grouped = rows.group_by("document", maintain_order=True).agg(
            pl.col("shard", "row").first(), pl.col("line").alias(c.REPEATED_LINES.name)
        )
        return grouped.drop("document").to_arrow()

    def gather(self, verdicts: pa.Table) -> pa.Table:
        """(row, repeated_lines) of one shard, sorted by row, some rows from several partitions -> each row once."""
        rows = pl.from_arrow(verdicts)
        assert isinstance(rows, pl.DataFrame)
        lines = pl.col(c.REPEATED_LINES.name).explode().sort()
        return rows.group_by("row", maintain_order=True).agg(lines).to_arrow()

    def _places(self, rows: pl.DataFrame) -> pl.Series:
        """Where each unit stands, the first to stay first: the rank of its row and its line, in one number."""
        documents = rows.filter("begins")
        order = keeping.ranked(documents, self.keep)["document"].to_numpy()
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        return pl.Series((rank[rows["document"].to_numpy()] << PLACE_BITS) + rows["line"].to_numpy())

    def _seeds(self, table: pa.Table) -> npt.NDArray[np.uint64]:
        """A number a row; those of one scope have the same."""
        field = SCOPES[self.scope]
        if field is None:
            return np.zeros(table.num_rows, np.uint64)
        names = table.column(field.name).to_pylist()
        if self.scope != "dump":
            place: Callable[[str], str] = site_of if self.scope == "site" else host_in
            ids = table.column(c.ID.name).to_pylist()
            names = [place(name) if name else f"\0{id_}" for name, id_ in zip(names, ids, strict=True)]
        return np.fromiter(map(_number, names), np.uint64, len(names))


@lru_cache(maxsize=1 << 16)
def _number(name: str | None) -> int:
    return xxhash.xxh3_64_intdigest((name or "").encode())


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    """The column in one piece, without a copy where it is in one."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
