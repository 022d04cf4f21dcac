"""What the engine costs: the web recipe on Ray with two workers against the local runner, on the same shards.

One JSON line. The bound: Ray's wall time, its start-up (until the first worker has its stages open) and shut-down left
out and reported on their own, is at most 1.15 times the local runner's CPU time divided by the workers. On a machine
that others use too, both runs need the same right to its cores: `chrt -r 5 python benchmarks/engine.py`.

    python benchmarks/engine.py [--input WARC] [--copies 3] [--workers 2] [--repeat 2] [--set Stage.setting=value]
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_AUTH_MODE", "disabled")

from record import record

from cluster.local import LocalRunner
from cluster.plan import make_plan
from cluster.run import Options, Runner, run
from cluster.shards import list_inputs
from cluster.signals.metrics import cpu_seconds
from cluster.stream import RayRunner
from pipelines.config import configure, parse_sets
from pipelines.web import web

PAGES = Path(__file__).resolve().parents[2] / "shared" / "data" / "pages-dev.warc.gz"


def measure(arguments: argparse.Namespace, runner: Runner) -> dict[str, Any]:
    """One run from scratch: wall seconds without start-up, CPU seconds of the work, start-up seconds."""
    settings = parse_sets(arguments.set)
    plan = make_plan(configure(web(), settings), list_inputs([arguments.input]))
    with tempfile.TemporaryDirectory() as output:
        begun, cpu = time.perf_counter(), cpu_seconds()
        result = run(plan, output, runner, Options(quiet=True, max_dead=1.0))
        wall, cpu = time.perf_counter() - begun, cpu_seconds() - cpu
    return {
        "wall": wall - runner.startup_seconds - runner.shutdown_seconds,
        "cpu": cpu,  # of this process and all it started: for Ray that is the raylet and its kin as well
        "shards_cpu": result["cpu_seconds"],
        "startup": runner.startup_seconds,
        "shutdown": runner.shutdown_seconds,
        "rows_in": result["steps"][0]["rows_in"],
        "out": result["steps"][-1]["out"],
        "shards": result["steps"][0]["shards"],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--input", default=str(PAGES))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--copies", type=int, default=3, help="of the input, so that there is a minute's work")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    local, ray_ = [], []
    with tempfile.TemporaryDirectory() as folder:
        many = Path(folder) / "many.warc.gz"
        many.write_bytes(Path(arguments.input).read_bytes() * arguments.copies)
        arguments.input = str(many)
        for _ in range(arguments.repeat):  # alternating, so that a busy minute hits both
            local.append(measure(arguments, LocalRunner()))
            ray_.append(measure(arguments, RayRunner(arguments.workers)))
    best_local = min(local, key=lambda r: r["cpu"])
    best_ray = min(ray_, key=lambda r: r["wall"])
    bound = best_local["cpu"] / arguments.workers
    record(
        "engine",
        {
            "workers": arguments.workers,
            "rows_in": best_local["rows_in"],
            "shards": best_local["shards"],
            "same_rows_out": best_local["out"] == best_ray["out"],
            "local_cpu_s": round(best_local["cpu"], 2),
            "local_wall_s": round(best_local["wall"], 2),
            "ray_wall_s": round(best_ray["wall"], 2),
            "local_shards_cpu_s": round(best_local["shards_cpu"], 2),
            "ray_shards_cpu_s": round(best_ray["shards_cpu"], 2),
            "ray_startup_s": round(best_ray["startup"], 2),
            "ray_shutdown_s": round(best_ray["shutdown"], 2),
            "wall_over_ideal": round(best_ray["wall"] / bound, 3),
        },
    )


if __name__ == "__main__":
    main()
