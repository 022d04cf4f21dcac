"""Dead rows once more: the account stays closed, however often, and later steps get the rows."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from cluster.errors import ConfigError
from cluster.lease import NAME, held
from cluster.objects.conditional import slot
from cluster.plan import Plan
from cluster.storage import Folder
from pipelines.cli import main
from pipelines.explain import explain
from pipelines.replay import _next_name, as_text, replay
from pipelines.status import status
from schemas import columns as c
from stages.stage import Resources, Rows, Transform
from tests.fakes import CrashOn, DropWith, Twice, Upper
from tests.runs import DieUntil, account, one_step, plan_over, rows, run_local, texts, two_steps, write

FILES = {"a.txt": "one\nbad one\nbad spam\n", "b.txt": "two\nbad two\nbad one\n", "c.txt": "three\n"}


class Case:
    """An output with dead rows, and what would fix them."""

    def __init__(self, folder: Path) -> None:
        self.fixed, self.out = folder / "fixed", folder / "out"
        stages = (Upper(), DieUntil("BAD", str(self.fixed)), DropWith("SPAM"))
        self.plan: Plan = plan_over(two_steps(*stages), write(folder / "in", FILES))
        run_local(self.plan, self.out, max_dead=1.0)

    def replay(self) -> list[dict[str, Any]]:
        return list(replay(str(self.out))["steps"])

    def run(self) -> list[dict[str, Any]]:
        return account(run_local(self.plan, self.out))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


@pytest.mark.parametrize("name", ["run.json", "filter/step.json"])
def test_file_that_is_damaged_is_named_and_nothing_is_done(case: Case, name: str) -> None:
    before = sorted(path for path in case.out.rglob("*") if path.is_file())
    (case.out / name).write_text('{"steps": [')
    with pytest.raises(ConfigError, match=f"{name}: no JSON: "):
        case.replay()
    assert sorted(path for path in case.out.rglob("*") if path.is_file()) == before


def test_rows_are_replayed_from_the_stage_they_died_in(case: Case) -> None:
    case.fixed.touch()
    (first,) = case.replay()
    assert first == {"step": "filter", "dead_before": 4, "kept": 3, "dropped": 1, "dead": 0}
    assert sorted(texts(case.out / "filter/data")) == ["BAD ONE", "BAD ONE", "BAD TWO", "ONE", "THREE", "TWO"]
    assert texts(case.out / "filter/removed") == ["BAD SPAM"]
    assert texts(case.out / "filter/dead") == []


def test_replay_and_run_make_what_a_run_without_the_fault_makes(case: Case, tmp_path: Path) -> None:
    case.fixed.touch()
    found = replay(str(case.out))
    assert found["to_run_again"] == ["dedup"]
    assert not (case.out / "run.json").exists()
    again = case.run()
    undisturbed = account(run_local(case.plan, tmp_path / "whole"))
    assert [{**step, "shards": 0} for step in again] == [{**step, "shards": 0} for step in undisturbed]
    for part in ("filter/data", "filter/removed", "dedup/data", "dedup/removed"):
        key = str
        assert sorted(rows(case.out / part), key=key) == sorted(rows(tmp_path / "whole" / part), key=key)


def test_rows_that_die_again_stay_dead_with_one_try_more(case: Case) -> None:
    before = {row["id"]: row for row in rows(case.out / "filter/dead")}
    for attempt in (2, 3):
        first, second = case.replay()
        assert first == {"step": "filter", "dead_before": 4, "kept": 0, "dropped": 0, "dead": 4}
        assert second["dead_before"] == 0
        dead = {row["id"]: row for row in rows(case.out / "filter/dead")}
        assert {row["attempt"] for row in dead.values()} == {attempt}
        assert {i: row["text"] for i, row in dead.items()} == {i: row["text"] for i, row in before.items()}


def test_replay_that_changes_nothing_leaves_later_steps_and_totals(case: Case) -> None:
    before = json.loads((case.out / "run.json").read_text())
    written = {m: m.stat().st_mtime_ns for m in (case.out / "dedup/manifests").iterdir()}
    assert replay(str(case.out))["to_run_again"] == []
    after = json.loads((case.out / "run.json").read_text())
    assert [{**s, "shards": 0, "cpu_seconds": 0} for s in after["steps"]] == [
        {**s, "shards": 0, "cpu_seconds": 0} for s in before["steps"]
    ]
    assert (after["status"], after["recipe"], after["final"]) == ("done", "twice", "dedup")
    run_local(case.plan, case.out, max_dead=1.0)
    assert {m: m.stat().st_mtime_ns for m in written} == written


def test_rows_that_died_twice_can_still_be_fixed(case: Case) -> None:
    case.replay()
    case.replay()
    case.fixed.touch()
    assert case.replay()[0]["kept"] == 3
    assert [(s["rows_in"], s["out"], s["dead"]) for s in case.run()] == [(7, 6, 0), (6, 5, 0)]


def test_fix_of_some_rows_leaves_the_others(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    stages = (DieUntil("bad", str(one)), DieUntil("worse", str(two)))
    write(tmp_path / "in", {"a.txt": "bad\nworse\nbad worse\nok\n"})
    run_local(plan_over(one_step(*stages), tmp_path / "in"), tmp_path / "out", max_dead=1.0)
    one.touch()
    (first,) = replay(str(tmp_path / "out"))["steps"]
    assert first == {"step": "only", "dead_before": 3, "kept": 1, "dropped": 0, "dead": 2}
    two.touch()
    (second,) = replay(str(tmp_path / "out"))["steps"]
    assert (second["dead_before"], second["kept"], second["dead"]) == (2, 2, 0)
    assert sorted(texts(tmp_path / "out/only/data")) == ["bad", "bad worse", "ok", "worse"]


def test_replayed_rows_are_counted_when_they_are_made_more(tmp_path: Path) -> None:
    fixed = tmp_path / "fixed"
    plan = plan_over(one_step(DieUntil("bad", str(fixed)), Twice()), write(tmp_path / "in", {"a.txt": "a\nbad\n"}))
    run_local(plan, tmp_path / "out", max_dead=1.0)
    fixed.touch()
    replay(str(tmp_path / "out"))
    (step,) = account(run_local(plan, tmp_path / "out"))
    assert (step["rows_in"], step["emitted"], step["out"], step["dead"]) == (2, 2, 4, 0)


def test_rows_that_died_in_a_later_step_are_replayed_there(tmp_path: Path) -> None:
    from dataclasses import replace

    fixed = tmp_path / "fixed"
    recipe = two_steps()
    later = replace(recipe.steps[1], stages=(*recipe.steps[1].stages, DieUntil("bad", str(fixed))))
    recipe = replace(recipe, steps=(recipe.steps[0], later))
    plan = plan_over(recipe, write(tmp_path / "in", {"a.txt": "bad\na\nbad\n"}))
    run_local(plan, tmp_path / "out", max_dead=1.0)
    fixed.touch()
    first, second = replay(str(tmp_path / "out"))["steps"]
    assert (first["dead_before"], second["dead_before"], second["kept"]) == (0, 1, 1)
    kept = {row["text"]: row["cluster_size"] for row in rows(tmp_path / "out/dedup/data")}
    assert kept == {"bad": 2, "a": 1}
    assert json.loads((tmp_path / "out/run.json").read_text())["steps"][1]["dead"] == 0


def test_replayed_rows_are_explained_where_they_are_now(case: Case) -> None:
    (id_, _) = (row["id"] for row in rows(case.out / "filter/dead") if row["text"] == "BAD ONE")
    assert explain(str(case.out), id_)["steps"][0]["outcome"] == "died in DieUntil"
    case.replay()
    assert explain(str(case.out), id_)["steps"][0]["columns"]["attempt"] == 2
    case.fixed.touch()
    case.replay()
    assert explain(str(case.out), id_)["steps"][0]["outcome"] == "kept"


def test_status_counts_replayed_rows_once(case: Case) -> None:
    case.fixed.touch()
    case.replay()
    (step,) = status(str(case.out))["steps"]
    assert (step["rows_in"], step["out"], step["dead"], step["dropped"]) == (7, 6, 0, {"DropWith.SPAM": 1})


def test_schema_of_replayed_files_is_that_of_the_others(case: Case) -> None:
    import pyarrow.parquet as pq

    case.fixed.touch()
    case.replay()
    for part in ("data", "removed"):
        assert len({str(pq.read_schema(f).remove_metadata()) for f in (case.out / "filter" / part).iterdir()}) == 1


def test_run_that_failed_by_its_dead_rows_goes_on_after_a_replay(tmp_path: Path) -> None:
    from cluster.errors import DeadRowsError

    fixed = tmp_path / "fixed"
    plan = plan_over(two_steps(DieUntil("bad", str(fixed))), write(tmp_path / "in", FILES))
    with pytest.raises(DeadRowsError):
        run_local(plan, tmp_path / "out")
    fixed.touch()
    assert replay(f"{tmp_path}/out/")["to_run_again"] == []
    result = run_local(plan, tmp_path / "out")
    assert (result["status"], [s["out"] for s in result["steps"]]) == ("done", [7, 6])


def test_text_that_a_run_left_out_is_left_out_by_its_replay(tmp_path: Path) -> None:
    fixed = tmp_path / "fixed"
    recipe = one_step(DieUntil("bad", str(fixed)), DropWith("spam"))
    plan = plan_over(recipe, write(tmp_path / "in", {"a.txt": "a\nbad spam\n"}))
    run_local(plan, tmp_path / "out", max_dead=1.0, removed_text=False)
    fixed.touch()
    replay(str(tmp_path / "out"))
    (removed,) = rows(tmp_path / "out/only/removed")
    assert (removed["drop_reason"], "text" in removed) == ("spam", False)


def test_replay_without_dead_rows_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not even make the stages, which may read gigabytes for their identity."""
    monkeypatch.setattr("pipelines.replay.restore", None)
    run_local(plan_over(two_steps(), write(tmp_path / "in", FILES)), tmp_path / "out")
    before = {str(f): f.read_bytes() for f in (tmp_path / "out").rglob("*.parquet")}
    totals = (tmp_path / "out/run.json").read_bytes()
    found = replay(str(tmp_path / "out"))
    assert [s["dead_before"] for s in found["steps"]] == [0, 0]
    assert (tmp_path / "out/run.json").read_bytes() == totals
    assert {str(f): f.read_bytes() for f in (tmp_path / "out").rglob("*.parquet")} == before


