"""One poison row in 100,000: a row that takes its worker with it, on Ray. It alone dies; what it costs, and where.

    python -m benchmarks.poison [--documents 100000] [--workers 2]
    python -m benchmarks.poison --web ../shared/data/pages-dev.warc.gz [--copies 4]

Both runs are of the same command on the same input, side by side, in a Ray of their own; the second has one row at
which a stage ends its process with SIGSEGV. What it costs does not grow with the run: workers that are started again
(Python, imports, stages), the table it is in once more, and once more in parts. So of `--web`, the recipe `web` over
so many copies of an archive, it is told what share that would be of 100,000 of its pages at the clean run's pace.
"""

import argparse
import os
import random
import re
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.record import record
from cluster.plan import make_plan
from cluster.recipe import Recipe, Step
from cluster.run import Options, run
from cluster.shards import list_inputs
from pipelines.web import web
from schemas import columns as c
from stages.c4_quality import C4Quality
from stages.fineweb_quality import FineWebQuality
from stages.gopher_quality import GopherQuality
from stages.gopher_repetition import GopherRepetition
from stages.read_parquet import ReadParquet
from stages.stage import Resources, Rows, Transform

SHARDS = 50
COMMON = ("the", "be", "to", "of", "and", "that", "have", "with")
POISON = "the row that takes its worker with it"


@dataclass(frozen=True)
class Segfault:
    """Dies of SIGSEGV at a row whose `column` ends in `word`."""

    word: str = POISON
    column: str = "text"
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            if pc.any(pc.ends_with(table.column(self.column), self.word)).as_py():
                os.kill(os.getpid(), signal.SIGSEGV)
            return table

        return apply


def documents(folder: Path, n: int, poison: int | None) -> Path:
    """`n` documents of 15 sentences, which no filter drops; the one of number `poison` is the row."""
    dice = random.Random(0)
    words = ["".join(dice.choices("abcdefghijklmnop", k=dice.randint(3, 9))) for _ in range(3000)]

    def sentence() -> str:
        said = [*dice.choices(words, k=10), *dice.sample(COMMON, 3)]
        dice.shuffle(said)
        return " ".join(said).capitalize() + "."

    folder.mkdir()
    for shard in range(SHARDS):
        numbers = range(shard, n, SHARDS)
        texts = ["\n".join(sentence() for _ in range(15)) for _ in numbers]
        if poison in numbers:
            texts[numbers.index(poison)] += POISON
        table = {"id": [f"{number:08d}" for number in numbers], "text": pa.array(texts, pa.large_string())}
        pq.write_table(pa.table(table), folder / f"{shard:03d}.parquet")
    return folder


def timed(recipe: Recipe, source: Path, out: Path, workers: int) -> dict[str, Any]:
    """A run; seconds of it without Ray's own start and end."""
    from cluster.stream import RayRunner  # noqa: PLC0415 - importing Ray takes a second

    runner = RayRunner(workers)
    begun = time.perf_counter()
    result = run(make_plan(recipe, list_inputs([str(source)])), str(out), runner, Options(quiet=True, max_dead=0.01))
    seconds = time.perf_counter() - begun - runner.startup_seconds - runner.shutdown_seconds
    dead = [row for f in (out / result["steps"][0]["name"] / "dead").glob("*") for row in pq.read_table(f).to_pylist()]
    return {"seconds": seconds, "startup": runner.startup_seconds, "step": result["steps"][0], "dead": dead}


def made(folder: Path, n: int, workers: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Documents of ours through filters: the clean run, and that with the row."""
    stages = (GopherRepetition(), GopherQuality(), C4Quality(), FineWebQuality(), Segfault())
    recipe, found = Recipe("poison", (Step("only", ReadParquet(), stages),)), {}
    for name, poison in (("warm", None), ("clean", None), ("poisoned", n // 2 + 7)):
        source = documents(folder / name, 2000 if name == "warm" else n, poison)
        found[name] = timed(recipe, source, folder / f"{name}-out", workers)
    assert found["clean"]["step"]["out"] > 0.9 * n
    assert found["poisoned"]["dead"][0]["id"] == f"{n // 2 + 7:08d}"
    return found["clean"], found["poisoned"]


def pages(folder: Path, archive: Path, copies: int, workers: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The recipe `web` over pages; the row is one that the clean run keeps."""
    many = folder / "many.warc.gz"
    many.write_bytes(archive.read_bytes() * copies)
    clean = timed(web(), many, folder / "clean", workers)
    kept = [row for f in (folder / "clean/filter/data").glob("*") for row in pq.read_table(f)["source"].to_pylist()]
    victim = sorted(kept)[len(kept) // 2]
    first, *later = web().steps
    recipe = Recipe("poisoned", (replace(first, stages=(*first.stages, Segfault(victim, "source"))), *later))
    poisoned = timed(recipe, many, folder / "poisoned", workers)
    assert [row["source"] for row in poisoned["dead"]] == [victim]
    return clean, poisoned


def main() -> int:
    parser = argparse.ArgumentParser(description="what one row costs that takes its worker with it")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--web", type=Path, help="an archive, in place of documents that are made")
    parser.add_argument("--copies", type=int, default=4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.web:
            clean, poisoned = pages(Path(folder), given.web, given.copies, given.workers)
        else:
            clean, poisoned = made(Path(folder), given.documents, given.workers)
    n, more = clean["step"]["rows_in"], poisoned["seconds"] - clean["seconds"]
    assert not clean["dead"]
    assert poisoned["step"]["dead"] == len(poisoned["dead"]) == 1
    assert re.match("worker died", poisoned["dead"][0]["error"])
    assert poisoned["step"]["rows_in"] == n
    record(
        "poison_web" if given.web else "poison",
        {
            "documents": n,
            "dead": len(poisoned["dead"]),
            "clean_seconds": round(clean["seconds"], 2),
            "poisoned_seconds": round(poisoned["seconds"], 2),
            "seconds_of_the_row": round(more, 2),
            "share": round(more / clean["seconds"], 4),
            "share_of_100000": round(more / (clean["seconds"] / n * 100_000), 4),
            "seconds_to_start_ray_and_workers": round(clean["startup"], 2),
        },
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
