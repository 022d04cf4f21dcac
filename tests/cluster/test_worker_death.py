"""Workers that die, on Ray: a row that takes the process with it is named; any other death leaves no trace."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cluster.test_conformance import go, texts
from tests.fakes import CrashOn, OnGpu, SignalOn, Upper

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]
LINES = "".join(f"line {i}\n" for i in range(6)) + "bad\n" + "".join(f"line {i}\n" for i in range(6, 12))
KEPT = [f"LINE {i}" for i in range(12)]


def test_row_that_kills_its_worker_dies_alone(tmp_path: Path) -> None:
    files = {"a.txt": LINES, "b.txt": "other\n"}
    result = go(tmp_path, "ray", files, CrashOn("bad", hard=True), Upper(), max_dead=0.2)
    assert texts(tmp_path) == [*KEPT, "OTHER"]
    assert result["steps"][0]["dead"] == 1
    (dead,) = pq.read_table(next((tmp_path / "out/only/dead").iterdir())).to_pylist()
    assert (dead["text"], dead["stage"]) == ("bad", "CrashOn")
    assert dead["error"].startswith("worker died: ")


@pytest.mark.parametrize("behind", [(), (OnGpu(""),)])
def test_row_that_segfaults_costs_one_worker(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], behind: tuple[OnGpu, ...]
) -> None:
    """The next one has a process of its own try the tables, which finds the row; none dies of it any more."""
    files = {"a.txt": LINES, "b.txt": "other\n"}
    stages = (SignalOn("bad"), Upper(), *behind)
    result = go(tmp_path, "ray", files, *stages, max_dead=0.2)
    assert texts(tmp_path) == [*KEPT, "OTHER"]
    assert result["steps"][0]["dead"] == 1
    (dead,) = pq.read_table(next((tmp_path / "out/only/dead").iterdir())).to_pylist()
    assert (dead["text"], dead["stage"]) == ("bad", "SignalOn")
    assert dead["error"] == "worker died: its process died of signal 11 (Segmentation fault)"
    assert capfd.readouterr().err.count("is tried again: worker died") == 1


def test_worker_that_dies_once_leaves_no_trace(tmp_path: Path) -> None:
    once = str(tmp_path / "died")
    result = go(tmp_path, "ray", {"a.txt": LINES}, CrashOn("bad", hard=True, once=once), Upper())
    assert texts(tmp_path) == [*KEPT[:6], "BAD", *KEPT[6:]]
    assert result["steps"][0]["dead"] == 0


def test_row_that_kills_its_gpu_worker_dies_alone(tmp_path: Path) -> None:
    files = {"a.txt": LINES, "b.txt": "other\n"}
    result = go(tmp_path, "ray", files, Upper(), OnGpu("!"), CrashOn("BAD", hard=True), max_dead=0.2)
    assert texts(tmp_path) == [*(f"{text}!" for text in KEPT), "OTHER!"]
    assert result["steps"][0]["dead"] == 1


def test_gpu_worker_that_dies_once_leaves_no_trace(tmp_path: Path) -> None:
    once = str(tmp_path / "died")
    files = {"a.txt": LINES}
    result = go(tmp_path, "ray", files, Upper(), OnGpu(""), CrashOn("BAD", hard=True, once=once))
    assert texts(tmp_path) == [*KEPT[:6], "BAD", *KEPT[6:]]
    assert result["steps"][0]["dead"] == 0
