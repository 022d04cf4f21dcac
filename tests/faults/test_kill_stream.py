"""kill -9 of a worker and then of the driver of `dedup-stream` on Ray: what was decided stays, and leads to a row."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.faults.test_kill_driver import ROOT, committed
from tests.faults.test_kill_worker import workers_of
from tests.pipelines.test_dedup_stream import assert_deduplicated, page

LONG = pytest.mark.skipif("HEADRACE_FAULTS" not in os.environ, reason="the long form: make faults")
FILES, ROWS = 24, 600  # a file takes a worker a while, in tables of about 20 rows


def write_pages(folder: Path) -> None:
    """Every page is in three files, with another word changed in each, and again in the file itself."""
    folder.mkdir()
    for n in range(FILES):
        numbers = [(n // 3 * ROWS // 2 + i // 2) % 400 for i in range(ROWS)]
        texts = [page(number, (n * 7 + i) % 60) for i, number in enumerate(numbers)]
        table = pa.table({"id": [f"{n:02}-{i:03}" for i in range(ROWS)], "text": texts})
        pq.write_table(table, folder / f"{n:02}.parquet")


def wait_for(output: Path, shards: int, process: subprocess.Popen[str]) -> None:
    while len(committed(output)) < shards:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)  # no event tells of a file of another process


@LONG
@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(400)
def test_killed_worker_and_killed_driver_leave_a_consistent_dataset(tmp_path: Path) -> None:
    write_pages(tmp_path / "in")
    output = tmp_path / "out"
    command = [
        sys.executable, "-m", "pipelines", "run", "dedup-stream", "--input", str(tmp_path / "in"), "--output",
        str(output), "--runner", "ray", "--workers", "2", "--set", "ReadParquet.table_bytes=10000",
        "--set", "DropSeen.shards=2",
    ]  # fmt: skip
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )
    wait_for(output, 2, process)
    workers_of(psutil.Process(process.pid))[0].kill()
    wait_for(output, 5, process)
    process.kill()
    process.wait()
    left = committed(output)
    assert 5 <= len(left) < FILES
    last = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert last.returncode == 0, last.stderr
    assert {name: committed(output)[name] for name in left} == left, "a committed shard was done again"
    assert_deduplicated(output, FILES * ROWS)
