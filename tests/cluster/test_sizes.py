"""How many workers a group gets, by what a cluster has: literals of the cluster in, literals of workers out."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st

from cluster.driver.sizes import devices_hold, fitting, pool_sizes
from cluster.errors import ConfigError
from cluster.plan import PlannedStep
from schemas import columns as c
from stages.stage import Resources, Rows, Transform
from tests.fakes import Upper
from tests.runs import one_step, plan_over, write


@dataclass(frozen=True)
class Takes:
    """A stage that takes this much; `asks` ones keep a ledger."""

    gpus: float = 0.0
    cpus: float = 1.0
    memory_gb: float = 0.5
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"

    @property
    def resources(self) -> Resources:
        return Resources(self.cpus, self.gpus, self.memory_gb)

    def open(self) -> Transform:
        return lambda table: table


class Model(Takes):
    def open_with_ledger(self, ledger: object) -> Transform:
        return self.open()


def planned(tmp_path: Path, *stages: object) -> PlannedStep:
    return plan_over(one_step(*stages), write(tmp_path, {"a.txt": "a\n"})).steps[0]


def cluster(monkeypatch: pytest.MonkeyPatch, cpus: float, gpus: float = 0.0, memory_gb: float = 1000.0) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": cpus, "GPU": gpus, "memory": memory_gb * 1e9})


@pytest.mark.parametrize(
    ("cpus", "gpus", "demands", "sizes"),
    [
        (16, 1, (0.25,), [12, 4]),
        (16, 1, (0.25, 0.75), [14, 1, 1]),  # rate and refine share the one GPU
        (16, 2, (0.25, 0.75), [12, 2, 2]),
        (16, 4, (1.0, 1.0), [12, 2, 2]),
        (16, 2, (0.5, 1.0), [13, 2, 1]),
        (4, 1, (0.25,), [1, 3]),  # a reader must have its CPU
        (64, 8, (2.0,), [60, 4]),
    ],
)
def test_groups_on_gpus_get_workers_in_turn_as_far_as_they_go(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cpus: float,
    gpus: float,
    demands: tuple[float, ...],
    sizes: list[int],
) -> None:
    cluster(monkeypatch, cpus, gpus)
    step = planned(tmp_path, Upper(), *(Model(part) for part in demands))
    assert pool_sizes(step, None, ray.cluster_resources()) == sizes


def test_readers_have_most_of_the_cpus_and_a_model_on_cpus_as_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster(monkeypatch, 42, 2)
    step = planned(tmp_path, Upper(), Model(1.0), Upper())
    assert pool_sizes(step, None, ray.cluster_resources()) == [30, 2, 10]
    assert pool_sizes(step, 4, ray.cluster_resources()) == [4, 2, 4]
    step = planned(tmp_path, Upper(), Model(1.0), Model(cpus=5.0))
    assert pool_sizes(step, None, ray.cluster_resources()) == [20, 2, 4]


def test_memory_bounds_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster(monkeypatch, 100, 0, memory_gb=64.0)
    step = planned(tmp_path, Upper(), Model(cpus=4.0, memory_gb=20.0))
    assert [len(group.stages) for group in step.groups] == [1, 1]
    sizes = pool_sizes(step, None, ray.cluster_resources())
    assert sizes[1] == 3
    assert sizes[0] * 0.5 + sizes[1] * 20.0 <= 64.0


def test_cluster_that_cannot_hold_one_of_each_is_refused_with_what_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster(monkeypatch, 8, 1)
    with pytest.raises(ConfigError, match=r"one worker of each of its 3 kinds at once, 1.5 GPUs; the cluster has 1$"):
        pool_sizes(planned(tmp_path, Upper(), Model(0.75), Takes(0.75)), None, ray.cluster_resources())
    cluster(monkeypatch, 8, 2)
    with pytest.raises(ConfigError, match=r"parts of 0.6, 0.6, 0.6 GPUs do not fit on 2"):
        pool_sizes(planned(tmp_path, Upper(), Model(0.6), Takes(0.6), Model(0.6)), None, ray.cluster_resources())


def test_heavy_stage_on_cpus_has_workers_of_its_own_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = planned(tmp_path, Upper(), Model(cpus=4.0, memory_gb=3.0), Upper())
    assert [group.resources.cpus for group in step.groups] == [1.0, 4.0, 1.0]
    cluster(monkeypatch, 16)
    assert fitting(step) is step
    cluster(monkeypatch, 5)
    (group,) = fitting(step).groups
    assert group.resources == Resources(cpus=4.0, memory_gb=3.0)
    assert [type(stage).__name__ for stage in group.stages] == ["Upper", "Model", "Upper"]
    assert fitting(step).fingerprint == step.fingerprint


@pytest.mark.parametrize(
    ("parts", "devices", "fits"),
    [
        ([], 0, True),
        ([0.5, 0.5], 1, True),
        ([0.6, 0.6], 1, False),
        ([0.6, 0.6, 0.4, 0.4], 2, True),
        ([0.3] * 3, 1, True),
        ([0.3] * 4, 1, False),
        ([0.1] * 10, 1, True),
        ([2.0, 1.0], 3, True),
        ([2.0, 0.5], 2, False),
    ],
)
def test_parts_of_gpus_are_packed_without_spreading_one_over_two(parts: list[float], devices: int, fits: bool) -> None:
    assert devices_hold(Counter(parts), devices) is fits


@given(st.lists(st.sampled_from([0.1, 0.25, 0.3, 0.5, 0.6, 0.75, 1.0, 2.0]), max_size=14), st.integers(0, 6))
def test_parts_are_packed_as_if_placed_one_after_the_other(parts: list[float], devices: int) -> None:
    room, fits = [40] * devices, True  # in fortieths
    for part in sorted((round(part * 40) for part in parts), reverse=True):
        holds = sorted((left, d) for d, left in enumerate(room) if left >= min(part, 40))[: max(part // 40, 1)]
        fits = fits and len(holds) == max(part // 40, 1)
        for _, d in holds:
            room[d] -= min(part, 40)
    assert devices_hold(Counter(parts), devices) is fits


@pytest.mark.timeout(30)  # it had not ended after nine minutes, before the first worker was asked for
def test_cluster_of_ten_thousand_workers_is_shared_out_at_once(tmp_path: Path) -> None:
    step = planned(tmp_path, Upper(), Model(1.0), Model(0.25))
    have = {"CPU": 11_000.0, "GPU": 1000.0, "memory": 1e15}
    assert pool_sizes(step, None, have) == [9400, 800, 800]
