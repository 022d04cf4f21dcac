"""What models did: of each stage that asked one, decisions, calls, tokens and cost; programs; texts before and after.

`answers` without what the model wrote is read within the budgets of sample.py; of stages that let a model write
programs, what it wrote is read for `OUTPUT_ROWS` rows. A text before is read where the step read it: the file of the
row's shard, by its id; or the parent's, beside it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cluster.errors import ConfigError
from cluster.recipe import restore
from cluster.storage import Folder, open_input
from pipelines.report.account import Account, StepLine
from pipelines.report.difference import Part, difference
from pipelines.report.sample import BATCH, MAX_FILES, MAX_ROWS, TEXT_FILES, TEXT_ROWS, list_files, texts_of, within
from pipelines.usage import answers_in
from schemas import columns as c
from schemas.manifest import Manifest
from stages.stage import Piece, StageError, Unreadable

PARTS = ("data", "removed", "dead")
OWN = "stages.read_"  # sources that are read with to show what a step had read
OUTPUT_ROWS = 20_000  # of which programs are counted, for each step
INPUT_ROWS = 2 * TEXT_ROWS  # of a shard's input, among which texts before are looked for
EXAMPLES = 6  # of a step
TOP = 12
RULE = 120  # code points of a rule on the page
PROGRAMS = "stages.refine."  # modules of the stages whose models write programs
CALL = re.compile(r"\b(remove_lines|normalize|keep(?:_\w{1,9})?|untouch(?:_\w{1,9})?|drop(?:_\w{1,9})?)\(")
REASON = re.compile(r"^(?:guard_|low_confidence)")
KEY = ("stage", "model", "prompt_hash", "decision")
SUMS = ("errors", "calls", "from_ledger", "prompt_tokens", "completion_tokens", "seconds", "cost")


@dataclass(frozen=True)
class ModelStage:
    """A stage that asked a model, over the rows that were read. Pairs are of a name and rows, most first."""

    name: str
    rows: int
    models: tuple[tuple[str, int], ...]
    prompts: tuple[str, ...]
    decisions: tuple[tuple[str, int], ...]
    rejections: tuple[tuple[str, int], ...]  # by guards, by reason
    faults: int
    calls: int
    from_ledger: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    cost: float
    operations: tuple[tuple[str, int, int], ...]  # of programs: name, rows, calls
    programs: int  # rows whose programs were read


@dataclass(frozen=True)
class Example:
    """A text before and after; no parts where one of them cannot be read."""

    name: str
    rules: tuple[str, ...]
    left: tuple[Part, ...]
    right: tuple[Part, ...]


@dataclass(frozen=True)
class Refinement:
    """What models did in one step. `rows` of `of_rows`, all rows of its files, were read."""

    step: str
    rows: int
    of_rows: int
    stages: tuple[ModelStage, ...]
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class _Changed:
    """A row whose text a model changed."""

    path: str
    id: str
    url: str
    parents: tuple[str, ...]
    rules: tuple[str, ...]
    share: float  # of the characters that are gone


def read_refinement(folder: Folder, account: Account) -> tuple[Refinement, ...]:
    """One for each step in which a stage asked a model."""
    found = (_step(folder, step) for step in account.steps)
    return tuple(refinement for refinement in found if refinement.stages)


def _step(folder: Folder, step: StepLine) -> Refinement:
    files = [file for part in PARTS for file in list_files(step, part)]
    chosen = within(files, MAX_ROWS, MAX_FILES)
    names = set(step.about["stages"])
    counted = _summed([each for path in chosen for each in _entries(folder, path, names)])
    programs = _programs(folder, step, chosen)
    stages = tuple(
        _stage(name, counted.filter(pl.col("stage") == name), programs.get(name, (0, ())))
        for name in step.about["stages"]
        if name in counted["stage"]
    )
    rows = sum(n for path, n in files if path in set(chosen))
    examples = _examples(folder, step, {stage.name for stage in stages}) if stages else ()
    return Refinement(step.name, rows, sum(n for _, n in files), stages, examples)


def _entries(folder: Folder, path: str, names: set[str]) -> Iterator[pl.DataFrame]:
    """What `answers` of a file says of the stages `names`, added up by `KEY`; a stage's last word on a row counts."""
    for answers in answers_in(folder, path, (*KEY, *SUMS)):
        frame = pl.DataFrame({c.ANSWERS.name: pl.Series(answers)})
        each = frame.with_row_index("row").explode(c.ANSWERS.name).drop_nulls(c.ANSWERS.name).unnest(c.ANSWERS.name)
        each = each.filter(pl.col("stage").is_in(sorted(names)))
        each = each.unique(["row", "stage", "prompt_hash"], keep="last", maintain_order=True)
        yield each.group_by(KEY).agg(pl.col(SUMS).sum(), rows=pl.col("row").n_unique())


