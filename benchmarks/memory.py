"""Peak memory of the driver and of each worker over a WARC of about 1 GB (the given one, repeated).

One JSON line. The bounds: 2 GB a worker (with the processes it starts), 400 MB the driver.

    python benchmarks/memory.py [--input WARC] [--gigabytes 1] [--workers 2] [--set Stage.setting=value]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import psutil
from record import record

PAGES = Path(__file__).resolve().parents[2] / "shared" / "data" / "pages-dev.warc.gz"
EVERY_S = 0.5


def resident(process: psutil.Process) -> int:
    """Memory of a process and all it started, shared pages counted once: proportional set size. Unit: bytes."""
    total = 0
    for p in [process, *process.children(recursive=True)]:
        try:
            total += p.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total


def watch(driver: psutil.Process, peaks: dict[str, int]) -> None:
    """One look at the driver alone (Ray's own processes are not it) and at each worker with its children."""
    try:
        peaks["driver"] = max(peaks["driver"], driver.memory_full_info().pss)
        for process in driver.children(recursive=True):
            if process.name().startswith("ray::Worker") or " ".join(process.cmdline()).startswith("ray::Worker"):
                peaks[f"worker-{process.pid}"] = max(peaks[f"worker-{process.pid}"], resident(process))
    except psutil.NoSuchProcess:
        return


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--input", default=str(PAGES))
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runner", default="ray")
    parser.add_argument("--set", action="append", default=["ExtractText.engine=resiliparse"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        big = Path(folder) / "big.warc.gz"
        body = Path(arguments.input).read_bytes()
        with big.open("wb") as out:
            while out.tell() < arguments.gigabytes * 1e9:
                out.write(body)
        size = big.stat().st_size
        command = [sys.executable, "-m", "pipelines", "run", "web", "--input", str(big), "--output", f"{folder}/out"]
        command += ["--runner", arguments.runner, "--workers", str(arguments.workers), "--max-dead", "1", "--json"]
        command += [f"--set={text}" for text in arguments.set]
        environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
        log = (Path(folder) / "log").open("w+")
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.DEVNULL, env=environment)
        driver = psutil.Process(process.pid)
        peaks: dict[str, int] = defaultdict(int)
        while True:
            try:
                process.wait(timeout=EVERY_S)
                break
            except subprocess.TimeoutExpired:
                watch(driver, peaks)
        log.seek(0)
        result = json.loads(log.read().splitlines()[-1])
    workers = {name: peak for name, peak in peaks.items() if name != "driver"}
    record(
        "memory",
        {
            "status": result["status"],
            "input_bytes": size,
            "rows_in": result["steps"][0]["rows_in"],
            "seconds": result["seconds"],
            "cpu_seconds": result["cpu_seconds"],
            "driver_peak_mb": round(peaks["driver"] / 1e6),
            "worker_peak_mb": round(max(workers.values(), default=0) / 1e6),
            "workers": len(workers),
        },
    )


if __name__ == "__main__":
    main()
