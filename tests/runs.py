"""Whole runs of the fakes on the local runner, and what they left behind: for tests of the engine and the command."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.local import LocalRunner
from cluster.plan import Plan, make_plan
from cluster.recipe import Recipe, Step
from cluster.run import Options, run
from cluster.shards import list_inputs
from schemas import columns as c
from stages.content_hash import ContentHash
from stages.drop_duplicates import DropDuplicates
from stages.keep_first import KeepFirst
from stages.read_parquet import ReadParquet
from stages.stage import Resources, Rows, Transform
from tests.fakes import ReadLines

ONE_STEP = """
name: lines
steps:
  - name: only
    source: tests.fakes.ReadLines
    stages:
      - {stage: tests.fakes.DropWith, word: spam}
      - tests.fakes.Upper
"""

TWO_STEPS = """
name: twice
about: lines without copies
steps:
  - name: filter
    source: tests.fakes.ReadLines
    stages:
      - {stage: tests.fakes.DropWith, word: spam}
      - {stage: tests.fakes.CrashOn, word: bad}
      - stages.content_hash.ContentHash
  - name: dedup
    after: filter
    source: stages.read_parquet.ReadParquet
    shuffle: stages.keep_first.KeepFirst
    stages:
      - stages.drop_duplicates.DropDuplicates
"""


@dataclass(frozen=True)
class DieUntil:
    """Raises when the text contains `word`, until the file `fixed` is there: a bug, and its fix."""

    word: str
    fixed: str
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources(memory_gb=0.5)

    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            for text in table.column("text").to_pylist():
                if self.word in text and not Path(self.fixed).exists():
                    raise ValueError(f"cannot take {text!r}")
            return table

        return apply


def write(folder: Path, files: dict[str, str]) -> str:
    """Input files, in folders below `folder` where their names say so; returns the folder's path."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return str(folder)


def one_step(*stages: Any, source: Any = None) -> Recipe:
    return Recipe("lines", (Step("only", source or ReadLines(), stages),))


def two_steps(*stages: Any) -> Recipe:
    """`stages` over lines, then exact dedup of what they keep."""
    return Recipe(
        "twice",
        (
            Step("filter", ReadLines(), (*stages, ContentHash())),
            Step("dedup", ReadParquet(), (DropDuplicates(),), after="filter", shuffle=KeepFirst()),
        ),
    )


def plan_over(recipe: Recipe, *inputs: str | Path) -> Plan:
    return make_plan(recipe, list_inputs([str(url) for url in inputs]))


def run_local(plan: Plan, output: str | Path, **options: Any) -> dict[str, Any]:
    return run(plan, str(output), LocalRunner(), Options(**{"quiet": True, **options}))


def rows(folder: Path) -> list[dict[str, Any]]:
    """All rows of the Parquet files in `folder`, in order of file; the test of what a plain reader sees."""
    return [row for file in sorted(folder.glob("[!.]*.parquet")) for row in pq.read_table(file).to_pylist()]


def texts(folder: Path) -> list[str]:
    return [row["text"] for row in rows(folder)]


def dataset(output: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row that is visible in `output`, by file, but for what differs from run to run: traceback and attempt."""
    found = {}
    for file in sorted(output.glob("*/*/[!.]*.parquet")):
        passing = ("traceback", "attempt")
        found[str(file.relative_to(output))] = [
            {name: value for name, value in row.items() if name not in passing}
            for row in pq.read_table(file).to_pylist()
        ]
    return found


def manifests(output: Path) -> Iterator[Path]:
    return output.glob("*/manifests/[!.]*.json")


def account(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps of a run's totals without what the clock says."""
    return [{k: v for k, v in step.items() if "seconds" not in k} for step in result["steps"]]
