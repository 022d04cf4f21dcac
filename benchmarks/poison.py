"""One poison row in 100,000: a row that takes its worker with it, on Ray. It alone dies; what it costs, and where.

    python -m benchmarks.poison [--documents 100000] [--workers 2]
    python -m benchmarks.poison --web ../shared/data/pages-dev.warc.gz [--copies 4]

Both runs are of the same command on the same input, one after the other, in a Ray of their own; the second has one row
at which a stage ends its process with SIGSEGV. What it costs does not grow with the run: what the worker had done of
the shard, a worker and a process apart that are started (Python, imports, stages), and a few tables more. `--web` is
the recipe `web` over so many copies of an archive, in files of a gigabyte as Common Crawl's are; 59 copies of that one
are 100,000 pages, a quarter of an hour a run on two cores.

On a machine whose pace changes by more than the row costs, two runs of a quarter of an hour say nothing of it. So the
row's shard is compared with the shards of its own run that hold the same pages. How much longer than half of them it
took, from its first beginning to its commit, is what a worker lost to the row; it is told as a share of the time that
all workers had. `--poisoned` leaves the clean run out.
"""

import argparse
import os
import random
import re
import signal
import statistics
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
from cluster.signals.events import Event, ShardBegan, ShardCommitted, StepBegan
from pipelines.web import web
from schemas import columns as c
from stages.c4_quality import C4Quality
from stages.fineweb_quality import FineWebQuality
from stages.gopher_quality import GopherQuality
from stages.gopher_repetition import GopherRepetition
from stages.read_parquet import ReadParquet
from stages.stage import Resources, Rows, Transform

SHARDS = 50
COPIES = 27  # of pages-dev.warc.gz are a gigabyte
COMMON = ("the", "be", "to", "of", "and", "that", "have", "with")
ALIKE = 0.05  # of an archive, between the beginnings of two shards
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


class Durations:
    """Seconds of each shard of the first step, from its first beginning to its commit."""

    def __init__(self) -> None:
        self._steps = 0
        self._begun: dict[str, float] = {}
        self.took: dict[str, float] = {}

    def hear(self, event: Event) -> None:
        now = time.perf_counter()
        match event:
            case StepBegan():
                self._steps += 1
            case ShardBegan() if self._steps == 1:
                self._begun.setdefault(event.shard.name, now)
            case ShardCommitted() if self._steps == 1:
                self.took[event.shard.name] = now - self._begun[event.shard.name]

    def lost_to(self, shard: str, period: int | None) -> float:
        """How much longer that one took than half of those that are like it.

        They hold the same pages: they begin at about the same place of the archive, which comes again every `period`
        bytes. None: all other shards are like it.
        """
        others = {name: seconds for name, seconds in self.took.items() if name != shard}
        if period is not None:
            begins = {name: int(name.split("-")[1]) if name.count("-") == 2 else 0 for name in self.took}
            apart = {name: (begins[name] - begins[shard]) % period for name in others}
            others = {n: s for n, s in others.items() if min(apart[n], period - apart[n]) <= ALIKE * period}
        return self.took[shard] - statistics.median(others.values())


def timed(recipe: Recipe, source: Path, out: Path, workers: int, period: int | None = None) -> dict[str, Any]:
    """A run; seconds of it without Ray's own start and end. `period`: bytes after which a file repeats itself."""
    from cluster.stream import RayRunner  # noqa: PLC0415 - importing Ray takes a second

    runner = RayRunner(workers)
    begun, durations = time.perf_counter(), Durations()
    options = Options(quiet=True, max_dead=0.01, hear=durations.hear)
    result = run(make_plan(recipe, list_inputs([str(source)])), str(out), runner, options)
    seconds = time.perf_counter() - begun - runner.startup_seconds - runner.shutdown_seconds
    files = list((out / result["steps"][0]["name"] / "dead").glob("*"))
    dead = [row for file in files for row in pq.read_table(file).to_pylist()]
    lost = [durations.lost_to(file.stem, period) for file in files]
    return {
        "seconds": seconds,
        "startup": runner.startup_seconds,
        "step": result["steps"][0],
        "dead": dead,
        "lost": sum(lost),
        "shard_seconds": statistics.median(durations.took.values()),
        "shards": len(durations.took),
    }


