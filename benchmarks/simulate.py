"""The drivers' own code over a simulated cluster in virtual time: what 90,000 shards on 10,000 workers ask of a driver.

    python benchmarks/simulate.py [--shards 90000] [--workers 10000] [--tables 8] [--only CASE ...]

One JSON line. Scheduling, retries, pools, queues and the account are the code that runs in production (RayRunner,
Pipeline, Pool, Progress); the cluster below it is virtual_cluster.py. Nodes of 64 CPUs; a shard takes 160 s of work
(1 GB of Common Crawl at the figures of results/web.json), give or take a half; 2 % of shards are stragglers, five
times as long; one node in ten is taken away in the first hour, without a word, and another comes after 3 minutes.

    fused       one kind of workers: shard by shard
    pipeline    readers, and a model on GPUs behind them (a tenth as many workers)

`driver_cpu_s` is the CPU time of the drivers' code alone; `ray_cpu_s` what Ray's own calls would add in the driver at
the costs of COSTS (measured on Ray 2.60, docs/scale.md). A decision's latency is the CPU time from `wait`'s return to
the next `wait`, for all events heard in between; Ray's share is not in it.
"""

import argparse
import random
import resource
import time
from dataclasses import replace
from typing import Any

from record import record
from virtual_cluster import Actor, Node, Reports, VirtualCluster

from cluster.commit import Target
from cluster.driver.pipeline import run_pipeline
from cluster.plan import Group, PlannedStep, plan_step
from cluster.recipe import Step
from cluster.shards import InputFile, Shard
from cluster.signals.progress import Progress
from cluster.storage import Folder
from cluster.stream import RayRunner
from cluster.work import TableDone
from cluster.worker import ShardEnd, TableNote
from schemas.manifest import Counts, Manifest
from stages.read_warc import SCHEMA, ReadWarc
from stages.stage import Piece, Resources
from stages.url_filter import UrlFilter

CPUS = 64  # of a node
SHARD_S = 160.0
PAGES = 46_000  # of a shard
LOST = 0.1  # nodes, in the first hour
COSTS = {"report": 560e-6, "call": 120e-6, "waited_ref": 5e-6}  # CPU seconds


