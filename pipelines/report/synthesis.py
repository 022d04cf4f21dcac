"""What was made from documents: rows of each, how true they are to them, how varied, what they cost; some beside them.

Small columns are read within the budgets of sample.py; texts, for diversity and examples, of a few files. The graph of
entities is counted over all rows (entity_graph.py).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cluster.storage import Folder
from pipelines.report.account import Account, StepLine
from pipelines.report.entity_graph import EntityGraph, write_graph
from pipelines.report.figures import Bin
from pipelines.report.refinement import ModelStage, Refinement, inputs_of
from pipelines.report.sample import BATCH, CUT, MAX_FILES, MAX_ROWS, TEXT_FILES, TEXT_ROWS, list_files, within
from schemas import columns as c
from stages.synthesize.diversity import NGrams, Spread, ngrams, spread

SHARES = (c.ENTITY_COVERAGE, c.NOVEL_ENTITY_RATE, c.NOVEL_NUMBER_RATE, c.RARE_WORD_RATE, c.CONFIDENCE)  # 0 to 1
SIZES = (c.PERPLEXITY, c.NLL, c.VOCABULARY_SIZE)
DROPS_DUPLICATES = ("DropDuplicates", "DropSeen")
EDGES = (1, 2, 3, 4, 6, 11, 21, 51, 101, 501, 1_001, 5_001, 10_001)  # rows of a document
BINS = 10
KINDS = 12
EXAMPLES = 6
TEXT_CHARS = 20_000  # code points of a text whose n-grams are counted


@dataclass(frozen=True)
class Rate:
    """A measure of the rows that have it: kept and removed by its value, and quantiles of those kept."""

    name: str
    meaning: str
    rows: int
    mean: float
    low: float  # a twentieth of the rows is below
    median: float
    high: float  # a twentieth is above
    bins: list[Bin]  # by tenths, of a measure from 0 to 1


@dataclass(frozen=True)
class Budget:
    """What there was to spend, and what was: in `unit`."""

    budget: float | None
    unit: str
    spent: float


@dataclass(frozen=True)
class Example:
    """A synthetic row beside the document it was made from; None for a text that is not there."""

    name: str
    tags: tuple[str, ...]
    parent: str | None
    parent_cut: bool
    text: str
    cut: bool


@dataclass(frozen=True)
class Synthesis:
    """What one step made. `rows` of `of_rows`, all that it kept and removed, were read."""

    step: str
    rows: int
    of_rows: int
    documents: int
    passed: int  # rows that are documents themselves
    fan_out: tuple[tuple[str, int], ...]  # rows of a document, documents
    median: float
    most: int
    kinds: tuple[tuple[str, int], ...]
    reasons: tuple[tuple[str, str, int], ...]  # stage, reason, rows: exact
    dead: int
    rates: tuple[Rate, ...]
    texts: int
    text_documents: int
    ngrams: tuple[NGrams, ...]
    spread: Spread | None
    duplicates: tuple[tuple[str, int, int], ...]  # later step, rows in, duplicates dropped: exact
    budget: Budget | None
    stages: tuple[ModelStage, ...]  # that asked models for it, in this step and before
    graph: EntityGraph | None
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class _Text:
    path: str
    row: dict[str, Any]


def read_synthesis(folder: Folder, account: Account, asked: tuple[Refinement, ...] = ()) -> tuple[Synthesis, ...]:
    """One for each step that made rows from documents; `asked` is what its models were asked."""
    found: list[Synthesis] = []
    steps = {step.name: step for step in account.steps}
    for step in account.steps:
        before, upstream = [step.name], step.about.get("upstream")
        while upstream in steps:
            before.append(upstream)
            upstream = steps[upstream].about.get("upstream")
        if not {synthesis.step for synthesis in found} & set(before) and (made := _step(folder, step)) is not None:
            stages = tuple(s for r in asked if r.step in before for s in r.stages)
            found.append(_whole(folder, account, step, made, stages))
    return tuple(found)


def _step(folder: Folder, step: StepLine) -> tuple[pl.DataFrame, pl.DataFrame, int] | None:
    """The rows that the step kept and removed, and those that are documents; None if it kept no row with parents."""
    kept, removed = (_rows(folder, step, part) for part in ("data", "removed"))
    made = kept.filter(pl.col("document").is_not_null())
    return (made, removed.filter(pl.col("document").is_not_null()), kept.height - made.height) if made.height else None


def _whole(
    folder: Folder, account: Account, step: StepLine, made: tuple[pl.DataFrame, pl.DataFrame, int],
    stages: tuple[ModelStage, ...],
) -> Synthesis:  # fmt: skip
    kept, removed, passed = made
    sizes = kept.group_by("document").len()["len"]
    texts = list(_texts(folder, step))
    parents = [text.row["parents"][0] for text in texts]
    vectors = [(t.row["embedding"], p) for t, p in zip(texts, parents, strict=True) if t.row.get("embedding")]
    graph = write_graph(folder, account, step)
    return Synthesis(
        step=step.name,
        rows=kept.height + removed.height + passed,
        of_rows=sum(n for part in ("data", "removed") for _, n in list_files(step, part)),
        documents=len(sizes),
        passed=passed,
        fan_out=_fan_out(sizes),
        median=float(np.median(sizes.to_numpy())),
        most=int(sizes.to_numpy().max()),
        kinds=_kinds(kept),
        reasons=tuple((line.name, reason, rows) for line in step.stages for reason, rows in line.reasons),
        dead=step.counts.dead,
        rates=tuple(rate for field in (*SHARES, *SIZES) if (rate := _rate(field, kept, removed)) is not None),
        texts=len(texts),
        text_documents=len(set(parents)),
        ngrams=ngrams([text.row["text"] for text in texts], parents),
        spread=_spread(vectors),
        duplicates=_duplicates(account, step),
        budget=_budget(step, stages),
        stages=stages,
        graph=graph,
        examples=_examples(step, texts),
    )


def _rows(folder: Folder, step: StepLine, part: str) -> pl.DataFrame:
    """Document, kind and measures of rows within the budget; nothing of files whose rows cannot have parents."""
    empty = {"document": pl.String, "kind": pl.String, **{f.name: pl.Float64 for f in (*SHARES, *SIZES)}}
    frames = [pl.DataFrame(schema=empty)]
    for path in within(list_files(step, part), MAX_ROWS, MAX_FILES):
        with folder.open(path) as file:
            parquet = pq.ParquetFile(file)
            there = _there(parquet, (c.PARENTS, c.ENTITIES, c.VARIANT, *SHARES, *SIZES))
            if c.PARENTS.name in there:
                frames.append(_frame(parquet.read(columns=there)).select(pl.col(n).cast(t) for n, t in empty.items()))
    return pl.concat(frames)


def _there(parquet: pq.ParquetFile, fields: tuple[pa.Field, ...]) -> list[str]:
    """The names of `fields` that the file has, and not as another column of that name."""
    types = {field.name: field.type for field in parquet.schema_arrow}
    return [f.name for f in fields if f.name in types and _kind(types[f.name]) == _kind(f.type)]


def _kind(type_: pa.DataType) -> str:
    """What counts of a type: lists of text are so whatever their elements are called."""
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return f"list of {_kind(type_.value_type)}"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return "text"
    return "number" if pa.types.is_floating(type_) or pa.types.is_integer(type_) else str(type_)


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    names = pl.col(c.ENTITIES.name).list.len() if c.ENTITIES.name in frame.columns else pl.lit(None, pl.UInt32)
    variant = pl.col(c.VARIANT.name) if c.VARIANT.name in frame.columns else pl.lit(None, pl.String)
    of_names = pl.when(names > 0).then(pl.format("{} entities", names)).when(names == 0).then(pl.lit("summary"))
    missing = [f.name for f in (*SHARES, *SIZES) if f.name not in frame.columns]
    return frame.with_columns(
        document=pl.col(c.PARENTS.name).list.first(),
        kind=pl.coalesce(variant, of_names.otherwise(None)),
        **{name: pl.lit(None, pl.Float64) for name in missing},
    )


def _fan_out(sizes: pl.Series) -> tuple[tuple[str, int], ...]:
    """Documents by the number of their rows, from the least to the most that any has."""
    values = sizes.to_numpy()
    found = []
    for low, above in zip(EDGES, [*EDGES[1:], 1 << 62], strict=True):
        label = (
            f"{low:,}" if above == low + 1 else f"over {low - 1:,}" if above == 1 << 62 else f"{low:,}-{above - 1:,}"
        )
        found.append((label, int(((values >= low) & (values < above)).sum())))
    while found and not found[-1][1]:
        found.pop()
    while found and not found[0][1]:
        found.pop(0)
    return tuple(found)


def _kinds(kept: pl.DataFrame) -> tuple[tuple[str, int], ...]:
    counted = kept["kind"].drop_nulls().value_counts().sort(["count", "kind"], descending=[True, False]).rows()
    rest = sum(n for _, n in counted[KINDS:])
    return (*counted[:KINDS], *([(f"{len(counted) - KINDS} others", rest)] if rest else []))


def _rate(field: pa.Field, kept: pl.DataFrame, removed: pl.DataFrame) -> Rate | None:
    ours, theirs = (rows[field.name].drop_nulls().drop_nans().to_numpy() for rows in (kept, removed))
    if not len(ours):
        return None
    low, median, high = (float(value) for value in np.quantile(ours, (0.05, 0.5, 0.95)))
    bins: list[Bin] = []
    if field in SHARES:
        places = [np.minimum((values * BINS + 1e-6).astype(int), BINS - 1) for values in (ours, theirs)]  # float32
        up, down = (np.bincount(place, minlength=BINS) for place in places)
        bins = [Bin(i, int(up[i]), int(down[i]), False) for i in range(BINS)]
    meaning = (field.metadata or {}).get(b"meaning", b"").decode()
    return Rate(field.name, meaning, len(ours), float(ours.mean()), low, median, high, bins)


def _spread(vectors: list[tuple[list[float], str]]) -> Spread | None:
    """Of vectors of one length; those of another were made by another model."""
    if not vectors:
        return None
    length = Counter(len(vector) for vector, _ in vectors).most_common(1)[0][0]
    same = [(vector, document) for vector, document in vectors if len(vector) == length]
    return spread(np.array([vector for vector, _ in same], np.float32), [document for _, document in same])


def _duplicates(account: Account, step: StepLine) -> tuple[tuple[str, int, int], ...]:
    """What this step and those behind it dropped as duplicates."""
    found, names = [], {step.name}
    for later in account.steps:
        if later.name in names or later.about.get("upstream") in names:
            names.add(later.name)
            if set(DROPS_DUPLICATES) & set(later.about["stages"]):
                gone = {k: n for k, n in later.counts.dropped.items() if k.partition(".")[0] in DROPS_DUPLICATES}
                found.append((later.name, later.counts.rows_in, sum(gone.values())))
    return tuple(found)


def _budget(step: StepLine, stages: tuple[ModelStage, ...]) -> Budget | None:
    """Of a step whose calls were shared out by a budget: what its stages spent of it, paid now or before."""
    shuffle = step.about.get("identity", {}).get("shuffle") or {}
    if not shuffle.get("stage", "").endswith(".ShareBudget"):
        return None
    settings = shuffle["settings"]
    mine = [stage for stage in stages if stage.name in step.about["stages"]]
    prices = settings["prompt_price"], settings["completion_price"]
    tokens = sum(s.prompt_tokens for s in mine), sum(s.completion_tokens for s in mine)
    spent = {
        "calls": float(sum(s.calls for s in mine)),
        "tokens": float(sum(tokens)),
        "dollars": sum(price * n for price, n in zip(prices, tokens, strict=True)) / 1e6,
    }
    return Budget(settings["budget"], settings["unit"], spent[settings["unit"]])


def _texts(folder: Folder, step: StepLine) -> Iterator[_Text]:
    """The first rows with parents of the largest files, with their texts."""
    largest = sorted(list_files(step, "data"), key=lambda file: (-file[1], file[0]))
    for path, _ in largest[:TEXT_FILES]:
        with folder.open(path) as file:
            parquet = pq.ParquetFile(file)
            there = _there(parquet, (c.ID, c.URL, c.PARENTS, c.ENTITIES, c.VARIANT, c.BODY, c.EMBEDDING, *SHARES))
            if not {c.ID.name, c.PARENTS.name, c.BODY.name} <= set(there):
                continue
            seen = 0
            for batch in parquet.iter_batches(BATCH, columns=there, use_threads=False):
                table = pa.Table.from_batches([batch])
                text = pc.fill_null(pc.utf8_slice_codeunits(table.column(c.BODY.name), 0, TEXT_CHARS), "")
                table = table.set_column(table.column_names.index(c.BODY.name), c.BODY.name, text)
                rows = table.slice(0, TEXT_ROWS - seen).to_pylist()
                yield from (_Text(path, row) for row in rows if row["parents"] and row["parents"][0] is not None)
                seen += batch.num_rows
                if seen >= TEXT_ROWS:
                    break


def _examples(step: StepLine, texts: list[_Text]) -> tuple[Example, ...]:
    """Some rows, spread over what was read, those that relate entities first, each of another document if possible."""
    related = [text for text in texts if text.row.get("entities") or text.row["text"].strip()]
    named = [text for text in related if text.row.get("entities")] or related
    by_document: dict[str, list[_Text]] = {}
    for text in named:
        by_document.setdefault(text.row["parents"][0], []).append(text)
    groups = list(by_document.values())
    count = min(EXAMPLES, len(named))
    chosen = []
    for place in range(count):  # the first row of each document, then the second and so on, where documents are few
        group = groups[place * len(groups) // count] if len(groups) >= count else groups[place % len(groups)]
        chosen.append(group[min(len(group) - 1, 0 if len(groups) >= count else place // len(groups))])
    manifests = {f"{step.name}/{f.path}": m for m in step.manifests.values() for f in m.files}
    parents: dict[str, str] = {}
    for path in sorted({text.path for text in chosen}):
        wanted = {text.row["parents"][0] for text in chosen if text.path == path}
        parents |= inputs_of(step, manifests[path], wanted)
    return tuple(_example(text.row, parents.get(text.row["parents"][0])) for text in chosen)


def _example(row: dict[str, Any], parent: str | None) -> Example:
    tags = [*(row.get("entities") or ()), *([row["variant"]] if row.get("variant") else [])]
    rates = [f"{f.name} {row[f.name]:.2f}" for f in SHARES if row.get(f.name) is not None]
    text, whole = row["text"], parent or ""
    name = row.get("url") or row["parents"][0]
    shown = None if parent is None else whole[:CUT]
    return Example(name, (*tags, *rates), shown, len(whole) > CUT, text[:CUT], len(text) > CUT)
