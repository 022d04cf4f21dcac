"""One poison row in 100,000: a row that takes its worker with it, on Ray. It alone dies; what it costs, and where.

    python -m benchmarks.poison [--documents 100000] [--workers 2]

Both runs are of the same command on the same input, side by side, in a Ray of their own; the second has one row at
which a stage ends its process with SIGSEGV. What it costs does not grow with the run: workers that are started again
(Python, imports, stages), the table it is in once more, and once more row by row.
"""

import argparse
import os
import random
import re
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
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
    """Dies of SIGSEGV at a text that contains `word`."""

    word: str = POISON
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            if pc.any(pc.match_substring(table.column("text"), self.word)).as_py():
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


def timed(folder: Path, n: int, workers: int, poison: int | None) -> dict[str, Any]:
    """A run over fresh documents; seconds of it without Ray's own start and end."""
    from cluster.stream import RayRunner  # noqa: PLC0415 - importing Ray takes a second

    stages = (GopherRepetition(), GopherQuality(), C4Quality(), FineWebQuality(), Segfault())
    source = documents(folder / "in", n, poison)
    plan = make_plan(Recipe("poison", (Step("only", ReadParquet(), stages),)), list_inputs([str(source)]))
    runner = RayRunner(workers)
    begun = time.perf_counter()
    result = run(plan, str(folder / "out"), runner, Options(quiet=True, max_dead=0.001))
    seconds = time.perf_counter() - begun - runner.startup_seconds - runner.shutdown_seconds
    return {"seconds": seconds, "startup": runner.startup_seconds, "step": result["steps"][0], "out": folder / "out"}


def main() -> int:
    parser = argparse.ArgumentParser(description="what one row costs that takes its worker with it")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    n, found = given.documents, {}
    for name, poison in (("warm", None), ("clean", None), ("poisoned", n // 2 + 7)):
        with tempfile.TemporaryDirectory() as folder:
            found[name] = timed(Path(folder), 2000 if name == "warm" else n, given.workers, poison)
            dead = [row for f in (found[name]["out"] / "only/dead").glob("*") for row in pq.read_table(f).to_pylist()]
    clean, poisoned = found["clean"], found["poisoned"]
    assert clean["step"]["dead"] == 0
    assert clean["step"]["out"] > 0.9 * n
    assert poisoned["step"]["dead"] == len(dead) == 1
    assert dead[0]["id"] == f"{n // 2 + 7:08d}"
    assert re.match("worker died", dead[0]["error"])
    assert poisoned["step"]["rows_in"] == clean["step"]["rows_in"] == n
    record(
        "poison",
        {
            "documents": n,
            "dead": len(dead),
            "clean_seconds": round(clean["seconds"], 2),
            "poisoned_seconds": round(poisoned["seconds"], 2),
            "seconds_of_the_row": round(poisoned["seconds"] - clean["seconds"], 2),
            "share": round(poisoned["seconds"] / clean["seconds"] - 1, 4),
            "seconds_to_start_ray_and_workers": round(clean["startup"], 2),
        },
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