@dataclass(frozen=True)
class Overtaken:
    """Raises until the file `fixed` is there; then another run takes the output over while a row is on its way."""

    fixed: str
    output: str
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources(memory_gb=0.5)

    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            if "bad" in table.column("text").to_pylist():
                if not Path(self.fixed).exists():
                    raise ValueError("bad")
                place = slot(Folder(self.output), NAME)
                assert place.swap(place.read(), b'{"holder": "thief", "host": "den", "pid": 9, "since": "noon"}')
            return table

        return apply


class Closed:
    """A ledger that nobody asks: how often it was closed."""

    times = 0

    def close(self) -> None:
        self.times += 1


def test_replay_that_was_taken_for_dead_changes_nothing_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed, out = tmp_path / "fixed", tmp_path / "out"
    plan = plan_over(two_steps(Overtaken(str(fixed), str(out))), write(tmp_path / "in", {"a.txt": "a\nbad\nb\n"}))
    run_local(plan, out, max_dead=1.0)
    fixed.touch()
    before = {str(f): f.read_bytes() for f in out.rglob("[!.]*.*") if f.name != "run.json"}
    ledger = Closed()
    monkeypatch.setattr("pipelines.replay.open_ledger", lambda *_: ledger)
    assert main(["replay", str(out)]) == 1
    assert "this run has lost its lease on it, process 9 on den, since noon has it" in capsys.readouterr().err
    assert {str(f): f.read_bytes() for f in out.rglob("[!.]*.*")} == before
    assert ledger.times == 1