class Pages:
    """What the workers of the recipe do: how long, and what they say."""

    def __init__(self, tables: int, seed: int = 7) -> None:
        self._tables, self._chance = tables, random.Random(seed)
        self.commits: dict[str, int] = {}

    def __call__(self, actor: Actor, method: str, arguments: tuple[Any, ...]) -> Reports:
        if method == "ready":
            return self._ready(actor)
        return getattr(self, f"_{method}")(*arguments)  # type: ignore[no-any-return]

    def _seconds(self) -> float:
        return SHARD_S * self._chance.uniform(0.5, 1.5) * (5.0 if self._chance.random() < 0.02 else 1.0)

    def _report(self, table: int) -> TableDone:
        rows = PAGES // self._tables
        dropped = {f"Stage{n}.reason": rows // 20 for n in range(12)}
        return TableDone(table, Counts(rows, 0, rows - 12 * (rows // 20), dropped), (table + 1) / self._tables)

    def _ready(self, actor: Actor) -> Reports:
        assert actor.node is not None
        yield 0.0, (actor.node.name,)

    def _run_shard(self, planned: PlannedStep, target: Target, shard: Shard, *_: Any) -> Reports:
        seconds = self._seconds() / self._tables
        for table in range(self._tables):
            yield seconds, (self._report(table),)
        yield 0.5, (self._manifest(planned, shard),)

    def _read(self, planned: PlannedStep, target: Target, shard: Shard, *_: Any) -> Reports:
        seconds = self._seconds() / self._tables
        for table in range(self._tables):
            yield seconds, (None, TableNote(self._report(table), 4 << 20, seconds))
        yield 0.0, (None, ShardEnd((), 1.0))

    def _transform(self, planned: PlannedStep, group: int, batch: Any, number: int, *_: Any) -> Reports:
        yield SHARD_S / self._tables / 10, (None, TableNote(self._report(number), 4 << 20))

    def _add(self, *_: Any) -> Reports:
        yield 0.05, (None,)

    def _commit(self, planned: PlannedStep, target: Target, shard: Shard, *_: Any) -> Reports:
        yield 0.5, (self._manifest(planned, shard),)

    def _forget(self, *_: Any) -> Reports:
        yield 0.0, (None,)

    def _manifest(self, planned: PlannedStep, shard: Shard) -> Manifest:
        self.commits[shard.name] = self.commits.get(shard.name, 0) + 1
        counts = sum((self._report(table).counts for table in range(self._tables)), Counts())
        return Manifest(planned.name, shard.name, "", {}, (), counts, (), {}, 1.0, 1.0)


def planned_step(groups: int) -> PlannedStep:
    planned, faults = plan_step(Step("filter", ReadWarc(), (UrlFilter(),)), SCHEMA, None, ())
    assert not faults
    kinds = (Group((UrlFilter(),), Resources()), Group((), Resources(gpus=1.0)))
    return replace(planned, groups=kinds[:groups])


def shards_of(number: int) -> list[Shard]:
    names = (f"CC-MAIN-{n:05}" for n in range(number))
    return [Shard(n, Piece(f"s3://crawl/{n}.warc.gz"), InputFile(f"s3://crawl/{n}.warc.gz", 10**9, "")) for n in names]


def cluster_of(workers: int, pages: Pages, gpus: int = 0) -> VirtualCluster:
    """Nodes for `workers`. One in ten is lost in the first hour; one of its kind comes after 3 minutes."""
    rooms = [{"CPU": float(CPUS), "memory": 4e9 * CPUS} for _ in range(-(-workers // CPUS))]
    rooms += [{"CPU": 8.0, "GPU": 8.0, "memory": 256e9} for _ in range(-(-gpus // 8))]
    cluster = VirtualCluster([Node(f"node-{n}", room) for n, room in enumerate(rooms)], pages)
    chance = random.Random(3)

    def lose(name: str, room: dict[str, float]) -> None:
        cluster.lose(name)
        cluster.at(cluster.now + 180, lambda: cluster.add(Node(f"{name}-again", room)))

    for n in chance.sample(range(len(rooms)), round(LOST * len(rooms))):
        cluster.at(chance.uniform(60, 3600), lambda n=n: lose(f"node-{n}", rooms[n]))  # type: ignore[misc]
    return cluster


def simulate(groups: int, shards: int, workers: int, tables: int) -> dict[str, Any]:
    """A whole step, and what it took of the driver."""
    planned, todo, pages = planned_step(groups), shards_of(shards), Pages(tables)
    cluster = cluster_of(workers, pages, workers // 10 if groups > 1 else 0)
    target = Target("memory://simulated/filter")
    size, output = shards * 10**9, Folder("memory://simulated")
    progress = Progress("filter", output, max_dead=1.0, quiet=True)
    begun, wall = time.process_time(), time.perf_counter()
    with cluster.installed(), progress:
        progress.begin(shards, size)
        if groups > 1:
            run_pipeline(planned, target, todo, progress, workers)
        else:
            RayRunner(workers).run_shards(planned, target, todo, progress)
    cpu = time.process_time() - begun
    assert sorted(pages.commits) == sorted(shard.name for shard in todo), "a shard was not committed"
    latencies = sorted((seconds, events) for seconds, events in cluster.turns)
    counts = {"report": cluster.reports, "call": cluster.calls, "waited_ref": cluster.waited_refs}
    ray_cpu = sum(COSTS[what] * number for what, number in counts.items())
    return {
        "virtual_hours": round(cluster.now / 3600, 2),
        "ideal_hours": round(shards * SHARD_S * 1.08 / workers / 3600, 2),
        "committed": progress.done,
        "again": progress.retries,
        "events": cluster.reports,
        "wall_s": round(time.perf_counter() - wall, 1),
        "driver_cpu_s": round(cpu - cluster.own_cpu, 1),
        "ray_cpu_s": round(ray_cpu, 1),
        "us_an_event": round((cpu - cluster.own_cpu) / cluster.reports * 1e6, 1),
        "waits": cluster.waits,
        "waited_refs": cluster.waited_refs,
        "decision_ms_p50": round(percentile(latencies, 0.5) * 1e3, 2),
        "decision_ms_p99": round(percentile(latencies, 0.99) * 1e3, 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
    }


def percentile(latencies: list[tuple[float, int]], share: float) -> float:
    """Of events, each as late as the turn that it was heard in was long."""
    left = share * sum(events for _, events in latencies)
    for seconds, events in latencies:
        left -= events
        if left <= 0:
            return seconds
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shards", type=int, default=90_000)
    parser.add_argument("--workers", type=int, default=10_000)
    parser.add_argument("--tables", type=int, default=8, help="reports of a shard")
    parser.add_argument("--only", nargs="*", default=["fused", "pipeline"], choices=["fused", "pipeline"])
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"shards": arguments.shards, "workers": arguments.workers, "tables": arguments.tables}
    for case in arguments.only:
        groups = {"fused": 1, "pipeline": 2}[case]
        figures[case] = simulate(groups, arguments.shards, arguments.workers, arguments.tables)
    record("simulate", figures)


if __name__ == "__main__":
    main()
