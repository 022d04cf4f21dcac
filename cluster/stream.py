"""The Ray driver. It moves references and small reports, never data.

Stages that share a worker run a shard from its file to its commit inside one actor (this file). Where a step needs
workers of several kinds, GPU stages behind CPU stages, tables flow between pools (driver/pipeline.py).
"""

import time
from collections import deque
from dataclasses import replace
from typing import Any, Self

import ray
from ray.exceptions import RayError

from cluster.commit import Target
from cluster.driver import alive, pipeline
from cluster.driver.assignment import MAX_ATTEMPTS, MAX_DEATHS, Assignment, Busy, after_death, after_error
from cluster.driver.nodes import Nodes
from cluster.driver.pool import Pool, ready_of, room_for, spawn
from cluster.driver.sizes import fitting
from cluster.driver.start import start_ray
from cluster.errors import ConfigError, RunError, first_line
from cluster.exchange.shuffle import Task, Watch
from cluster.limits import STUCK_AFTER_S
from cluster.plan import PlannedStep
from cluster.seen.actors import with_index
from cluster.shards import Shard
from cluster.signals.progress import Progress
from cluster.worker import Worker
from schemas.manifest import Manifest
from stages.stage import Resources

START_S = 20.0  # how long nothing is told of a step whose workers have not started: `status` waits for a minute


