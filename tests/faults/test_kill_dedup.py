"""kill -9 in the middle of a dedup, of its driver at random moments and of a Ray worker in each phase of its barrier.

The same command again, until one ends: the dataset is that of an undisturbed run, row for row. A few kills by default;
HEADRACE_KILLS=20 for as many as one likes, HEADRACE_SEED to repeat them.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.faults.test_kill_driver import ROOT, SEED, is_done
from tests.faults.test_kill_worker import workers_of
from tests.runs import dataset

LONG = pytest.mark.skipif("HEADRACE_FAULTS" not in os.environ, reason="the long form: make faults")
KILLS = int(os.environ.get("HEADRACE_KILLS", "2"))
ENVIRONMENT = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
PHASES = ("links", "edges-00", "labels", "rows", "verdicts")


def documents(folder: Path, n: int, files: int) -> Path:
    """`n` documents of 60 words, a tenth of them alone, the others a few words from one of n / 20."""
    dice = random.Random(0)
    words = ["".join(dice.choices("abcdefghijklmnop", k=6)) for _ in range(3000)]
    topics = [dice.choices(words, k=60) for _ in range(n // 20)]
    texts = []
    for number in range(n):
        text = list(dice.choice(topics)) if number % 10 else dice.choices(words, k=60)
        text[dice.randrange(60)] = dice.choice(words)
        texts.append(" ".join(text))
    folder.mkdir()
    for f in range(files):
        rows = range(f, n, files)
        table = {"id": [f"{i:06d}" for i in rows], "text": pa.array([texts[i] for i in rows], pa.large_string())}
        pq.write_table(pa.table(table), folder / f"{f:02d}.parquet")
    return folder


def command(source: Path, output: Path, runner: str) -> list[str]:
    return [
        sys.executable, "-m", "pipelines", "run", "dedup", "--input", str(source), "--output", str(output),
        "--runner", runner, *(["--workers", "2"] if runner == "ray" else []), "--memory", "640MiB",
    ]  # fmt: skip


def written(file: Path) -> int:
    """When, in nanoseconds; 0 if it is not there."""
    return file.stat().st_mtime_ns if file.exists() else 0


def finish(source: Path, output: Path, runner: str) -> None:
    last = subprocess.run(
        command(source, output, runner), check=False, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert last.returncode == 0, last.stderr


@pytest.mark.slow
@pytest.mark.timeout(120 + 60 * KILLS)
@pytest.mark.parametrize("runner", ["local", pytest.param("ray", marks=[pytest.mark.ray, LONG])])
def test_killed_driver_leaves_no_trace(tmp_path: Path, runner: str) -> None:
    source = documents(tmp_path / "in", 3000, 6)
    begun = time.monotonic()
    finish(source, tmp_path / "whole", runner)
    seconds = time.monotonic() - begun
    expected = dataset(tmp_path / "whole")
    assert sum(len(rows) for name, rows in expected.items() if name.startswith("dedup/removed")) > 1000
    dice, killed, ended, output = random.Random(SEED), 0, 0, tmp_path / "killed"
    while killed < KILLS:
        if is_done(output):  # it went on to its end: kills are to meet runs in the middle
            assert dataset(output) == expected
            output.rename(tmp_path / f"done-{ended}")
            ended += 1
        before = written(output / "dedup/step.json")
        process = subprocess.Popen(
            command(source, output, runner),
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        begun = time.monotonic()
        try:
            if killed % 2 == 0:  # half of the kills fall anywhere, half into the barrier, which is short
                while process.poll() is None and written(output / "dedup/step.json") == before:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(timeout=0.002)
            process.wait(timeout=dice.uniform(0.0, 1.0) * seconds * (0.1 if killed % 2 == 0 else 1.0))
            seconds = min(seconds, time.monotonic() - begun)  # the first run on a machine compiles
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
    finish(source, output, runner)
    assert dataset(output) == expected
    assert not list(output.rglob(".*.writing-*"))
    assert [f.name for f in (output / "dedup/shuffle").iterdir() if f.is_dir()] == ["verdicts"]


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(240)
def test_worker_killed_in_each_phase_leaves_no_trace(tmp_path: Path) -> None:
    """One worker a phase: as soon as something of the phase is there, or is being written."""
    source = documents(tmp_path / "in", 3000, 12)
    finish(source, tmp_path / "whole", "local")
    output = tmp_path / "killed"
    process = subprocess.Popen(
        command(source, output, "ray"),
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    driver, met = psutil.Process(process.pid), set()
    while process.poll() is None:
        for phase in PHASES:
            if phase not in met and any((output / "dedup/shuffle" / phase).glob("*")):
                working = workers_of(driver)
                if working:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        working[0].kill()
                        met.add(phase)
        try:
            process.wait(timeout=0.005)
        except subprocess.TimeoutExpired:
            continue
    assert process.stderr is not None
    log = process.stderr.read()
    process.stderr.close()
    assert process.returncode == 0, log
    assert len(met) >= 3, met
    assert dataset(output) == dataset(tmp_path / "whole")