Pair = tuple[dict[str, Any] | None, dict[str, Any]]  # the clean run, if there was one, and that with the row


def made(folder: Path, n: int, workers: int, *, clean: bool) -> Pair:
    """Documents of ours through filters."""
    stages = (GopherRepetition(), GopherQuality(), C4Quality(), FineWebQuality(), Segfault())
    recipe, found = Recipe("poison", (Step("only", ReadParquet(), stages),)), {}
    for name, poison in (("warm", None), ("clean", None), ("poisoned", n // 2 + 7)):
        if clean or name != "clean":
            source = documents(folder / name, 2000 if name == "warm" else n, poison)
            found[name] = timed(recipe, source, folder / f"{name}-out", workers)
    assert found["poisoned"]["step"]["out"] > 0.9 * n
    assert found["poisoned"]["dead"][0]["id"] == f"{n // 2 + 7:08d}"
    return found.get("clean"), found["poisoned"]


def pages(folder: Path, archive: Path, copies: int, workers: int, *, clean: bool) -> Pair:
    """The recipe `web` over pages; the row is one in the middle that is kept."""
    one, many, content = folder / "one.warc.gz", folder / "many", archive.read_bytes()
    one.write_bytes(content)
    many.mkdir()
    for number in range(0, copies, COPIES):
        (many / f"{number:03d}.warc.gz").write_bytes(content * min(COPIES, copies - number))
    timed(web(), one, folder / "warm", workers)
    kept = [row for f in (folder / "warm/filter/data").glob("*") for row in pq.read_table(f)["source"].to_pylist()]
    middle = copies // 2
    offset = int(sorted(kept)[len(kept) // 2].rpartition("#")[2]) + middle % COPIES * len(content)
    victim = f"{many.as_uri()}/{middle // COPIES * COPIES:03d}.warc.gz#{offset}"
    undisturbed = timed(web(), many, folder / "clean", workers) if clean else None
    first, *later = web().steps
    recipe = Recipe("poisoned", (replace(first, stages=(*first.stages, Segfault(victim, "source"))), *later))
    poisoned = timed(recipe, many, folder / "poisoned", workers, len(content))
    assert [row["source"] for row in poisoned["dead"]] == [victim]
    return undisturbed, poisoned


def main() -> int:
    parser = argparse.ArgumentParser(description="what one row costs that takes its worker with it")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--web", type=Path, help="an archive, in place of documents that are made")
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--poisoned", action="store_true", help="leave the clean run out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.web:
            clean, poisoned = pages(Path(folder), given.web, given.copies, given.workers, clean=not given.poisoned)
        else:
            clean, poisoned = made(Path(folder), given.documents, given.workers, clean=not given.poisoned)
    assert poisoned["step"]["dead"] == len(poisoned["dead"]) == 1
    assert re.match("worker died", poisoned["dead"][0]["error"])
    figures = {
        "documents": poisoned["step"]["rows_in"],
        "dead": 1,
        "poisoned_seconds": round(poisoned["seconds"], 2),
        "shards": poisoned["shards"],
        "seconds_of_a_shard": round(poisoned["shard_seconds"], 2),
        "worker_seconds_of_the_row": round(poisoned["lost"], 2),
        "share_of_worker_seconds": round(poisoned["lost"] / given.workers / poisoned["seconds"], 4),
        "seconds_to_start_ray_and_workers": round(poisoned["startup"], 2),
    }
    if clean:
        assert not clean["dead"]
        assert clean["step"]["rows_in"] == poisoned["step"]["rows_in"]
        more = poisoned["seconds"] - clean["seconds"]
        figures |= {
            "clean_seconds": round(clean["seconds"], 2),
            "seconds_more": round(more, 2),
            "share": round(more / clean["seconds"], 4),
        }
    record("poison_web" if given.web else "poison", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
