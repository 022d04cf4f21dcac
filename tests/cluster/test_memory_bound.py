"""--memory bounds what a process of a dedup takes, however much of the data is the same."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.exchange import spill
from cluster.exchange.spill import read_facts, read_partition, read_rows, runs, write_partitions
from cluster.shards import InputFile, Shard
from cluster.storage import Folder
from stages.stage import Piece

ROOT = Path(__file__).resolve().parents[2]
# Threads have arenas of their own: what is measured is not to grow with the machine's cores.
FEW_THREADS = {"POLARS_MAX_THREADS": "2", "OMP_NUM_THREADS": "2", "MALLOC_ARENA_MAX": "2"}
MEASURED = """
import json, sys
from cluster.local import LocalRunner
from cluster.run import Options, run
from pipelines.recipes import find_recipe
from tests.runs import plan_over

peaks = {}

class Watched(LocalRunner):
    def _run_task(self, planned, target, task):
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak begins anew
        super()._run_task(planned, target, task)
        with open("/proc/self/status") as file:
            peak = next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))
        phase = task.name.split("/")[1]
        peaks[phase] = max(peaks.get(phase, 0), peak)

source, output, memory = sys.argv[1], sys.argv[2], int(sys.argv[3])
run(plan_over(find_recipe("dedup"), source), output, Watched(), Options(memory=memory, quiet=True))
print(json.dumps(peaks))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_tasks_of_a_dedup_stay_below_memory(tmp_path: Path) -> None:
    """40,000 documents of 3 kB, a hundred of each: 120 MB of text, of which the files say a fiftieth."""
    dice = random.Random(0)
    words = ["".join(dice.choices("abcdefghijklmnop", k=5)) for _ in range(5000)]
    topics = [" ".join(dice.choices(words, k=500)) for _ in range(400)]
    (tmp_path / "in").mkdir()
    for f in range(4):
        rows = range(f, 40_000, 4)
        texts = pa.array([topics[i % 400] for i in rows], pa.large_string())
        pq.write_table(pa.table({"id": [f"{i:06d}" for i in rows], "text": texts}), tmp_path / f"in/{f}.parquet")
    memory = 800 << 20
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path / "in"), str(tmp_path / "out"), str(memory)],
        check=True, cwd=ROOT, env={**os.environ, **FEW_THREADS}, capture_output=True, text=True,
    )  # fmt: skip
    peaks = json.loads(done.stdout)
    assert set(peaks) >= {"links", "edges-00", "edges-01", "labels", "rows", "verdicts"}
    assert max(peaks.values()) <= memory, peaks
    plan = json.loads((tmp_path / "out/dedup/shuffle/plan.json").read_text())
    assert plan["partitions"] > 2
    assert plan["largest_component"] == 100
    assert sum(pq.read_metadata(f).num_rows for f in (tmp_path / "out/dedup/data").iterdir()) == 400


def test_a_row_group_is_read_in_tables_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "READ_BYTES", 10_000)
    texts = pa.array(["x" * 100] * 2000, pa.large_string())  # one text in the file, 200 kB in memory
    pq.write_table(pa.table({"text": texts, "n": range(2000)}), tmp_path / "a.parquet")
    uri = str(tmp_path / "a.parquet")
    tables = list(read_rows(Shard("a", Piece(uri), InputFile(uri, 1, "")), ["text"]))
    assert max(table.nbytes for table in tables) < 30_000
    assert [row for table in tables for row in table["row"].to_pylist()] == list(range(2000))


def test_partitions_are_whole_over_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "RUN_BYTES", 40)
    folder = Folder(str(tmp_path))
    tables = [pa.table({"n": range(begin, begin + 3)}) for begin in range(0, 12, 3)]
    assert [table["n"].to_pylist() for table in runs(iter(tables))] == [list(range(6)), list(range(6, 12))]
    write_partitions(folder, "a.parquet", tables, lambda table: table["n"].to_numpy() % 3, 3, settled=True)
    found = [next(read_partition(folder, ["a.parquet"], p, 3))["n"].to_pylist() for p in range(3)]
    assert found == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]
    assert read_facts(folder, "a.parquet") == {"settled": True, "rows": 12, "bytes": 96}


def test_no_rows_are_one_run_of_empty_partitions(tmp_path: Path) -> None:
    folder, empty = Folder(str(tmp_path)), pa.table({"n": pa.array([], pa.int64())})
    assert [table.num_rows for table in runs([empty, empty])] == [0]
    write_partitions(folder, "a.parquet", [empty], lambda table: table["n"].to_numpy(), 3)
    assert [table.num_rows for p in range(3) for table in read_partition(folder, ["a.parquet"], p, 3)] == [0, 0, 0]
