"""What a step that drops duplicates did: sizes of clusters, sites, scores, and some pairs side by side.

Small columns are read within the budgets of sample.py, texts of a few pairs: one row group for each.
"""

import json
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from cluster.storage import Folder
from pipelines.report.account import Account, StepLine
from pipelines.report.difference import Part, difference
from pipelines.report.figures import HOST
from pipelines.report.sample import MAX_FILES, MAX_ROWS, list_files, texts_of, within
from schemas import columns
from schemas.check import conform

STAGES = {"DropDuplicates", "DropSeen"}
COLUMNS = ("id", "url", "duplicate_of", "cluster_id", "cluster_size", "jaccard_score", "similarity")
SIZES = (("2", 2), ("3", 3), ("4", 4), ("5", 5), ("6-10", 6), ("11-100", 11), ("101-1,000", 101), ("over 1,000", 1001))
TOP = 12
COPIES = 5  # of a cluster
PAIRS = 6
BIN = 0.05  # of the scores


@dataclass(frozen=True)
class Cluster:
    """Rows that hang together: how many, and of those that were read, how many were removed and some addresses."""

    name: str  # address of a row that stayed, else its id
    size: int
    removed: int
    copies: tuple[str, ...]


@dataclass(frozen=True)
class Sizes:
    """Clusters of about one size, and the rows that went out of them."""

    label: str
    clusters: int
    removed: int


@dataclass(frozen=True)
class Site:
    """A host, by the rows of it that were removed: `own` of them are copies of a page of the same host."""

    host: str
    removed: int
    own: int
    kept: int


@dataclass(frozen=True)
class Pair:
    """A row that was removed beside the one that stays; no parts where their texts are not there."""

    kept: str
    removed: str
    score: float | None
    left: tuple[Part, ...]
    right: tuple[Part, ...]


@dataclass(frozen=True)
class Duplicates:
    """What was read of one step. `rows` of `of_rows`, all rows of its files of kept and of duplicates."""

    step: str
    dropped: int  # exact, by the manifests
    rows: int
    of_rows: int
    sizes: tuple[Sizes, ...]
    clusters: tuple[Cluster, ...]
    sites: tuple[Site, ...]
    measure: str  # what the scores are: Jaccard, or cosine
    scores: tuple[tuple[float, int], ...]  # lower end of the bin, rows
    unscored: int
    pairs: tuple[Pair, ...]
    max_cluster: int | None
    verify: float | None
    largest_component: int | None = None  # rows that hung together before any guard


def read_duplicates(folder: Folder, account: Account) -> tuple[Duplicates, ...]:
    """One for each step of the run that drops duplicates."""
    return tuple(_step(folder, step) for step in account.steps if STAGES & {*step.about["stages"]})


def _step(folder: Folder, step: StepLine) -> Duplicates:
    kept, removed = _rows(folder, step, "data"), _rows(folder, step, "removed")
    removed = removed.filter(pl.col("duplicate_of").is_not_null())
    kept, removed = (_named(rows) for rows in (kept, removed))
    clusters = _clusters(kept, removed)
    scored = removed["score"].drop_nulls()
    settings = ((step.about.get("identity", {}).get("shuffle") or {}).get("settings")) or {}
    return Duplicates(
        step=step.name,
        dropped=sum(rows for reason, rows in step.counts.dropped.items() if reason.partition(".")[0] in STAGES),
        rows=kept.height + removed.height,
        of_rows=sum(rows for part in ("data", "removed") for _, rows in list_files(step, part)),
        sizes=_sizes(clusters),
        clusters=_largest(clusters, kept, removed),
        sites=_sites(kept, removed),
        measure="cosine" if removed["similarity"].count() else "Jaccard",
        scores=_scores(scored),
        unscored=removed.height - len(scored),
        pairs=_pairs(folder, kept, removed),
        max_cluster=settings.get("max_cluster"),
        verify=settings.get("verify"),
        largest_component=_largest_component(folder.below(step.name)),
    )


def _largest_component(step: Folder) -> int | None:
    """As the barrier counted it; None where it counts none."""
    try:
        found: int | None = json.loads(step.get("shuffle/plan.json")).get("largest_component")
    except FileNotFoundError:
        return None
    return found


def _rows(folder: Folder, step: StepLine, part: str) -> pl.DataFrame:
    """`COLUMNS` and the file of rows, within the budget; what a file does not have, or has of another type, is null."""
    schema = pa.schema([columns.ALL[name] for name in COLUMNS])
    frames = [_frame(schema.empty_table(), "")]
    for path in within(list_files(step, part), MAX_ROWS, MAX_FILES):
        with folder.open(path) as file:
            parquet = pq.ParquetFile(file)
            there = [field.name for field in parquet.schema_arrow if schema.get_field_index(field.name) >= 0]
            there = [name for name in there if parquet.schema_arrow.field(name).type == schema.field(name).type]
            frames.append(_frame(conform(parquet.read(columns=there), schema), path))
    return pl.concat(frames)