def _summed(frames: list[pl.DataFrame]) -> pl.DataFrame:
    if not frames:
        return pl.DataFrame(schema=dict.fromkeys([*KEY, *SUMS, "rows"], pl.String))
    return pl.concat(frames).group_by(KEY).agg(pl.col(*SUMS, "rows").sum())


def _stage(name: str, rows: pl.DataFrame, programs: tuple[int, tuple[tuple[str, int, int], ...]]) -> ModelStage:
    decisions: Counter[str] = Counter()
    rejections: Counter[str] = Counter()
    for decision, n in rows.select("decision", "rows").rows():
        kind, _, reasons = decision.partition(": ")
        decisions[kind] += n
        rejections.update({reason: n for reason in reasons.split(", ") if REASON.match(reason)})
    models = rows.group_by("model").agg(pl.col("rows").sum()).sort("rows", "model", descending=[True, False]).rows()
    total = rows.select(pl.col(*SUMS, "rows").sum()).row(0, named=True)
    return ModelStage(
        name=name,
        rows=total["rows"],
        models=tuple(models[:TOP]),
        prompts=tuple(sorted(rows["prompt_hash"].unique())[:TOP]),
        decisions=_most(decisions),
        rejections=_most(rejections),
        faults=total["errors"],
        calls=total["calls"],
        from_ledger=total["from_ledger"],
        prompt_tokens=total["prompt_tokens"],
        completion_tokens=total["completion_tokens"],
        seconds=total["seconds"],
        cost=total["cost"],
        programs=programs[0],
        operations=programs[1],
    )


def _most(counted: Counter[str]) -> tuple[tuple[str, int], ...]:
    """The `TOP` most frequent, and the rest together."""
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(n for _, n in ranked[TOP:])
    return (*ranked[:TOP], *([(f"{len(ranked) - TOP} others", rest)] if rest else []))


def _programs(
    folder: Folder, step: StepLine, paths: Iterable[str]
) -> dict[str, tuple[int, tuple[tuple[str, int, int], ...]]]:
    """By stage whose model writes programs: rows that were read, and of each operation the rows and the calls."""
    parts = step.about.get("identity", {}).get("stages", [])
    names = {part["stage"].rpartition(".")[2] for part in parts if part["stage"].startswith(PROGRAMS)}
    rows: Counter[str] = Counter()
    calls: dict[str, Counter[str]] = {name: Counter() for name in names}
    users: dict[str, Counter[str]] = {name: Counter() for name in names}
    for stage, output in _outputs(folder, paths) if names else ():
        if stage in names:
            rows[stage] += 1
            used = Counter(CALL.findall(output))
            calls[stage].update(used)
            users[stage].update(used.keys())
    return {
        name: (rows[name], tuple((op, n, calls[name][op]) for op, n in _most(users[name])))
        for name in names
        if rows[name]
    }


