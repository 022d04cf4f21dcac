"""What the report reads of the rows: small columns of as many shards as a budget allows, texts of a few rows.

The cost of a report depends on these budgets, not on the size of the run. Only files that manifests name are opened.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cluster.storage import Folder
from pipelines.report.account import Account, StepLine
from schemas import columns
from schemas.check import conform

MAX_ROWS = 1_000_000  # rows of small columns, for each of kept, removed and dead
MAX_FILES = 200
TEXT_FILES = 4  # files of which texts are read, for each step: those with the most rows
TEXT_ROWS = 2_000  # rows looked at in each of them
BATCH = 256
CUT = 600  # code points of a text on the page
PER_REASON = 2
KEPT_TEXTS = 6

KEPT = ("id", "url", "lang", "n_chars", "n_words", "edits")
REMOVED = ("drop_stage", "drop_reason", "url", "lang", "n_chars", "n_words")
DEAD = ("stage", "error", "url", "id")
TEXTS = ("drop_stage", "drop_reason", "url", "lang", "n_words", "text")


@dataclass(frozen=True)
class Text:
    """A row to show: where it is from and the beginning of its text."""

    url: str
    lang: str
    n_words: int | None
    text: str | None  # none when the run left texts of removed rows out
    cut: bool  # there is more of it


@dataclass(frozen=True)
class Rows:
    """Small columns of rows, and how many of how many files they are from."""

    table: pl.DataFrame
    files: int
    of_files: int


@dataclass(frozen=True)
class Sample:
    """What was read of a run."""

    kept: Rows
    removed: Rows
    dead: Rows
    kept_texts: tuple[Text, ...]
    removed_texts: dict[str, tuple[Text, ...]]  # "<stage>.<reason>" -> rows


def read_sample(folder: Folder, account: Account) -> Sample:
    """Read what the figures need, within the budgets above."""
    kept_texts = [text for _, _, text in _texts(folder, account.steps[-1], "data", spread=KEPT_TEXTS)]
    by_reason: dict[str, list[Text]] = {}
    for step in account.steps:
        for stage, reason, text in _texts(folder, step, "removed"):
            shown = by_reason.setdefault(f"{stage}.{reason}", [])
            if len(shown) < PER_REASON:
                shown.append(text)
    return Sample(
        kept=_rows(folder, (account.steps[-1],), "data", KEPT),
        removed=_rows(folder, account.steps, "removed", REMOVED),
        dead=_rows(folder, account.steps, "dead", DEAD),
        kept_texts=tuple(kept_texts[:KEPT_TEXTS]),
        removed_texts={reason: tuple(texts) for reason, texts in sorted(by_reason.items())},
    )


def list_files(step: StepLine, part: str) -> list[tuple[str, int]]:
    """(path below the output, rows) of a step's files of `part` that have rows, by shard."""
    manifests = (manifest for _, manifest in sorted(step.manifests.items()))
    files = [(f"{step.name}/{f.path}", f.rows) for m in manifests for f in m.files if f.path.startswith(f"{part}/")]
    return [(path, rows) for path, rows in files if rows]


def within(files: list[tuple[str, int]], max_rows: int, max_files: int) -> list[str]:
    """As many files as the budget allows, evenly spread; at least one."""
    rows = sum(n for _, n in files)
    every = max(1, -(-rows // max_rows), -(-len(files) // max_files))
    return [path for path, _ in files[::every]]


def texts_of(folder: Folder, path: str, wanted: set[str]) -> dict[str, str]:
    """Texts of the rows `wanted` of a file: ids first, then the row groups that have one."""
    found: dict[str, str] = {}
    with folder.open(path) as file:
        parquet = pq.ParquetFile(file)
        if "text" not in parquet.schema_arrow.names:
            return {}
        for group in range(parquet.num_row_groups):
            ids = parquet.read_row_group(group, columns=["id"]).column("id")
            here = pc.indices_nonzero(pc.is_in(ids, pa.array(sorted(wanted), ids.type)))
            if len(here):
                rows = parquet.read_row_group(group, columns=["text"]).take(here).column("text").to_pylist()
                for id_, text in zip(ids.take(here).to_pylist(), rows, strict=True):
                    if text is not None:
                        found.setdefault(id_, text)
    return found


def _rows(folder: Folder, steps: tuple[StepLine, ...], part: str, names: tuple[str, ...]) -> Rows:
    files = [file for step in steps for file in list_files(step, part)]
    chosen = within(files, MAX_ROWS, MAX_FILES)
    schema = pa.schema([columns.ALL[name] for name in names])
    table = pl.concat([_frame(schema.empty_table()), *(_read(folder, path, schema) for path in chosen)])
    return Rows(table, len(chosen), len(files))


def _read(folder: Folder, path: str, schema: pa.Schema) -> pl.DataFrame:
    """The columns of `schema`; those that the file does not have, or has of another type, are null."""
    with folder.open(path) as file:
        parquet = pq.ParquetFile(file)
        types = {field.name: field.type for field in parquet.schema_arrow}
        there = [field.name for field in schema if types.get(field.name) == field.type]
        return _frame(conform(parquet.read(columns=there), schema))


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _texts(folder: Folder, step: StepLine, part: str, spread: int | None = None) -> Iterator[tuple[str, str, Text]]:
    """(stage, reason, text) of rows in a few of the step's files; `spread`: about so many."""
    largest = sorted(list_files(step, part), key=lambda file: (-file[1], file[0]))
    chosen = [path for path, _ in largest[:TEXT_FILES]]
    share = -(-spread // max(len(chosen), 1)) if spread else 0
    for path in chosen:
        with folder.open(path) as file:
            seen = 0
            for batch in _batches(pq.ParquetFile(file)):
                rows = range(0, batch.num_rows, -(-batch.num_rows // share)) if share else range(batch.num_rows)
                for row in rows:
                    values = {name: batch.column(name)[row].as_py() for name in batch.schema.names}
                    yield values.get("drop_stage") or "", values.get("drop_reason") or "", _text(values)
                seen += batch.num_rows
                if share or seen >= TEXT_ROWS:
                    break


def _batches(parquet: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """Small batches of the columns that a text is shown with; the text is cut before it becomes a Python string."""
    there = [name for name in TEXTS if name in parquet.schema_arrow.names]
    for batch in parquet.iter_batches(batch_size=BATCH, columns=there, use_threads=False):
        if "text" not in there:
            yield batch
            continue
        at = there.index("text")
        whole = batch.column(at)
        more = pc.greater(pc.utf8_length(whole), CUT)
        arrays = [*batch.columns, more]
        arrays[at] = pc.utf8_slice_codeunits(whole, 0, CUT)
        yield pa.RecordBatch.from_arrays(arrays, names=[*there, "more"])


def _text(values: dict[str, object]) -> Text:
    words, text, cut = values.get("n_words"), values.get("text"), bool(values.get("more"))
    if cut and isinstance(text, str):
        text = text[: text.rfind(" ", CUT * 3 // 4)] if " " in text[CUT * 3 // 4 :] else text  # not within a word
    return Text(
        url=str(values.get("url") or ""),
        lang=str(values.get("lang") or ""),
        n_words=words if isinstance(words, int) else None,
        text=text if isinstance(text, str) else None,
        cut=cut,
    )
