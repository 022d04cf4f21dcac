"""kill -9 of the driver at random moments, then the same command again: the dataset is that of an undisturbed run.

A few kills by default; HEADRACE_KILLS=20 for as many as one likes, HEADRACE_SEED to repeat them, HEADRACE_INPUT to run
the whole web recipe over an archive instead of the sample.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

LONG = pytest.mark.skipif("HEADRACE_FAULTS" not in os.environ, reason="the long form: make faults")
ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("HEADRACE_KILLS", "2"))
SEED = int(os.environ.get("HEADRACE_SEED", "7"))
INPUT = os.environ.get("HEADRACE_INPUT", str(ROOT / "tests" / "data" / "sample.warc.gz"))
PARTS = [f"{step}/{part}" for step in ("filter", "dedup") for part in ("data", "removed", "dead")]


def command(output: Path, runner: str) -> list[str]:
    # Small pieces, so that there are shards to be in the middle of.
    piece = max(Path(INPUT).stat().st_size // 12, 10_000)
    return [
        sys.executable, "-m", "pipelines", "run", "web", "--input", INPUT, "--output", str(output), "--runner", runner,
        "--workers", "2", "--max-dead", "0.01", "--set", f"ReadWarc.piece_bytes={piece}",
        "--set", "ExtractText.engine=resiliparse",
    ]  # fmt: skip


def dataset(output: Path) -> dict[str, pa.Table]:
    """Every file that the steps have written, by name."""
    return {str(f.relative_to(output)): pq.read_table(f) for p in PARTS for f in sorted((output / p).glob("*.parquet"))}


def is_done(output: Path) -> bool:
    """Whether a run over it has come to its end; one that failed has totals, too."""
    totals = output / "run.json"
    return totals.exists() and json.loads(totals.read_bytes())["status"] == "done"


def committed(output: Path) -> dict[str, int]:
    return {str(m): m.stat().st_mtime_ns for m in output.glob("*/manifests/*.json")}


@pytest.mark.slow
@pytest.mark.timeout(120 + 120 * KILLS)
@pytest.mark.parametrize("runner", [pytest.param("local", marks=LONG), pytest.param("ray", marks=pytest.mark.ray)])
def test_killed_driver_loses_and_repeats_nothing(tmp_path: Path, runner: str) -> None:
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    first, undisturbed = tmp_path / "first", tmp_path / "undisturbed"
    for output, by in ((first, "local"), (undisturbed, runner)):  # the first on a machine compiles, the second is timed
        begun = time.monotonic()
        subprocess.run(command(output, by), check=True, cwd=ROOT, env=environment, capture_output=True)
    seconds = time.monotonic() - begun
    expected = dataset(undisturbed)
    assert dataset(first) == expected
    assert sum(t.num_rows for name, t in expected.items() if name.startswith("dedup/data")) > 0
    dice = random.Random(SEED)
    killed = ended = 0
    output = tmp_path / "killed"
    while killed < KILLS:
        # A run that went on to its end is begun afresh, so that every kill meets a run in the middle.
        if is_done(output):
            assert dataset(output) == expected
            output.rename(tmp_path / f"done-{ended}")
            ended += 1
        before = committed(output)
        process = subprocess.Popen(
            command(output, runner), cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        begun = time.monotonic()
        try:
            process.wait(timeout=dice.uniform(0.2, 1.0) * seconds)
            seconds = min(seconds, time.monotonic() - begun)  # the machine has less to do than before
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        after = committed(output)
        assert {name: after[name] for name in before} == before, "a committed shard was done again"
    last = subprocess.run(command(output, runner), check=False, cwd=ROOT, env=environment, capture_output=True)
    assert last.returncode == 0, last.stderr.decode()
    assert dataset(output) == expected
    assert not list(output.rglob(".*.writing-*"))