def _outputs(folder: Folder, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(stage, what its model wrote) of the first rows of each file, as far as the budget goes."""
    left = OUTPUT_ROWS
    for path in paths:
        for answers in answers_in(folder, path, ("stage", "output"), BATCH):
            if left <= 0:
                return
            left -= len(answers)
            for entries in answers.to_pylist():
                yield from ((entry["stage"], entry["output"] or "") for entry in entries or ())


def _examples(folder: Folder, step: StepLine, names: set[str]) -> tuple[Example, ...]:
    """Rows whose text a model changed, from the least to the most."""
    changed = sorted(_changed(folder, step, names), key=lambda row: (row.share, row.id))
    count = min(EXAMPLES, len(changed))
    chosen = [changed[place * (len(changed) - 1) // max(count - 1, 1)] for place in range(count)]
    by_path = {f"{step.name}/{f.path}": m for m in step.manifests.values() for f in m.files}
    found = []
    for path in sorted({row.path for row in chosen}):
        rows = [row for row in chosen if row.path == path]
        parents = {parent for row in rows for parent in row.parents}
        after = texts_of(folder, path, {row.id for row in rows} | parents)
        before = inputs_of(step, by_path[path], {row.id for row in rows} | parents)
        for row in rows:
            was = next((t for t in map(before.get, (row.id, *row.parents)) if t is not None), None)
            was = was if was is not None else next((after[p] for p in row.parents if p in after), None)
            now = after.get(row.id)
            left, right = difference(was, now) if was is not None and now is not None else ((), ())
            found.append((row.share, Example(row.url or row.id, row.rules, left, right)))
    return tuple(example for _, example in sorted(found, key=lambda pair: (pair[0], pair[1].name)))


def _changed(folder: Folder, step: StepLine, names: set[str]) -> Iterator[_Changed]:
    largest = sorted(list_files(step, "data"), key=lambda file: (-file[1], file[0]))
    for path, _ in largest[:TEXT_FILES]:
        with folder.open(path) as file:
            parquet = pq.ParquetFile(file)
            there = [n for n in ("id", "url", "parents", "edits") if n in parquet.schema_arrow.names]
            if not c.has(parquet.schema_arrow, c.EDITS):
                continue
            seen = 0
            for batch in parquet.iter_batches(BATCH, columns=there, use_threads=False):
                for row in batch.to_pylist():
                    edits = [edit for edit in row["edits"] or () if edit["stage"] in names]
                    if edits:
                        share = 1 - edits[-1]["n_chars_after"] / max(edits[0]["n_chars_before"], 1)
                        rules = tuple(f"{edit['stage']}: {_short(edit['rule'])}" for edit in edits)
                        parents = tuple(row.get("parents") or ())
                        yield _Changed(path, row["id"], row.get("url") or "", parents, rules, share)
                seen += batch.num_rows
                if seen >= TEXT_ROWS:
                    break


def _short(rule: str) -> str:
    rule = "; ".join(rule.split("\n"))
    return rule if len(rule) <= RULE else rule[:RULE] + " \N{HORIZONTAL ELLIPSIS}"


def inputs_of(step: StepLine, manifest: Manifest, wanted: set[str]) -> dict[str, str]:
    """Texts of the rows `wanted` as the step read them: the first rows of the shard's input, if it is still there.

    None by a source of somebody else's: to look at an output must not run the code that it names.
    """
    found: dict[str, str] = {}
    source, seen = manifest.source, 0
    if not step.about["identity"]["source"]["stage"].startswith(OWN):
        return {}
    try:
        read = restore(step.about["identity"]["source"]).open()
        with open_input(source["uri"]) as file:
            for item in read(file, Piece(source["uri"], source["start"], source["stop"])):
                if isinstance(item, Unreadable):
                    continue
                if c.BODY.name not in item.column_names:
                    return {}
                here = item.filter(pc.is_in(item.column("id"), pa.array(sorted(wanted), pa.string())))
                for id_, text in zip(here.column("id").to_pylist(), here.column(c.BODY.name).to_pylist(), strict=True):
                    if text is not None:
                        found.setdefault(id_, text)
                seen += item.num_rows
                if len(found) == len(wanted) or seen >= INPUT_ROWS:
                    break
    except (OSError, ConfigError, StageError, ValueError, KeyError):
        return {}  # the input has gone since: examples are shown without their texts
    return found
