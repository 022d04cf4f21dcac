"""What every runner must do, on literals. The local runner defines it; Ray must make the same."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cluster.errors import DeadRowsError, RunError
from cluster.local import LocalRunner
from cluster.plan import make_plan
from cluster.recipe import Recipe, Step
from cluster.run import Options, Runner, run
from cluster.shards import list_inputs
from tests.fakes import CrashOn, DropWith, FailRow, Loses, OnGpu, ReadLines, Twice, Upper


def make_runner(name: str) -> Runner:
    if name == "local":
        return LocalRunner()
    from cluster.stream import RayRunner

    return RayRunner(workers=2)


def go(tmp_path: Path, runner_name: str, files: dict[str, str], *stages: Any, **options: Any) -> dict[str, Any]:
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    recipe = Recipe("lines", (Step("only", ReadLines(), stages),))
    plan = make_plan(recipe, list_inputs([str(folder)]))
    return run(plan, str(tmp_path / "out"), make_runner(runner_name), Options(**{"quiet": True, **options}))


def texts(tmp_path: Path, part: str = "data") -> list[str]:
    folder = tmp_path / "out" / "only" / part
    return [t for f in sorted(folder.glob("*.parquet")) for t in pq.read_table(f).column("text").to_pylist()]


def test_rows_pass_stages_in_order(tmp_path: Path, runner_name: str) -> None:
    result = go(tmp_path, runner_name, {"a.txt": "one\ntwo\n"}, Upper())
    assert texts(tmp_path) == ["ONE", "TWO"]
    assert result["status"] == "done"
    step = {k: v for k, v in result["steps"][0].items() if "seconds" not in k}
    assert step == {
        "name": "only", "shards": 1, "rows_in": 2, "emitted": 0, "out": 2, "dropped": {}, "dead": 0, "unreadable": 0,
    }  # fmt: skip


def test_dropped_rows_go_to_removed_with_their_reason(tmp_path: Path, runner_name: str) -> None:
    result = go(tmp_path, runner_name, {"a.txt": "keep\nspam here\n!drop\n"}, DropWith("spam"), Upper())
    assert texts(tmp_path) == ["KEEP"]
    assert result["steps"][0]["dropped"] == {"DropWith.spam": 1, "ReadLines.rejected": 1}
    removed = pq.read_table(next((tmp_path / "out/only/removed").iterdir())).to_pylist()
    assert [(r["text"], r["drop_stage"], r["drop_reason"]) for r in removed] == [
        ("!drop", "ReadLines", "rejected"),
        ("spam here", "DropWith", "spam"),
    ]


def test_removed_text_can_be_left_out(tmp_path: Path, runner_name: str) -> None:
    go(tmp_path, runner_name, {"a.txt": "spam\n"}, DropWith("spam"), removed_text=False)
    removed = pq.read_table(next((tmp_path / "out/only/removed").iterdir()))
    assert "text" not in removed.column_names
    assert removed.column("drop_reason").to_pylist() == ["spam"]


def test_unreadable_pieces_are_counted(tmp_path: Path, runner_name: str) -> None:
    result = go(tmp_path, runner_name, {"a.txt": "x\n!bad\ny\n", "b.txt": "!bad\n"}, Upper())
    assert (result["steps"][0]["rows_in"], result["steps"][0]["unreadable"]) == (2, 2)


def test_poisoned_row_dies_alone(tmp_path: Path, runner_name: str) -> None:
    files = {"a.txt": "a\nb\nbad\nc\nd\ne\nf\ng\nh\n"}
    result = go(tmp_path, runner_name, files, CrashOn("bad"), Upper(), max_dead=0.2)
    assert texts(tmp_path) == list("ABCDEFGH")
    assert result["steps"][0]["dead"] == 1
    (dead,) = pq.read_table(next((tmp_path / "out/only/dead").iterdir())).to_pylist()
    assert (dead["text"], dead["stage"]) == ("bad", "CrashOn")
    assert dead["error"] == "ValueError: cannot take 'bad'"
    assert "raise ValueError" in dead["traceback"]


def test_row_that_a_stage_gives_up_is_dead(tmp_path: Path, runner_name: str) -> None:
    result = go(tmp_path, runner_name, {"a.txt": "a\nbad\n"}, FailRow("bad"), max_dead=0.5)
    assert result["steps"][0]["dead"] == 1
    (dead,) = pq.read_table(next((tmp_path / "out/only/dead").iterdir())).to_pylist()
    assert (dead["text"], dead["stage"], dead["error"]) == ("bad", "FailRow", "KeyError: missing")


def test_too_many_dead_rows_fail_the_run_with_their_histogram(tmp_path: Path, runner_name: str) -> None:
    with pytest.raises(DeadRowsError, match=r"1 of 2 rows died(.|\n)*1  CrashOn: ValueError"):
        go(tmp_path, runner_name, {"a.txt": "a\nbad\n"}, CrashOn("bad"))
    assert '"status": "failed"' in (tmp_path / "out" / "run.json").read_text()


def test_rows_that_are_made_are_counted(tmp_path: Path, runner_name: str) -> None:
    result = go(tmp_path, runner_name, {"a.txt": "a\nb\n"}, Twice(), Upper())
    assert texts(tmp_path) == ["A", "B", "A", "B"]
    assert (result["steps"][0]["emitted"], result["steps"][0]["out"]) == (2, 4)


def test_second_run_does_nothing_and_says_the_same(tmp_path: Path, runner_name: str) -> None:
    first = go(tmp_path, runner_name, {"a.txt": "a\n", "b.txt": "b\n"}, Upper())
    written = {f: f.stat().st_mtime_ns for f in (tmp_path / "out/only/data").iterdir()}
    second = go(tmp_path, runner_name, {}, Upper())
    assert {f: f.stat().st_mtime_ns for f in (tmp_path / "out/only/data").iterdir()} == written
    assert second["steps"][0]["out"] == first["steps"][0]["out"] == 2


def test_shard_without_manifest_is_done_again_and_leaves_nothing_stale(tmp_path: Path, runner_name: str) -> None:
    go(tmp_path, runner_name, {"a.txt": "a\n", "b.txt": "b\n"}, Upper())
    manifest = sorted((tmp_path / "out/only/manifests").iterdir())[0]
    shard = manifest.stem
    manifest.unlink()
    stale = tmp_path / f"out/only/dead/{shard}.parquet"
    stale.parent.mkdir()
    stale.write_bytes(b"left by an attempt that was killed")
    go(tmp_path, runner_name, {}, Upper())
    assert texts(tmp_path) == ["A", "B"]
    assert manifest.exists()
    assert not stale.exists()


def test_broken_contract_fails_the_run(tmp_path: Path, runner_name: str) -> None:
    with pytest.raises(RunError, match=r"Loses broke its contract: it returned other rows \(or|than"):
        go(tmp_path, runner_name, {"a.txt": "a\nb\n"}, Loses())


def test_gpu_stage_behind_cpu_stages(tmp_path: Path, runner_name: str) -> None:
    files = {"a.txt": "".join(f"a{i}\n" for i in range(20)), "b.txt": "b\nspam\n!bad\n"}
    result = go(tmp_path, runner_name, files, Upper(), DropWith("SPAM"), OnGpu("!"), Upper())
    assert texts(tmp_path) == [f"A{i}!" for i in range(20)] + ["B!"]
    assert result["steps"][0]["dropped"] == {"DropWith.SPAM": 1}
    assert result["steps"][0]["unreadable"] == 1
