"""The driver of steps over several kinds of workers: its queues are bounded in bytes, its pools share the cluster."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.exceptions import RayActorError, RayTaskError

from cluster.commit import Target
from cluster.driver import pipeline
from cluster.driver.pipeline import STREAM, Pipeline, is_death, next_pair
from cluster.driver.sizes import pool_sizes
from cluster.errors import ConfigError
from cluster.plan import PlannedStep, make_plan
from cluster.recipe import Recipe, Step
from cluster.shards import list_inputs
from cluster.signals.progress import Progress
from cluster.storage import Folder
from cluster.stream import RayRunner
from cluster.worker import in_pairs
from tests.cluster.test_conformance import go, texts
from tests.fakes import OnGpu, ReadLines, Upper

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


def planned(tmp_path: Path, *stages: object) -> PlannedStep:
    (tmp_path / "one.txt").write_text("one\n")
    recipe = Recipe("lines", (Step("only", ReadLines(), stages),))  # type: ignore[arg-type]
    return make_plan(recipe, list_inputs([str(tmp_path / "one.txt")])).steps[0]


def test_full_queue_stops_the_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = []
    real = Pipeline._wait

    def watched(self: Pipeline) -> None:
        waiting.append(max(len(station.queue) for station in self.stations))
        real(self)

    monkeypatch.setattr(pipeline, "QUEUE_BYTES", 1)
    monkeypatch.setattr(Pipeline, "_wait", watched)
    files = {f"{name}.txt": "".join(f"{name}{i}\n" for i in range(60)) for name in "abc"}
    go(tmp_path, "ray", files, Upper(), OnGpu("!"))
    assert texts(tmp_path) == [f"{name}{i}!" for name in "ABC" for i in range(60)]
    # 45 tables went through; never more waited than the one that filled the queue and one of each other reader.
    assert max(waiting) <= 3


def test_gpu_groups_share_the_gpus_and_readers_take_the_cpus_left(tmp_path: Path) -> None:
    step = planned(tmp_path, Upper(), OnGpu("a"), Upper())
    assert [len(group.stages) for group in step.groups] == [1, 1, 1]
    assert pool_sizes(step, None, ray.cluster_resources()) == [3, 4, 1]  # 8 CPUs, 2 GPUs, half a GPU a worker
    assert pool_sizes(step, 2, ray.cluster_resources()) == [2, 4, 1]


def test_too_few_cpus_for_one_worker_of_each_kind_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 2.0, "GPU": 1.0, "memory": 1e12})
    step = planned(tmp_path, Upper(), OnGpu("a"), Upper())
    with pytest.raises(
        ConfigError, match=r"needs one worker of each of its 3 kinds at once, 3 CPUs; the cluster has 2"
    ):
        pool_sizes(step, None, ray.cluster_resources())


def test_workers_of_a_barrier_hold_no_room_that_the_pools_count_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EntiGraph's budget is dealt out by a worker; with its CPU taken, the readers behind it never started."""
    step = planned(tmp_path, Upper(), OnGpu("a"), Upper())
    with RayRunner() as runner:
        pool = runner._workers(step.groups[0].resources, 3)  # as `run_tasks` has them
        assert len(pool) == 3
        seen: list[int] = []
        monkeypatch.setattr(pipeline, "run_pipeline", lambda *_: seen.append(len(pool)))
        told = Progress("only", Folder("memory://room"), max_dead=1.0, quiet=True)
        runner.run_shards(step, Target("memory://room"), [], told)
    assert seen == [0]


def test_a_step_of_one_kind_says_that_it_waits_for_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its pool stays as large as it was, so that Ray has a worker to place once a node comes."""
    step = planned(tmp_path, Upper())
    nodes = [{"NodeID": "head", "Alive": True, "Resources": {"memory": 1e12}}]
    with RayRunner() as runner:
        pool = runner._workers(step.groups[0].resources, 2)
        told = Progress("only", Folder("memory://room"), max_dead=1.0, quiet=True)
        monkeypatch.setattr("ray.nodes", lambda: nodes)
        runner._mind(pool, 2, told)
        assert (pool.maximum, len(pool)) == (8, 2)
        said = "no node can hold a worker: it takes CPU 1 (cluster has 0); it waits until there is room"
        assert said in capsys.readouterr().err
        nodes[0]["Resources"]["CPU"] = 1.0
        monkeypatch.setattr(runner._nodes, "_looked", float("-inf"))
        runner._mind(pool, 2, told)
        assert pool.maximum == 1
    assert capsys.readouterr().err == ""


class Speaker:
    """Says what it is told to, in pairs; its process ends where it is told to."""

    def say(self, reports: list[Any], last: bool = False) -> Iterator[Any]:
        yield from in_pairs(iter(reports))
        if last:
            yield "a batch without a note"
            os._exit(1)

    def take(self, batch: Any) -> Iterator[Any]:
        yield from in_pairs(iter([("taken", batch)]))

    def make(self) -> str:
        return "a batch"


def speaker() -> Any:
    return ray.remote(Speaker).options(num_cpus=0).remote()


def test_report_is_a_batch_and_then_its_note() -> None:
    reports = speaker().say.options(**STREAM).remote(["a note", ("another", "its batch")])
    assert next_pair(reports)[1] == "a note"
    data, note = next_pair(reports)
    assert (note, ray.get(data)) == ("another", "its batch")
    with pytest.raises(StopIteration):
        next_pair(reports)


def test_worker_that_dies_between_a_batch_and_its_note_is_dead_and_its_batch_is_not_passed_on() -> None:
    reports = speaker().say.options(**STREAM).remote([("a note", "its batch")], last=True)
    assert next_pair(reports)[1] == "a note"
    with pytest.raises(RayActorError) as caught:
        next_pair(reports)
    assert is_death(caught.value)


def test_worker_that_is_given_what_died_with_another_is_not_dead_itself() -> None:
    """An object whose maker died before it was made: Ray raises both errors in one."""
    dead, alive = speaker(), speaker()
    ray.kill(dead)
    with pytest.raises(RayTaskError) as caught:
        next_pair(alive.take.options(**STREAM).remote(dead.make.remote()))
    assert isinstance(caught.value, RayActorError)
    assert not is_death(caught.value)
    assert next_pair(alive.take.options(**STREAM).remote(speaker().make.remote()))[1] == "taken"
