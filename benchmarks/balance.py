"""Pools that follow the bottleneck, on Ray's real workers: beside every fixed split of the same CPUs.

    python -m benchmarks.balance [--tables 1500]

A step of readers, a stage on GPUs (logical ones), and behind it a stage that waits 0.1 s for each table. Eight CPUs:
four are the GPU workers', readers and the slow stage share the others. At first the readers have three of them, which
is right where reading is the work and wrong here. What waits takes no CPU, so that a machine of two cores plays eight.
Rates are tables a second of the second half of the run, when workers have moved; `whole` is over all of it.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.record import record
from cluster.driver import balance, pipeline
from cluster.plan import make_plan
from cluster.recipe import Recipe, Step
from cluster.run import Options, run
from cluster.shards import list_inputs
from schemas import columns as c
from stages.read_parquet import ReadParquet
from stages.stage import Resources, Rows, Transform

SHARDS, GPU_WORKERS, SHARED = 30, 4, 4  # the last: CPUs that readers and the slow stage share
WAIT_S, LOOK_S = 0.1, 2.0
FIRST = (3, 1)  # readers and slow workers, as the driver begins


@dataclass(frozen=True)
class Waits:
    """Waits `seconds` for each table, on a part of a GPU or on a CPU."""

    seconds: float
    gpus: float = 0.0
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"

    @property
    def resources(self) -> Resources:
        return Resources(gpus=self.gpus, memory_gb=0.5)

    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            time.sleep(self.seconds)
            return table

        return apply


class Watched(balance.Balance):
    """A balance that notes when each table is through the last group, and may be told to move nothing."""

    through_at: ClassVar[list[float]] = []
    fixed: ClassVar[bool] = False
    sizes: ClassVar[list[tuple[float, ...]]] = []

    def through(self, g: int, seconds: float) -> None:
        """Note it."""
        super().through(g, seconds)
        if g == max(self._groups):
            self.through_at.append(time.monotonic())

    def look(self) -> None:
        """Move workers, unless they are fixed."""
        if not self.fixed:
            super().look()
        now = tuple(group.pool.maximum for group in self._groups.values())
        if not self.sizes or self.sizes[-1] != now:
            self.sizes.append(now)


def timed(source: Path, output: Path, split: tuple[int, int] | None) -> dict[str, Any]:
    """A run whose readers and slow workers are `split`, or balanced."""
    from cluster.stream import RayRunner  # noqa: PLC0415 - importing Ray takes a second

    Watched.through_at, Watched.sizes, Watched.fixed = [], [], split is not None
    readers, slow = split or FIRST
    pipeline.pool_sizes = lambda *_: [readers, GPU_WORKERS, slow]  # type: ignore[assignment]
    stages = (Waits(0.0, gpus=0.5), Waits(WAIT_S))
    plan = make_plan(Recipe("waits", (Step("only", ReadParquet(table_bytes=1), stages),)), list_inputs([str(source)]))
    run(plan, str(output), RayRunner(), Options(quiet=True))
    at = Watched.through_at
    half = at[len(at) // 2 :]
    gaps = [later - earlier for earlier, later in pairwise(at)]
    return {
        "tables_a_second": round((len(half) - 1) / (half[-1] - half[0]), 2),
        "whole": round((len(at) - 1) / (at[-1] - at[0]), 2),
        "longest_gap_s": round(max(gaps), 2),
        "sizes": [list(map(int, sizes)) for sizes in Watched.sizes],
    }


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description="balanced pools beside fixed ones")
    parser.add_argument("--tables", type=int, default=1500)
    given = parser.parse_args()
    import ray  # noqa: PLC0415 - after --help

    balance.EVERY_S = LOOK_S
    pipeline.Balance = Watched  # type: ignore[misc]
    ray.init(num_cpus=8, num_gpus=2, include_dashboard=False, log_to_driver=False, _memory=32_000_000_000)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in"
        source.mkdir()
        for shard in range(SHARDS):
            texts = pa.table({"text": [f"text {shard} {row}" for row in range(given.tables // SHARDS)]})
            pq.write_table(texts, source / f"{shard:03}.parquet", row_group_size=1)
        for split in ((3, 1), (2, 2), (1, 3)):
            found[f"{split[0]} readers, {split[1]} slow"] = timed(source, Path(folder) / f"{split}", split)
        found["balanced"] = timed(source, Path(folder) / "balanced", None)
    fixed = {name: f["tables_a_second"] for name, f in found.items() if name != "balanced"}
    best = max(fixed, key=lambda name: fixed[name])
    share = found["balanced"]["tables_a_second"] / fixed[best]
    record("balance", {"tables": given.tables, "best_fixed": best, "share_of_best": round(share, 3), **found})


if __name__ == "__main__":
    main()
