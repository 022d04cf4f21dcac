"""How far a run is, from what it has committed and what its driver last said."""

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ConfigError
from cluster.storage import Folder
from pipelines import status as module
from pipelines.status import as_text, status, steps_in_order
from tests.fakes import CrashOn, DropWith
from tests.runs import plan_over, run_local, two_steps, write


@pytest.fixture
def out(tmp_path: Path) -> Path:
    recipe = two_steps(DropWith("spam"), CrashOn("bad"))
    files = {"a.txt": "a\nspam\n!bad\n", "b.txt": "a\nbad\n"}
    run_local(plan_over(recipe, write(tmp_path / "in", files)), tmp_path / "out", max_dead=1.0)
    return tmp_path / "out"


def going(out: Path, seconds_ago: float, **values: Any) -> None:
    """As if the run had not ended and its driver had spoken `seconds_ago`."""
    (out / "run.json").unlink(missing_ok=True)
    last = json.loads((out / "status.json").read_text())
    last.update({"running": ["b-1"], "done": 1, "eta_seconds": 75, "retries": 2, **values})
    last["at"] = module.time.time() - seconds_ago
    (out / "status.json").write_text(json.dumps(last))


def test_finished_run_is_done_with_its_account(out: Path) -> None:
    found = status(str(out))
    assert found["state"] == "done"
    assert found["steps"] == [
        {"name": "filter", "shards_done": 2, "rows_in": 4, "emitted": 0, "out": 2, "dropped": {"DropWith.spam": 1},
         "dead": 1, "unreadable": 1},
        {"name": "dedup", "shards_done": 2, "rows_in": 2, "emitted": 0, "out": 1,
         "dropped": {"DropDuplicates.duplicate": 1}, "dead": 0, "unreadable": 0},
    ]  # fmt: skip
    assert found["run"]["status"] == "done"


def test_run_is_going_on_while_its_driver_speaks(out: Path) -> None:
    going(out, 5)
    assert status(str(out))["state"] == "running"
    going(out, 120)
    assert status(str(out))["state"] == "stopped"
    (out / "status.json").unlink()
    assert status(str(out))["state"] == "stopped"


def test_a_run_at_a_barrier_says_so(out: Path) -> None:
    going(out, 5, running=[], barrier={"phase": "rows", "tasks": 64, "done": 12})
    found = status(str(out))
    assert found["state"] == "running"
    assert "  dedup: before its shards, rows: 12 of 64 tasks" in as_text(found).splitlines()


def test_failed_run_is_failed(out: Path) -> None:
    result = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({**result, "status": "failed"}))
    assert status(str(out))["state"] == "failed"


def test_only_what_is_committed_is_done(out: Path) -> None:
    next((out / "filter/manifests").iterdir()).unlink()
    assert status(str(out))["steps"][0]["shards_done"] == 1


def test_lines_for_a_person(out: Path) -> None:
    lines = as_text(status(str(out))).splitlines()
    assert lines == [
        f"{out}: done",
        "  filter: 2 shards done, 4 in, 2 kept, 1 dropped, 1 dead, 1 unreadable",
        "  dedup: 2 shards done, 2 in, 1 kept, 1 dropped, 0 dead, 0 unreadable",
    ]


def test_lines_of_a_run_that_is_going_on_tell_what_is_in_work(out: Path) -> None:
    going(out, 5)
    lines = as_text(status(str(out))).splitlines()
    assert lines[0] == f"{out}: running"
    assert lines[3].startswith("  dedup: shards 1/2 (1 running), ")
    assert lines[3].endswith("1m15s left")
    assert lines[4:] == ["    in work: b-1", "  as of 5s ago, 2 retries"]


def test_steps_stand_in_the_order_they_run(tmp_path: Path) -> None:
    for name, upstream in (("a", "c"), ("b", None), ("c", "b"), ("d", "gone"), ("x", "y"), ("y", "x")):
        write(tmp_path, {f"{name}/step.json": json.dumps({"upstream": upstream})})
    write(tmp_path, {"other/file": ""})
    order = steps_in_order(Folder(str(tmp_path)))
    assert sorted(order) == ["a", "b", "c", "d", "x", "y"]
    assert order.index("b") < order.index("c") < order.index("a")


def test_output_is_one_however_it_is_spelt(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(out.parent)
    found = [status(spelling) for spelling in ("out", "out/", f"file://{out}")]
    assert {json.dumps(f["steps"]) for f in found} == {json.dumps(found[0]["steps"])}


def test_output_without_a_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run of headrace is there"):
        status(str(tmp_path))


@pytest.mark.parametrize(
    ("data", "message"), [("{", "run.json: no JSON: "), ("null", "run.json: expected an object, found None")]
)
def test_file_that_is_damaged_is_named(out: Path, data: str, message: str) -> None:
    (out / "run.json").write_text(data)
    with pytest.raises(ConfigError, match=message):
        status(str(out))