def _frame(table: pa.Table, path: str) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame.with_columns(path=pl.lit(path), host=pl.col("url").str.extract(HOST, 1).str.to_lowercase())


def _named(rows: pl.DataFrame) -> pl.DataFrame:
    """A `cluster` for every row, also of steps that do not write `cluster_id`; a `score`, whatever measures it."""
    score = pl.coalesce("jaccard_score", "similarity").fill_nan(None)
    return rows.with_columns(cluster=pl.coalesce("cluster_id", "duplicate_of", "id"), score=score)


def _clusters(kept: pl.DataFrame, removed: pl.DataFrame) -> pl.DataFrame:
    """cluster, size (as the run says it, else the rows that were read), removed; of two rows and more."""
    rows = pl.concat([kept.with_columns(gone=0), removed.with_columns(gone=1)])
    grouped = rows.group_by("cluster").agg(
        size=pl.max_horizontal(pl.col("cluster_size").max().fill_null(0), pl.len().cast(pl.Int64)),
        removed=pl.col("gone").sum(),
    )
    return grouped.filter(pl.col("size") > 1).sort(["size", "removed", "cluster"], descending=[True, True, False])


def _sizes(clusters: pl.DataFrame) -> tuple[Sizes, ...]:
    found = []
    for (label, low), (_, above) in zip(SIZES, [*SIZES[1:], ("", 1 << 62)], strict=True):
        some = clusters.filter((pl.col("size") >= low) & (pl.col("size") < above))
        found.append(Sizes(label, some.height, int(some["removed"].sum())))
    while found and not found[-1].clusters:
        found.pop()
    return tuple(found)


def _largest(clusters: pl.DataFrame, kept: pl.DataFrame, removed: pl.DataFrame) -> tuple[Cluster, ...]:
    found = []
    for cluster, size, gone in clusters.head(TOP).select("cluster", "size", "removed").rows():
        stayed, copies = (rows.filter(pl.col("cluster") == cluster).sort("id") for rows in (kept, removed))
        names = stayed.select(pl.coalesce("url", "id")).to_series().to_list() or [cluster]
        others = copies.select(pl.coalesce("url", "id")).to_series().head(COPIES).to_list()
        found.append(Cluster(names[0], size, gone, tuple(others)))
    return tuple(found)


def _sites(kept: pl.DataFrame, removed: pl.DataFrame) -> tuple[Site, ...]:
    stays = kept.select(duplicate_of="id", home="host").unique("duplicate_of")
    counted = (
        removed.filter(pl.col("host").is_not_null())
        .join(stays, on="duplicate_of", how="left")
        .group_by("host")
        .agg(removed=pl.len(), own=(pl.col("home") == pl.col("host")).sum())
        .join(kept.group_by("host").agg(kept=pl.len()), on="host", how="left")
        .with_columns(pl.col("kept").fill_null(0))
        .sort(["removed", "host"], descending=[True, False])
    )
    return tuple(Site(*row) for row in counted.head(TOP).select("host", "removed", "own", "kept").rows())


def _scores(scored: pl.Series) -> tuple[tuple[float, int], ...]:
    """Rows by score in bins of `BIN`, from the lowest that has any; the last one holds 1 too."""
    if not len(scored):
        return ()
    last = round(1 / BIN) - 1
    bins = [min(int(score / BIN + 1e-6), last) for score in scored]  # scores are float32
    return tuple((number * BIN, bins.count(number)) for number in range(min(bins), last + 1))


def _pairs(folder: Folder, kept: pl.DataFrame, removed: pl.DataFrame) -> tuple[Pair, ...]:
    """Pairs from the least alike to the most, of as many clusters, of rows whose two files were both read."""
    stays = kept.select(duplicate_of="id", its_url="url", its_path="path").unique("duplicate_of", keep="first")
    both = removed.join(stays, on="duplicate_of").sort(["score", "id"], nulls_last=True)
    both = both.unique("cluster", keep="first", maintain_order=True)
    count = min(PAIRS, both.height)
    chosen = both[[place * (both.height - 1) // max(count - 1, 1) for place in range(count)]].to_dicts()
    texts: dict[tuple[str, str], str] = {}
    for path in sorted({row[name] for row in chosen for name in ("path", "its_path")}):
        wanted = {row["id"] for row in chosen if row["path"] == path}
        wanted |= {row["duplicate_of"] for row in chosen if row["its_path"] == path}
        texts |= {(path, id_): text for id_, text in texts_of(folder, path, wanted).items()}
    found = []
    for row in chosen:
        ours, theirs = texts.get((row["its_path"], row["duplicate_of"])), texts.get((row["path"], row["id"]))
        left, right = difference(ours, theirs) if ours is not None and theirs is not None else ((), ())
        found.append(Pair(row["its_url"] or row["duplicate_of"], row["url"] or row["id"], row["score"], left, right))
    return tuple(found)
