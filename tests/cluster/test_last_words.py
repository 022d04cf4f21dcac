"""What comes last of a shard: a commit is not one of half its tables, and a death behind it costs nothing."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray
from ray.exceptions import RayActorError

from cluster.careful import Careful
from cluster.chain import Batch, Chain
from cluster.commit import Target, read_manifests
from cluster.driver.assignment import Assignment, Busy
from cluster.driver.start import start_ray
from cluster.errors import RunError
from cluster.plan import PlannedStep
from cluster.shards import Shard
from cluster.stream import RayRunner
from cluster.work import TableDone
from cluster.worker import Failed, ShardEnd, Sink
from schemas import columns as c
from schemas.manifest import Counts, Manifest
from tests.fakes import Upper
from tests.runs import one_step, plan_over, write

END = ShardEnd((), 0.0)


@pytest.fixture
def step(tmp_path: Path) -> tuple[PlannedStep, Target, Shard]:
    plan = plan_over(one_step(Upper()), write(tmp_path / "in", {"a.txt": "one\ntwo\n"}))
    return plan.steps[0], Target(str(tmp_path / "out/only")), plan.shards[0]


def batch(text: str) -> Batch:
    table = pa.table({"id": [text], "text": [text]}, pa.schema([c.ID, c.BODY]))
    chain = Chain((Upper(),))
    return chain.admit(table, "source").join(chain.apply(table))


def test_shard_that_lacks_a_table_is_not_committed(step: tuple[PlannedStep, Target, Shard]) -> None:
    sink, (_, target, shard) = Sink(), step
    assert sink.add(*step, batch("one")) is None
    found = sink.commit(*step, END, 2, 1.0)  # the second died with its node, and Ray did not make that call
    assert found == Failed("1 of 2 tables did not come", "", transient=True, ours=False)
    assert read_manifests(target.folder) == {}
    assert target.folder.names("data") == []
    for text in ("one", "two"):
        assert sink.add(*step, batch(text)) is None
    assert isinstance(sink.commit(*step, END, 2, 1.0), Manifest)
    assert read_manifests(target.folder)[shard.name].counts.out == 2


def test_table_that_does_not_fit_is_what_a_commit_behind_it_tells(step: tuple[PlannedStep, Target, Shard]) -> None:
    sink, target = Sink(), step[1]
    odd = batch("one")
    odd.kept = pa.table({"id": ["one"], "text": [b"\xff"]})
    failure = sink.add(*step, odd)
    assert failure is not None
    assert not failure.transient
    assert sink.add(*step, batch("two")) is None
    assert sink.commit(*step, END, 2, 1.0) == failure
    assert read_manifests(target.folder) == {}
    assert sink.add(*step, batch("one")) is None  # begun again: nothing of it is left
    assert isinstance(sink.commit(*step, END, 1, 1.0), Manifest)


class Heard:
    """A pool, and what the driver tells of shards."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def lost(self, worker: Any) -> None:
        self.told.append("lost")

    def committed(self, shard: Shard, manifest: Manifest) -> None:
        self.told.append("committed")

    def failed(self, shard: Shard, how: str) -> None:
        self.told.append("failed")

    def table(self, shard: Shard, report: TableDone) -> None:
        self.told.append("table")


def test_worker_that_dies_behind_its_commit_costs_nothing(
    step: tuple[PlannedStep, Target, Shard], monkeypatch: pytest.MonkeyPatch
) -> None:
    shard, heard = step[2], Heard()
    manifest = Manifest("only", shard.name, "f", {}, (), Counts(), (), {}, 1.0, 1.0)
    reports: Any = iter([TableDone(0, Counts(), 1.0), manifest, RayActorError()])

    def get(report: Any) -> Any:
        if isinstance(report, Exception):
            raise report
        return report

    monkeypatch.setattr(ray, "get", get)
    busy, pool, runner = {reports: Busy("worker", Assignment(shard))}, heard, RayRunner()
    again = [runner._hear(reports, busy, pool, heard) for _ in range(3)]  # type: ignore[arg-type]
    assert again == [None, None, None]
    assert heard.told == ["table", "committed", "lost"]
    assert busy == {}


def test_next_try_after_a_row_was_named_a_killer_knows_of_those_before() -> None:
    """It looks for answers that the dead had paid for."""
    assignment = Assignment(Any, careful=Careful(0, killers=((0, 1, "died"),)))  # type: ignore[arg-type]
    assert assignment.attempt == 2


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[Exception | None]:
    """What each start of Ray comes to; those that have not happened yet."""
    wanted: list[Exception | None] = []

    def init(**_: Any) -> None:
        if (error := wanted.pop(0)) is not None:
            raise error

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return wanted


LATE = Exception("The current node timed out during startup. This could happen because ...\nmore")


def test_ray_that_does_not_start_is_an_error_of_ours(starts: list[Exception | None]) -> None:
    starts += [LATE, LATE, LATE, None]
    with pytest.raises(
        RunError, match=r"Ray has not started on this machine: The current node timed out .*\n  it waits 30"
    ):
        start_ray(None)
    assert starts == [None]


def test_ray_that_is_late_is_started_again(starts: list[Exception | None]) -> None:
    starts += [LATE, None]
    start_ray(None)
    assert starts == []


def test_ray_that_cannot_start_is_not_asked_again(starts: list[Exception | None]) -> None:
    starts += [ValueError("no room for the object store"), None]
    with pytest.raises(RunError, match="Ray has not started on this machine: no room for the object store"):
        start_ray(None)
    assert starts == [None]