class RayRunner:
    """Runs steps on Ray: a cluster at an address, or one that it starts on this machine and takes down again."""

    def __init__(
        self, workers: int | None = None, address: str | None = None, stuck_after: float | None = STUCK_AFTER_S
    ) -> None:
        self._wanted, self._address, self._stuck_after = workers, address, stuck_after
        self._pool: Pool | None = None
        self._resources: Resources | None = None
        self._nodes = Nodes()
        self._opening: PlannedStep | None = None  # what new workers open
        self._owns = False
        self.workers = 0
        self.startup_seconds = self.shutdown_seconds = 0.0

    def __enter__(self) -> Self:
        begun = time.perf_counter()
        self._owns = not ray.is_initialized()
        start_ray(self._address)
        alive.begin()
        self.startup_seconds += time.perf_counter() - begun
        return self

    def __exit__(self, *exc: object) -> None:
        begun = time.perf_counter()
        self._close_pool()
        answers = alive.answers()
        alive.end()
        if self._owns and answers:
            ray.shutdown()
        self.shutdown_seconds += time.perf_counter() - begun

    def run_tasks(self, planned: PlannedStep, target: Target, tasks: list[Task], watch: Watch) -> None:
        """The tasks of one phase of a shuffle; a lost worker's task is done again."""
        pool = self._workers(planned.groups[0].resources, len(tasks))
        todo = deque((task, 0, 0) for task in tasks)
        busy: dict[Any, tuple[Any, Task, int, int]] = {}
        while todo or busy:
            self._mind(pool, len(todo) + len(busy), watch)
            while todo and (worker := pool.take()) is not None:
                task, errors, deaths = todo.popleft()
                busy[worker.run_task.remote(planned, target, task)] = worker, task, errors, deaths
            for ref in ready_of([*busy, *pool.starting]):
                if ref not in busy:
                    self._hear_start(pool, planned, ref)
                    continue
                worker, task, errors, deaths = busy.pop(ref)
                try:
                    failure = ray.get(ref)
                except RayError as error:
                    pool.lost(worker)
                    if deaths == MAX_DEATHS:
                        how = f"{deaths + 1} workers died at it, the last: {first_line(error)}"
                        raise RunError(f"step {planned.name}, {task.name}: {how}") from error
                    todo.append((task, errors, deaths + 1))
                    continue
                pool.give(worker)
                if failure is None:
                    watch.task_done()
                    continue
                if not failure.transient or errors + 1 == MAX_ATTEMPTS:
                    raise RunError(f"step {planned.name}, {task.name}: {failure.message}\n{failure.trace}")
                todo.append((task, errors + 1, deaths))
            watch.beat()

    def run_shards(self, planned: PlannedStep, target: Target, shards: list[Shard], progress: Progress) -> None:
        """Every shard to its commit. Raises when one fails for good, or too many rows died."""
        with with_index(planned, target) as indexed:
            self._run_shards(indexed, target, shards, progress)

    def _run_shards(self, planned: PlannedStep, target: Target, shards: list[Shard], progress: Progress) -> None:
        planned = replace(fitting(planned), stuck_after=self._stuck_after)
        if len(planned.groups) > 1:
            self._close_pool()  # its pools count on the whole cluster, and would wait for what a barrier's workers hold
            return pipeline.run_pipeline(planned, target, shards, progress, self._wanted)
        pool = self._workers(planned.groups[0].resources, len(shards), planned)
        progress.watch(lambda: (pool.seen("0", planned.groups[0].resources.gpus),))
        # The largest first: what is left at the end is small, and all workers end at about the same time.
        todo = deque(Assignment(shard) for shard in sorted(shards, key=lambda s: (-s.bytes, s.name)))
        busy: dict[Any, Busy] = {}
        while todo or busy:
            self._mind(pool, len(todo) + len(busy), progress)
            while todo and (worker := pool.take()) is not None:
                assignment = todo.popleft()
                progress.started(assignment.shard)
                reports = worker.run_shard.options(
                    num_returns="streaming", _generator_backpressure_num_objects=1
                ).remote(planned, target, assignment.shard, assignment.attempt, assignment.careful)
                busy[reports] = Busy(worker, assignment, table=0)
            for reports in ready_of([*busy, *pool.starting]):
                if reports not in busy:
                    self._hear_start(pool, planned, reports)
                elif (again := self._hear(reports, busy, pool, progress)) is not None:
                    todo.appendleft(again)
            progress.beat()
        return None

    def _close_pool(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _mind(self, pool: Pool, work: int, watch: Watch) -> None:
        """As many workers as `work` takes and the cluster holds, none of them where nodes are about to go."""
        if self._nodes.look(pool) and self._resources is not None:
            try:
                room = room_for(self._resources, self._nodes.room)
            except ConfigError as error:  # those that are asked for stay asked for: the autoscaler may bring a node
                watch.note(f"{error}; it waits until there is room", event="waits_for_room", level="warning")
            else:
                pool.maximum = self._wanted or room
        pool.resize(work)

    def _hear_start(self, pool: Pool, planned: PlannedStep, ref: Any) -> None:
        if ref in pool.starting and (error := pool.hear_start(ref)) is not None and pool.stillborn > MAX_DEATHS:
            raise RunError(
                f"step {planned.name}: {pool.stillborn} workers died while they started, the last: {first_line(error)}"
            ) from error

    def _hear(self, reports: Any, busy: dict[Any, Busy], pool: Pool, progress: Progress) -> Assignment | None:
        """Take the next report of a worker; return the shard's next assignment if it has to be done again."""
        state = busy[reports]
        try:
            report = ray.get(next(reports))
        except StopIteration:
            del busy[reports]
            pool.give(state.worker)
            return None if state.failure is None else after_error(state, progress.failed)
        except RayError as error:
            del busy[reports]
            pool.lost(state.worker)
            if state.ended:
                return None
            return after_death(state, state.cause(error), progress.failed, state.fell(error))
        if state.hears(report):
            return None
        if isinstance(report, Manifest):
            state.ended = True
            progress.committed(state.assignment.shard, report)
        else:
            state.table, state.rows = report.table + 1, None
            progress.table(state.assignment.shard, report)
        return None

    def _workers(self, resources: Resources, work: int, planned: PlannedStep | None = None) -> Pool:
        """The pool for fused groups; the same workers serve all steps that take the same.

        New workers open the stages of `planned` side by side before the first shard is theirs.
        """
        self._opening = planned
        if self._pool is None or self._resources != resources:
            begun = time.perf_counter()
            self._close_pool()
            self._nodes = Nodes()
            self.workers = self._wanted or room_for(resources, ray.cluster_resources())
            self._pool = Pool(
                lambda: spawn(Worker, resources, int(resources.cpus)),
                self.workers,
                ready=lambda worker: worker.ready.remote(self._opening),
            )
            self._resources = resources
            self._pool.resize(work)  # all at once: they start side by side
            ray.wait(list(self._pool.starting), timeout=START_S)
            self.startup_seconds += time.perf_counter() - begun
        return self._pool
