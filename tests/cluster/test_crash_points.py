"""A run that is killed at its n-th change of the disk, for every n, and begun again: nothing is lost, nothing is twice.

The points are all that a run does to its output: files that appear, files and folders that go. At each the process is
gone before the change, in the middle of it, or behind it, and does nothing more, not even tidy up.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from cluster import lease, storage
from cluster.plan import Plan
from cluster.recipe import Step
from cluster.storage import Folder
from pipelines.replay import replay
from stages.read_parquet import ReadParquet
from tests.fakes import DropWith, Upper
from tests.runs import DieUntil, account, dataset, plan_over, rows, run_local, two_steps, write

FILES = {"a.txt": "one\nspam\ntwo\nbad one\n", "b.txt": "two\nbad two\nthree\none\n"}
WHEN = ("before", "during", "after")


class KilledError(BaseException):
    """The process is gone."""


class Killer:
    """Kills at point `at`, `when` before, during or after the change; counts the points where it does not."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int = -1, when: str = "") -> None:
        self.at, self.when, self.points, self.dead = at, when, 0, False
        self._replacing, self._clear, self._delete = storage._replacing, Folder.clear, Folder.delete
        patch.setattr(storage, "_replacing", self.write)
        patch.setattr(Folder, "clear", lambda folder: self.clear(folder))  # noqa: PLW0108 - a bound method gets no folder
        patch.setattr(Folder, "delete", lambda folder, *names: self.delete(folder, *names))  # noqa: PLW0108 - as above
        gone = replace(lease.this_process(), pid=1 << 30)  # or the run that is begun again would find this one alive
        patch.setattr(lease, "this_process", lambda: gone)
        patch.setattr(os, "fsync", lambda file: None)  # the process dies here, not the machine

    def here(self, when: str) -> bool:
        if self.dead:
            raise KilledError
        return self.points == self.at and self.when == when

    def die(self) -> None:
        self.dead = True
        raise KilledError

    def change(self, do: Callable[[], None], half: Callable[[], None]) -> None:
        if self.here("before"):
            self.die()
        if self.here("during"):
            half()
            self.die()
        do()
        if self.here("after"):
            self.die()
        self.points += 1

    def clear(self, folder: Folder) -> None:
        def half() -> None:
            for file in sorted(Path(folder.path("")).rglob("*.*"))[::2]:
                file.unlink()

        self.change(lambda: self._clear(folder), half)

    def delete(self, folder: Folder, *names: str) -> None:
        half = names[: len(names) // 2]
        self.change(lambda: self._delete(folder, *names), lambda: self._delete(folder, *half))

    @contextlib.contextmanager
    def write(self, path: Path, sure: Callable[[], None]) -> Iterator[BinaryIO]:
        if self.here("before"):
            self.die()
        if self.here("during"):
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / f".{path.name}.writing-1-0a1b2c3d").write_bytes(b"half")
            self.die()
        with self._replacing(path, sure) as file:
            yield file
        if self.here("after"):
            self.die()
        self.points += 1


def points_of(work: Callable[[], Any]) -> int:
    """How many points `work` has when nobody is killed."""
    with pytest.MonkeyPatch.context() as patch:
        killer = Killer(patch)
        work()
    return killer.points


