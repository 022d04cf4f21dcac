"""Pools follow the bottleneck, and nothing new goes where nodes are about to go: the driver's code in virtual time."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from cluster.commit import Target
from cluster.driver import balance
from cluster.driver.balance import Balance
from cluster.driver.nodes import LOOK_EVERY_S, Nodes
from cluster.driver.pipeline import Pipeline
from cluster.driver.pool import Pool
from cluster.plan import Group, PlannedStep
from cluster.shards import InputFile, Shard
from cluster.signals.progress import Progress
from cluster.storage import Folder
from cluster.stream import RayRunner
from cluster.work import TableDone
from cluster.worker import ShardEnd, TableNote
from schemas.manifest import Counts, Manifest
from stages.stage import Piece, Resources
from tests.fakes import Upper
from tests.runs import one_step, plan_over, write

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TABLES = 10  # of a shard
CPUS = 16
SHARDS = 300


class Work:
    """What a table takes in each group, in seconds; who has done how many of them."""

    def __init__(self, *seconds: float) -> None:
        self.seconds, self.committed = seconds, 0
        self.began: list[tuple[str, float]] = []  # node, virtual time

    def __call__(self, actor: Any, method: str, arguments: tuple[Any, ...]) -> Any:
        return getattr(self, f"_{method}")(actor, *arguments)

    def _ready(self, actor: Any, *_: Any) -> Any:
        yield 0.0, (actor.node.name,)

    def _read(self, actor: Any, planned: PlannedStep, target: Target, shard: Shard, *_: Any) -> Any:
        self.began.append((actor.node.name, actor.cluster.now))
        for table in range(TABLES):
            yield self.seconds[0], (None, TableNote(TableDone(table, Counts(), 0.1), 64 << 20, self.seconds[0]))
        yield 0.0, (None, ShardEnd((), 1.0))

    def _run_shard(self, actor: Any, planned: PlannedStep, target: Target, shard: Shard, *_: Any) -> Any:
        self.began.append((actor.node.name, actor.cluster.now))
        yield self.seconds[0], (TableDone(0, Counts(), 1.0),)
        yield 0.0, (self._manifest(shard),)

    def _transform(self, actor: Any, planned: PlannedStep, group: int, batch: Any, number: int, *_: Any) -> Any:
        seconds = self.seconds[group]
        yield seconds, (None, TableNote(TableDone(number, Counts(), 0.0), 64 << 20, seconds))

    def _add(self, *_: Any) -> Any:
        yield 0.0, (None,)

    def _commit(self, actor: Any, planned: PlannedStep, target: Target, shard: Shard, *_: Any) -> Any:
        yield 0.0, (self._manifest(shard),)

    def _forget(self, *_: Any) -> Any:
        yield 0.0, (None,)

    def _manifest(self, shard: Shard) -> Manifest:
        self.committed += 1
        return Manifest("only", shard.name, "", {}, (), Counts(), (), {}, 1.0, 1.0)


@pytest.fixture
def virtual(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import virtual_cluster

    return virtual_cluster


def step_of(tmp_path: Path, *kinds: Resources) -> PlannedStep:
    planned = plan_over(one_step(Upper()), write(tmp_path, {"a.txt": "a\n"})).steps[0]
    return replace(planned, groups=tuple(Group((), kind) for kind in kinds))


def shards_of(number: int) -> list[Shard]:
    return [Shard(f"s{n:03}", Piece(f"s{n}"), InputFile(f"s{n}", 1000, "")) for n in range(number)]


def progress_of(number: int) -> Progress:
    progress = Progress("only", Folder("memory://virtual"), max_dead=1.0, quiet=True)
    progress.begin(number, 1)
    return progress


def go(virtual: Any, planned: PlannedStep, seconds: tuple[float, ...], fixed: list[int] | None = None) -> Any:
    """The step through a pipeline of so many workers, or of as many as move: (virtual seconds, sizes, moves)."""
    work, shards = Work(*seconds), shards_of(SHARDS)
    cluster = virtual.VirtualCluster([virtual.Node("n", {"CPU": float(CPUS), "memory": 1e12})], work, startup=2.0)
    sizes = mock.patch("cluster.driver.pipeline.pool_sizes", lambda *_: fixed) if fixed else contextlib.nullcontext()
    with cluster.installed(), sizes:
        pipeline = Pipeline(planned, Target("memory://virtual/only"), progress_of(SHARDS), None)
        pools = list(pipeline._pools.values())
        if fixed:
            pipeline.balance._groups.clear()
        pipeline.run(shards)
        pipeline.close()
    assert work.committed == SHARDS
    assert not fixed or [pool.maximum for pool in pools] == fixed
    return cluster.now, [pool.maximum for pool in pools], pipeline.balance.moves


@pytest.mark.parametrize(
    ("seconds", "best"),
    [((1.0, 4.0), [3, 13]), ((4.0, 1.0), [13, 3]), ((1.0, 1.0), [8, 8]), ((1.0, 6.0, 1.0), [2, 12, 2])],
    ids=["slow stage", "slow reading", "even", "slow in the middle"],
)
def test_workers_move_to_the_bottleneck(
    tmp_path: Path, virtual: Any, seconds: tuple[float, ...], best: list[int]
) -> None:
    """`best`: workers in the ratio of the seconds that a table takes of each, which is the optimum of a chain."""
    planned = step_of(tmp_path, *(Resources(memory_gb=0.5) for _ in seconds))
    fixed, _, _ = go(virtual, planned, seconds, best)
    moved, sizes, moves = go(virtual, planned, seconds)
    assert moved <= 1.1 * fixed
    assert sum(sizes) == CPUS
    assert all(abs(size - want) <= 1 for size, want in zip(sizes, best, strict=True))
    assert moves <= 3, "it does not come to rest"


def test_nothing_moves_for_less_than_it_is_worth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = step_of(tmp_path, Resources(), Resources())
    now = [0.0]
    monkeypatch.setattr(balance.time, "monotonic", lambda: now[0])
    pools = {0: Pool(object, 8), 1: Pool(object, 8)}
    balancing = Balance(planned, pools, None)

    def after(reading: float, stage: float) -> list[int]:
        for _ in range(20):
            balancing.through(0, reading)
            balancing.through(1, stage)
        now[0] += 20.0
        balancing.look()
        return [pool.maximum for pool in pools.values()]

    assert after(1.0, 1.1) == [8, 8]  # one moved would make the reading slower than the stage is
    assert after(1.0, 4.9) == [4, 12]  # 3 seconds on the average
    assert after(1.0, 3.0) == [4, 12]


def test_no_shard_begins_on_a_node_that_is_about_to_go(tmp_path: Path, virtual: Any) -> None:
    planned, work = step_of(tmp_path, Resources(memory_gb=0.5)), Work(10.0)
    nodes = [virtual.Node(name, {"CPU": 4.0, "memory": 1e12}) for name in ("stays", "goes")]
    cluster = virtual.VirtualCluster(nodes, work, startup=1.0)
    cluster.at(100.0, lambda: setattr(nodes[1], "draining", True))
    cluster.at(130.0, lambda: cluster.add(virtual.Node("comes", {"CPU": 4.0, "memory": 1e12})))
    cluster.at(140.0, lambda: cluster.lose("goes"))
    with cluster.installed():
        progress = progress_of(200)
        runner = RayRunner(8)
        runner.run_shards(planned, Target("memory://virtual/only"), shards_of(200), progress)
    assert work.committed == 200
    assert progress.retries == 0, "what was on the node has ended before it went"
    assert max(at for node, at in work.began if node == "goes") < 106.0
    assert {node for node, at in work.began if at > 135.0} == {"stays", "comes"}


@pytest.mark.timeout(60)  # it waited for ever
@pytest.mark.parametrize("drains", [None, 0.0, 10.0], ids=["at once", "draining at the start", "draining later"])
@pytest.mark.parametrize("comes", [False, True], ids=["for good", "for three minutes"])
def test_pools_share_what_a_lost_node_leaves(tmp_path: Path, virtual: Any, comes: bool, drains: float | None) -> None:
    """The reader was on the node that went; on the other, workers with models took all CPUs and stayed."""
    planned, work = step_of(tmp_path, Resources(memory_gb=0.5), Resources(gpus=1.0, memory_gb=0.5)), Work(1.0, 1.0)
    room = {"CPU": 2.0, "GPU": 2.0, "memory": 1e12}
    nodes = [virtual.Node(name, room) for name in ("stays", "goes")]
    cluster = virtual.VirtualCluster(nodes, work, startup=1.0)
    nodes[1].draining = drains == 0.0
    if drains:
        cluster.at(drains, lambda: setattr(nodes[1], "draining", True))
    cluster.at(30.0, lambda: cluster.lose("goes"))
    if comes:
        cluster.at(210.0, lambda: cluster.add(virtual.Node("comes", room)))
    sizes = {}
    with cluster.installed():
        pipeline = Pipeline(planned, Target("memory://virtual/only"), progress_of(40), None)
        for when in (29.0, 45.0, 230.0):
            cluster.at(when, lambda when=when: sizes.update({when: [p.maximum for p in pipeline._pools.values()]}))  # type: ignore[misc]
        pipeline.run(shards_of(40))
        pipeline.close()
    assert work.committed == 40
    assert sizes == {29.0: [1, 3] if drains is None else [1, 1], 45.0: [1, 1], 230.0: [1, 3] if comes else [1, 1]}


@pytest.mark.timeout(60)
def test_step_waits_for_a_node_that_has_room_for_a_worker_of_each_kind(
    tmp_path: Path, virtual: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    planned, work = step_of(tmp_path, Resources(memory_gb=0.5), Resources(gpus=1.0, memory_gb=0.5)), Work(1.0, 1.0)
    rooms = {"cpus": {"CPU": 4.0, "memory": 1e12}, "gpu": {"CPU": 1.0, "GPU": 1.0, "memory": 1e12}}
    nodes = [virtual.Node(name, room) for name, room in rooms.items()]
    cluster = virtual.VirtualCluster(nodes, work, startup=1.0)
    cluster.at(30.0, lambda: cluster.lose("gpu"))
    cluster.at(330.0, lambda: cluster.add(virtual.Node("another", rooms["gpu"])))
    with cluster.installed():
        pipeline = Pipeline(planned, Target("memory://virtual/only"), progress_of(40), None)
        pipeline.run(shards_of(40))
        pipeline.close()
    assert work.committed == 40
    assert 330.0 < cluster.now < 1000.0
    assert (
        "no node can hold a worker: it takes GPU 1 (cluster has 0); it waits until there is room"
        in capfd.readouterr().err
    )


def test_head_that_has_just_come_back_knows_no_nodes_and_takes_none_away(virtual: Any) -> None:
    nodes, cluster = Nodes(), virtual.VirtualCluster([virtual.Node("only", {"CPU": 2.0})], Work(1.0))
    with cluster.installed():
        assert nodes.look()
        there = dict(nodes.room)
        cluster.machines["only"].alive = False
        cluster.now += LOOK_EVERY_S
        assert not nodes.look()
        assert nodes.room == there == {"CPU": 2.0, "GPU": 0.0, "memory": 0.0}


def test_one_kind_of_workers_becomes_as_many_as_nodes_come(tmp_path: Path, virtual: Any) -> None:
    planned, work = step_of(tmp_path, Resources(memory_gb=0.5)), Work(10.0)
    cluster = virtual.VirtualCluster([virtual.Node("first", {"CPU": 2.0, "memory": 1e12})], work, startup=1.0)
    cluster.at(50.0, lambda: cluster.add(virtual.Node("second", {"CPU": 6.0, "memory": 1e12})))
    with cluster.installed():
        RayRunner().run_shards(planned, Target("memory://virtual/only"), shards_of(100), progress_of(100))
    assert work.committed == 100
    assert cluster.now < 220.0  # 510 on the first node alone
