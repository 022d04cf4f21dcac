"""What a run found of benchmarks' test items: counted over all rows of the step that looked, kept and removed.

Beside the section of the page, OUTPUT/contamination.json has the figures of each benchmark, contamination.parquet a row
for each item that was found, and common-ngrams.txt, after rule `gpt3`, the n-grams in more than `COMMON` documents: a
list for `Decontaminate.ignore`, with which a second run takes them for no evidence, as GPT-3 did.
"""

import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cluster.errors import ConfigError
from cluster.recipe import restore
from cluster.storage import Folder
from pipelines.report.account import Account, StepLine
from schemas import columns as c
from stages.decontaminate import Decontaminate
from stages.decontamination.index import Index
from stages.stage import StageError

JSON, PARQUET, LIST = "contamination.json", "contamination.parquet", "common-ngrams.txt"
FLAGGED = 0.02  # of a benchmark's items, found in a data set: TULU 3 calls that contaminated
COMMON = 10  # documents with an n-gram; GPT-3 took those in more for no evidence
EXAMPLES = 3
COLUMNS = [c.ID.name, c.CONTAMINATED_BY.name]
STAGE = f"{Decontaminate.__module__}.{Decontaminate.__qualname__}"


@dataclass(frozen=True)
class Example:
    """An item that was found: in how many documents, and the one with the best score."""

    item: str
    documents: int
    score: float
    ngram: str
    id: str


@dataclass(frozen=True)
class Benchmark:
    """A benchmark. `items`, `findable` (those that have an n-gram) and `n` are None without the file of the items."""

    name: str
    items: int | None
    findable: int | None
    n: int | None
    found: int
    documents: int
    examples: tuple[Example, ...]

    @property
    def share(self) -> float | None:
        return self.found / self.items if self.items else None

    @property
    def flagged(self) -> bool:
        return self.share is not None and self.share > FLAGGED


@dataclass(frozen=True)
class Contamination:
    """What a step found in so many `documents`. Benchmarks of which the largest share was found come first."""

    step: str
    settings: dict[str, Any]
    documents: int
    benchmarks: tuple[Benchmark, ...]


def write_contamination(folder: Folder, account: Account) -> Contamination | None:
    """What the first step that looked for test items found, also as files in `folder`; None when none did."""
    for step in account.steps:
        stage = next((s for s in step.about.get("identity", {}).get("stages", []) if s["stage"] == STAGE), None)
        if stage is None:
            continue
        index = _index(stage)
        documents, found = _count(folder, step)
        result = Contamination(step.name, stage["settings"], documents, _benchmarks(found, index))
        folder.put(JSON, json.dumps(_plain(result), indent=1).encode())
        rows = [{"benchmark": name, **dataclasses.asdict(e)} for (name, _), (e, _) in sorted(found.items())]
        with folder.writing(PARQUET) as file:
            pq.write_table(pa.Table.from_pylist(rows, ITEMS), file)
        if index is not None and stage["settings"]["rule"] == "gpt3":
            folder.put(LIST, "".join(f"{ngram}\n" for ngram in _common(found, index)).encode())
        return result
    return None


ITEMS = pa.schema(
    [("benchmark", pa.string()), ("item", pa.string()), ("documents", pa.int64()), ("score", pa.float64()),
     ("ngram", pa.string()), ("id", pa.string())]
)  # fmt: skip
# By benchmark and item: the example, and how many documents have the n-gram at each place of the item.
Counts = dict[tuple[str, str], tuple[Example, Counter[int]]]


def _count(folder: Folder, step: StepLine) -> tuple[int, Counts]:
    """How many rows share n-grams with any item, and what was found of each."""
    documents = 0
    found: Counts = {}
    for table in _tables(folder, step):
        documents += table.num_rows
        for id_, hits in zip(*(table.column(name).to_pylist() for name in COLUMNS), strict=True):
            for hit in hits:
                key = hit["benchmark"], hit["item"]
                before, places = found.get(key, (Example(key[1], 0, -1.0, "", ""), Counter()))
                places.update(hit["places"])
                best = Example(key[1], 0, hit["score"], hit["ngram"], id_) if hit["score"] > before.score else before
                found[key] = dataclasses.replace(best, documents=before.documents + 1), places
    return documents, found


def _tables(folder: Folder, step: StepLine) -> Iterator[pa.Table]:
    """The rows of a step that are contaminated, file by file."""
    for _, manifest in sorted(step.manifests.items()):
        for file in manifest.files:
            if file.rows and file.path.startswith(("data/", "removed/")):
                with folder.open(f"{step.name}/{file.path}") as opened:
                    parquet = pq.ParquetFile(opened)
                    if set(COLUMNS) <= set(parquet.schema_arrow.names):
                        table = parquet.read(columns=COLUMNS)
                        yield table.filter(pc.is_valid(table.column(c.CONTAMINATED_BY.name)))


def _benchmarks(found: Counts, index: Index | None) -> tuple[Benchmark, ...]:
    by_name: dict[str, list[Example]] = defaultdict(list)
    for (name, _), (example, _) in found.items():
        by_name[name].append(example)
    items: dict[str, set[str]] = defaultdict(set)
    findable: dict[str, set[str]] = defaultdict(set)
    sizes: dict[str, int] = {}
    if index is not None:
        for item in index.items:
            items[item.benchmark].add(item.item)
        for query in index.queries:
            item = index.items[query.item]
            findable[item.benchmark].add(item.item)
            sizes[item.benchmark] = query.n
    result = []
    for name in sorted(items.keys() | by_name.keys()):
        examples = sorted(by_name[name], key=lambda e: (-e.score, -e.documents, e.item))
        result.append(
            Benchmark(
                name,
                items=len(items[name]) if index is not None else None,
                findable=len(findable[name]) if index is not None else None,
                n=sizes.get(name),
                found=len(examples),
                documents=sum(e.documents for e in examples),
                examples=tuple(examples[:EXAMPLES]),
            )
        )
    return tuple(sorted(result, key=lambda b: (-(b.share or 0.0), -b.found, b.name)))


def _common(found: Counts, index: Index) -> list[str]:
    """The n-grams in more than COMMON documents."""
    documents: Counter[str] = Counter()
    for query in index.queries:
        item = index.items[query.item]
        _, places = found.get((item.benchmark, item.item), (None, Counter()))
        for place, rows in places.items():
            ngram = " ".join(query.words[place : place + query.n])
            documents[ngram] = max(documents[ngram], rows)
    return sorted(ngram for ngram, rows in documents.items() if rows > COMMON)


def _index(stage: dict[str, Any]) -> Index | None:
    """The index of the run; None when its files are not here, or not those of the run."""
    try:
        restored: Decontaminate = restore(stage)
        same = list(restored.files_sha256) == list(stage["settings"]["files_sha256"])
        return restored.index() if same else None
    except (ConfigError, StageError, OSError, ValueError):
        return None


def _plain(found: Contamination) -> dict[str, Any]:
    benchmarks = [{**dataclasses.asdict(b), "share": b.share, "flagged": b.flagged} for b in found.benchmarks]
    return {**dataclasses.asdict(found), "benchmarks": benchmarks}
