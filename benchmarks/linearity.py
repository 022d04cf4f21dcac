"""Ten times the pages: ten times the CPU time, and no more memory. The recipe `web`, engine headrace, local runner.

    python benchmarks/linearity.py [--input WARC] [--records 1709] [--times 10] [--repeat 2] [--set Stage.setting=value]

One JSON line. The first `records` of the archive once, and repeated; each run is a process of its own, in turns, the
least CPU time counts. Start-up, the cost of the same run over one record, is taken off both. Bounds: the ratio of CPU
time is at most 1.05 `times`; peak memory of the process and of its sandbox grows by no more than a tenth.

The copies have no words that are new to the process, where the first has thousands, so the ratio is below `times`.
They are exact duplicates, which the step `dedup` drops: that is a thousandth of the work.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from archive import records_of
from record import record

PAGES = Path(__file__).resolve().parents[2] / "shared" / "data" / "pages-dev.warc.gz"
EVERY_S = 0.05


class Cost(NamedTuple):
    """CPU seconds of all processes; peak resident MB of the run's own process and of its largest child; rows read."""

    cpu: float
    own_mb: float
    sandbox_mb: float
    rows: int


def peak(process: psutil.Process) -> float:
    """The most memory that a process has had resident since it started its program; the kernel keeps it. Unit: MB."""
    try:
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1e3
    except OSError:
        pass
    return 0.0  # it has just ended


def children(process: psutil.Process) -> list[psutil.Process]:
    """All that a process has started; without one that is being started, which still has its parent's memory."""
    try:
        own = process.cmdline()
        return [child for child in process.children(recursive=True) if child.cmdline() not in ([], own)]
    except psutil.NoSuchProcess:
        return []


def measure(warc: Path, output: Path, sets: list[str]) -> Cost:
    """One run from scratch."""
    command = [sys.executable, "-m", "pipelines", "run", "web", "--input", str(warc), "--output", str(output)]
    command += ["--runner", "local", "--max-dead", "1", "--json", *(f"--set={text}" for text in sets)]
    before = os.times()
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process, own, sandbox = psutil.Process(run.pid), 0.0, 0.0
    while run.poll() is None:
        own = max(own, peak(process))
        sandbox = max([sandbox, *map(peak, children(process))])
        time.sleep(EVERY_S)
    said = run.communicate()[0].splitlines()
    after = os.times()
    if run.returncode or not said:
        sys.exit(f"linearity.py: the run over {warc} ended with status {run.returncode}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(cpu, own, sandbox, json.loads(said[-1])["steps"][0]["rows_in"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, default=PAGES, help="a WARC with one gzip member a record")
    parser.add_argument("--records", type=int, default=1709)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--set", action="append", default=["ExtractText.engine=headrace"])
    arguments = parser.parse_args()
    pages = records_of(arguments.input)[: arguments.records]
    body = arguments.input.read_bytes()
    parts = {
        "one": body[pages[0].start : pages[0].stop],
        "once": body[: pages[-1].stop],
        "many": body[: pages[-1].stop] * arguments.times,
    }
    costs: dict[str, list[Cost]] = {name: [] for name in parts}
    with tempfile.TemporaryDirectory() as folder:
        for name, part in parts.items():
            (Path(folder) / f"{name}.warc.gz").write_bytes(part)
        measure(Path(folder) / "once.warc.gz", Path(folder) / "warm", arguments.set)  # not counted: numba's cache
        for i in range(arguments.repeat):
            for name in parts:
                costs[name].append(
                    measure(Path(folder) / f"{name}.warc.gz", Path(folder) / f"{name}{i}", arguments.set)
                )
    record("linearity", figures(costs, arguments.times))


def figures(costs: dict[str, list[Cost]], times: int) -> dict[str, Any]:
    """The ratios, and what they are made of."""
    cpu = {name: min(c.cpu for c in runs) for name, runs in costs.items()}
    own = {name: max(c.own_mb for c in runs) for name, runs in costs.items()}
    sandbox = {name: max(c.sandbox_mb for c in runs) for name, runs in costs.items()}
    rows = {name: runs[0].rows for name, runs in costs.items()}
    return {
        "times": times,
        "rows": [rows["once"], rows["many"]],
        "startup_cpu_s": round(cpu["one"], 2),
        "cpu_s": [round(cpu["once"] - cpu["one"], 2), round(cpu["many"] - cpu["one"], 2)],
        "cpu_ratio": round((cpu["many"] - cpu["one"]) / (cpu["once"] - cpu["one"]), 3),
        "own_peak_mb": [round(own["once"]), round(own["many"])],
        "own_ratio": round(own["many"] / own["once"], 3),
        "sandbox_peak_mb": [round(sandbox["once"]), round(sandbox["many"])],
        "sandbox_ratio": round(sandbox["many"] / sandbox["once"], 3),
    }


if __name__ == "__main__":
    main()