def kill(work: Callable[[], Any], at: int, when: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        Killer(patch, at, when)
        with contextlib.suppress(KilledError):
            work()


def temporary(output: Path) -> list[Path]:
    return list(output.rglob(".*.writing-*"))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    stages = (DropWith("spam"), DieUntil("bad", str(tmp_path / "fixed")))
    return plan_over(two_steps(*stages), write(tmp_path / "in", FILES))


@pytest.mark.parametrize("when", WHEN)
def test_run_killed_at_any_point_goes_on_to_the_same_dataset(plan: Plan, tmp_path: Path, when: str) -> None:
    whole = run_local(plan, tmp_path / "whole", max_dead=0.5)
    expected = dataset(tmp_path / "whole")
    assert {name.rpartition("/")[0] for name in expected} >= {
        "filter/data", "filter/removed", "filter/dead", "dedup/data", "dedup/removed",
    }  # fmt: skip
    points = points_of(lambda: run_local(plan, tmp_path / "counted", max_dead=0.5))
    assert points > 25
    for at in range(points):
        output = tmp_path / str(at)
        kill(lambda: run_local(plan, output, max_dead=0.5), at, when)  # noqa: B023 - called here
        committed = {m: m.stat().st_mtime_ns for m in output.glob("*/manifests/[!.]*")}
        result = run_local(plan, output, max_dead=0.5)
        assert dataset(output) == expected, f"point {at}"
        assert account(result) == account(whole), f"point {at}"
        assert {m: m.stat().st_mtime_ns for m in committed} == committed, f"point {at}: done twice"
        assert temporary(output) == [], f"point {at}"


@pytest.mark.parametrize("when", WHEN)
def test_fresh_run_killed_at_any_point_goes_on_without_fresh(plan: Plan, tmp_path: Path, when: str) -> None:
    run_local(plan, tmp_path / "whole", max_dead=0.5)
    expected = dataset(tmp_path / "whole")

    def again(output: Path) -> Any:
        return run_local(plan, output, max_dead=0.5, fresh=True)

    shutil.copytree(tmp_path / "whole", tmp_path / "counted")
    for at in range(min(points_of(lambda: again(tmp_path / "counted")), 17)):  # beyond it is the test above
        output = tmp_path / str(at)
        shutil.copytree(tmp_path / "whole", output)
        kill(lambda: again(output), at, when)  # noqa: B023 - called here
        run_local(plan, output, max_dead=0.5)
        assert dataset(output) == expected, f"point {at}"


def everything(output: Path) -> dict[str, Any]:
    """The rows of a step by part, whatever shard they are in, without what a replay changes."""
    parts = {}
    for part in ("filter/data", "filter/removed", "filter/dead", "dedup/data", "dedup/removed"):
        found = [(row["text"], row.get("drop_reason"), row["id"]) for row in rows(output / part)]
        parts[part] = sorted(found, key=str)
    return parts


@pytest.mark.parametrize("when", WHEN)
def test_replay_killed_at_any_point_is_made_good_by_a_replay_and_a_run(plan: Plan, tmp_path: Path, when: str) -> None:
    failed, whole = tmp_path / "failed", tmp_path / "whole"
    run_local(plan, failed, max_dead=0.5)
    (tmp_path / "fixed").touch()
    run_local(plan, whole)
    expected = everything(whole)
    assert expected["filter/dead"] == []
    shutil.copytree(failed, tmp_path / "counted")
    points = points_of(lambda: replay(str(tmp_path / "counted")))
    assert points >= 7
    for at in range(points):
        output = tmp_path / str(at)
        shutil.copytree(failed, output)
        kill(lambda: replay(str(output)), at, when)  # noqa: B023 - called here
        replay(str(output))
        result = run_local(plan, output)
        assert everything(output) == expected, f"point {at}"
        assert [s["out"] for s in result["steps"]] == [7, 5], f"point {at}"
        assert result["steps"][0]["dead"] == 0


@pytest.mark.parametrize("when", WHEN)
def test_replay_killed_at_any_point_never_passes_for_done(plan: Plan, tmp_path: Path, when: str) -> None:
    """Without a second replay: what `run` makes of it is whole, with the rows that were not replayed still dead."""
    failed = tmp_path / "failed"
    run_local(plan, failed, max_dead=0.5)
    (tmp_path / "fixed").touch()
    shutil.copytree(failed, tmp_path / "counted")
    for at in range(points_of(lambda: replay(str(tmp_path / "counted")))):
        output = tmp_path / str(at)
        shutil.copytree(failed, output)
        kill(lambda: replay(str(output)), at, when)  # noqa: B023 - called here
        untouched = not list(output.glob("filter/manifests/*-replay-*"))
        assert untouched or not (output / "run.json").exists(), f"point {at}"
        result = run_local(plan, output, max_dead=0.5)
        first, second = result["steps"]
        assert (first["out"] + first["dead"], second["rows_in"]) == (7, first["out"]), f"point {at}"
        kept = {row["text"] for row in rows(output / "filter/data")}
        assert sorted(row["text"] for row in rows(output / "dedup/data")) == sorted(kept), f"point {at}"


def test_points_are_all_that_a_run_changes(plan: Plan, tmp_path: Path) -> None:
    """Nothing is written past the points above, or they would not be all."""
    with pytest.MonkeyPatch.context() as patch:
        Killer(patch, 0, "before")
        with pytest.raises(KilledError):
            run_local(plan, tmp_path / "out", max_dead=0.5)
    assert not (tmp_path / "out").exists()


def test_steps_behind_one_that_is_judged_again_are_made_again(tmp_path: Path) -> None:
    """A replay is gone between its commit and the steps behind; a run finds out, for those behind the barrier too.

    Of each of the eight texts another row may stay once those that died are back: half of them do, by their ids.
    """
    recipe = two_steps(DieUntil("copy", str(tmp_path / "fixed")), Upper())
    recipe = replace(recipe, steps=(*recipe.steps, Step("last", ReadParquet(), (), after="dedup")))
    lines = "".join(f"copy {n}\n" for n in range(8))
    plan = plan_over(recipe, write(tmp_path / "in", {"a.txt": lines, "b.txt": lines.upper()}))
    run_local(plan, tmp_path / "failed", max_dead=0.5)
    (tmp_path / "fixed").touch()
    shutil.copytree(tmp_path / "failed", tmp_path / "counted")
    for at in range(points_of(lambda: replay(str(tmp_path / "counted")))):
        output = tmp_path / str(at)
        shutil.copytree(tmp_path / "failed", output)
        kill(lambda: replay(str(output)), at, "after")  # noqa: B023 - called here
        result = run_local(plan, output, max_dead=0.5)
        assert sorted(row["text"] for row in rows(output / "last/data")) == lines.upper().splitlines(), f"point {at}"
        assert [(s["rows_in"], s["out"]) for s in result["steps"]][2] == (8, 8), f"point {at}"