def test_an_output_that_a_run_is_writing_to_is_left_alone(tmp_path: Path) -> None:
    fixed, out = tmp_path / "fixed", tmp_path / "out"
    plan = plan_over(two_steps(DieUntil("bad", str(fixed))), write(tmp_path / "in", FILES))
    run_local(plan, out, max_dead=1.0)
    fixed.touch()
    before = {str(f): f.read_bytes() for f in out.rglob("[!.]*.*")}
    with held(Folder(str(out))), pytest.raises(ConfigError, match="another run is writing to it"):
        replay(str(out))
    assert {str(f): f.read_bytes() for f in out.rglob("[!.]*.*")} == before
    assert replay(str(out))["steps"][0]["kept"] == 4


def test_output_without_a_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run of headrace is there"):
        replay(str(tmp_path))


@pytest.fixture
def memory() -> Iterator[str]:
    yield "memory://replay-test/out"
    MemoryFileSystem.store.clear()


def test_replay_in_memory(tmp_path: Path, memory: str) -> None:
    fixed = tmp_path / "fixed"
    plan = plan_over(two_steps(DieUntil("bad", str(fixed))), write(tmp_path / "in", FILES))
    run_local(plan, memory, max_dead=1.0)
    fixed.touch()
    assert replay(memory)["steps"][0]["kept"] == 4
    assert [s["out"] for s in run_local(plan, memory)["steps"]] == [7, 6]


@pytest.mark.parametrize(
    ("shard", "name"),
    [
        ("crawl-1a2b3c4d", "crawl-1a2b3c4d-replay-1"),
        ("crawl-1a2b3c4d-replay-1", "crawl-1a2b3c4d-replay-2"),
        ("crawl-1a2b3c4d-replay-9", "crawl-1a2b3c4d-replay-10"),
        ("my-replay-talk-1a2b3c4d", "my-replay-talk-1a2b3c4d-replay-1"),
        ("my-replay-talk-1a2b3c4d-replay-1", "my-replay-talk-1a2b3c4d-replay-2"),
    ],
)
def test_names_of_replayed_shards(shard: str, name: str) -> None:
    assert _next_name(shard) == name


def test_file_called_replay_can_be_replayed(tmp_path: Path) -> None:
    plan = plan_over(one_step(CrashOn("bad")), write(tmp_path / "in", {"game-replay-x.txt": "a\nbad\n"}))
    run_local(plan, tmp_path / "out", max_dead=1.0)
    for _ in range(2):
        assert replay(str(tmp_path / "out"))["steps"][0]["dead"] == 1


def test_lines_for_a_person() -> None:
    found = {
        "steps": [{"step": "filter", "dead_before": 1200, "kept": 1000, "dropped": 150, "dead": 50}],
        "to_run_again": ["dedup", "last"],
    }
    assert as_text(found).splitlines() == [
        "filter: 1,200 dead rows replayed: 1,000 kept, 150 dropped, 50 dead again",
        "steps dedup, last had no such rows and were taken away: run the recipe again",
    ]
