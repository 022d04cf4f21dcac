"""A step over several kinds of workers: tables flow from readers through pools to the sinks that write shards.

    readers --queue--> pool of group 1 --queue--> ... --in order--> sinks

Queues hold references; the bytes behind them are bounded. A full queue stops the pool before it: a reader whose next
table is not taken waits, holding one table. A worker that dies costs the tables it was at, which are sent again; lost
readers, sinks and objects cost the shard, which is begun again under a new epoch, so that late results are ignored.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError

from cluster.commit import Target
from cluster.driver.assignment import MAX_ATTEMPTS, MAX_DEATHS, Assignment, Busy, after_death, after_error
from cluster.driver.balance import Balance
from cluster.driver.nodes import Nodes
from cluster.driver.pool import Pool, ready_of, spawn
from cluster.driver.sizes import pool_sizes
from cluster.driver.stations import QUEUE_BYTES, Item, OpenShard, Station
from cluster.errors import ConfigError, RunError, ShardError, first_line
from cluster.ledger import asks
from cluster.plan import PlannedStep
from cluster.shards import Shard
from cluster.signals.events import PoolSeen
from cluster.signals.progress import Progress
from cluster.worker import Failed, ShardEnd, Sink, Worker
from schemas.manifest import Manifest
from stages.stage import name_of

SHARDS = 1 << 10  # of a sink at a time: no bound, but pools have one
AHEAD = 1  # calls per worker beyond those it is at, so that the next table is there when one is done
STREAM = {"num_returns": "streaming", "_generator_backpressure_num_objects": 1}


def run_pipeline(
    planned: PlannedStep, target: Target, shards: list[Shard], progress: Progress, workers: int | None
) -> None:
    """Every shard of `planned` through all its groups to its commit."""
    pipeline = Pipeline(planned, target, progress, workers)
    try:
        pipeline.run(shards)
    finally:
        pipeline.close()


class Pipeline:
    """The driver's state: which shards are open, what waits where, who is at what."""

    def __init__(self, planned: PlannedStep, target: Target, progress: Progress, workers: int | None) -> None:
        self.planned, self.target, self.progress = planned, target, progress
        self._workers = workers
        sizes = pool_sizes(planned, workers, ray.cluster_resources())
        self.readers = Pool(lambda: self._spawn(0), sizes[0], ready=lambda worker: worker.ready.remote(planned))
        self.stations = [self._station(g, size) for g, size in enumerate(sizes) if g > 0]
        sinks = max(1, sizes[0] // 4)
        self.sinks = Pool(
            ray.remote(Sink).options(num_cpus=0).remote, sinks, sinks, SHARDS, lambda sink: sink.ready.remote()
        )
        self._pools = {0: self.readers, **{station.group: station.pool for station in self.stations}}
        self._nodes = Nodes()
        self.balance = Balance(planned, self._pools, workers)
        self.todo: deque[Assignment] = deque()
        self.reading: dict[Any, tuple[Busy, int]] = {}  # reports -> (reader, epoch of its shard)
        self.shards: dict[str, OpenShard] = {}
        self.writing: dict[Any, tuple[str, int]] = {}  # acknowledgement of a sink -> (shard, epoch)
        self.epoch = 0
        progress.watch(self._seen)

    def run(self, shards: list[Shard]) -> None:
        """Until every shard is committed."""
        self.todo.extend(Assignment(shard) for shard in sorted(shards, key=lambda s: (-s.bytes, s.name)))
        self._follow_nodes()
        # Side by side, before the first table is there; the largest parts of GPUs first, while there is room for them.
        for station in sorted(self.stations, key=lambda s: -self.planned.groups[s.group].resources.gpus):
            station.pool.resize(min(len(shards), station.pool.maximum) * station.pool.in_flight if station.keep else 1)
        while self.todo or self.shards:
            self._follow_nodes()
            self.sinks.resize(0)
            self.balance.look()
            self._start_readers()
            for station in self.stations:
                self._dispatch(station)
            self._wait()
            self.progress.beat()

    def close(self) -> None:
        for pool in (*self._pools.values(), self.sinks):
            pool.close()

    def _follow_nodes(self) -> None:
        """Where nodes have gone or come, the pools share what there is now."""
        if not self._nodes.look(self.sinks, *self._pools.values()):
            return
        try:
            sizes = pool_sizes(self.planned, self._workers, self._nodes.room)
        except ConfigError as error:  # one of each kind is asked for: the autoscaler may bring a node for it
            self.progress.note(f"{error}; it waits until there is room", event="waits_for_room", level="warning")
            sizes = [1] * len(self._pools)
        for group, pool in self._pools.items():
            pool.maximum = sizes[group]
        self.balance.resized()

    def _seen(self) -> tuple[PoolSeen, ...]:
        gpus = [group.resources.gpus for group in self.planned.groups]
        stations = (s.pool.seen(str(s.group), gpus[s.group], (s.queue.bytes, QUEUE_BYTES)) for s in self.stations)
        return self.readers.seen("0", gpus[0]), *stations

    def _spawn(self, group: int) -> Any:
        resources = self.planned.groups[group].resources
        return spawn(Worker, resources, int(resources.cpus))

    def _station(self, group: int, size: int) -> Station:
        part = self.planned.groups[group]
        pool = Pool(
            lambda: self._spawn(group),
            size,
            minimum=1,
            in_flight=part.resources.tables + AHEAD,
            ready=lambda worker: worker.ready.remote(self.planned, group),
        )
        return Station(group, pool, keep=part.resources.gpus > 0 or asks(part.stages))

    def _start_readers(self) -> None:
        self.readers.resize(len(self.todo) + len(self.reading))
        while self.todo and not full(self.stations[0]) and (sink := self.sinks.take()) is not None:
            if (reader := self.readers.take()) is None:
                self.sinks.give(sink)
                return
            assignment = self.todo.popleft()
            shard = assignment.shard
            self.epoch += 1
            self.shards[shard.name] = OpenShard(assignment, sink, time.perf_counter(), self.epoch)
            self.progress.started(shard)
            reports = reader.read.options(**STREAM).remote(
                self.planned, self.target, shard, assignment.attempt, assignment.careful
            )
            self.reading[reports] = Busy(reader, assignment), self.epoch

    def _dispatch(self, station: Station) -> None:
        station.pool.resize(len(station.queue) + len(station.busy), shrink=not station.keep)
        later = self.stations[station.group] if station.group < len(self.stations) else None
        while station.queue and not (later and full(later)):
            # A table that waits for a worker of its own holds up those behind it, or none would ever be free for it.
            if (worker := station.pool.take(station.queue[0].alone)) is None:
                return
            item = station.queue.popleft()
            if not self._current(item.shard, item.epoch):
                station.pool.give(worker)
                continue
            assignment = item.assignment
            again = assignment.attempt > 1 or self.shards[item.shard].assignment.attempt > 1
            reports = worker.transform.options(**STREAM).remote(
                self.planned, station.group, item.data, item.number, assignment.attempt, assignment.careful, again
            )
            station.busy[reports] = Busy(worker, assignment, table=item.number), item

    def _wait(self) -> None:
        waiting = [] if full(self.stations[0]) else list(self.reading)
        for station in self.stations:
            waiting += station.busy
        pools = {-1: self.sinks, **self._pools}
        waiting += self.writing
        for pool in pools.values():
            waiting += pool.starting
        if not waiting:
            raise RunError(f"step {self.planned.name}: nothing is in work and {len(self.shards)} shards are open")
        for ref in ready_of(waiting):
            if ref in self.writing:
                self._hear_sink(ref)
            elif ref in self.reading:
                self._hear_reader(ref)
            elif (at := next((station for station in self.stations if ref in station.busy), None)) is not None:
                self._hear_worker(at, ref)
            else:
                self._hear_start(pools, ref)

    def _hear_reader(self, reports: Any) -> None:
        busy, epoch = self.reading[reports]
        shard = busy.assignment.shard
        try:
            data, note = next_pair(reports)
        except StopIteration:
            del self.reading[reports]
            self.readers.give(busy.worker)
            if busy.failure is not None and self._current(shard.name, epoch):
                self._restart(shard.name, after_error(busy, self.progress.failed))
            return
        except RayError as error:
            del self.reading[reports]
            self.readers.lost(busy.worker)
            if not busy.ended and self._current(shard.name, epoch):
                again = after_death(busy, busy.cause(error), self.progress.failed, busy.fell(error))
                self._restart(shard.name, again)
            return
        heard = busy.hears(note)
        if self._current(shard.name, epoch):
            self.shards[shard.name].assignment = busy.assignment  # with the rows that are known to kill
        if not heard and self._current(shard.name, epoch):
            open_shard = self.shards[shard.name]
            if isinstance(note, ShardEnd):
                busy.ended = True
                open_shard.end = note
                self._flush(shard.name)
            else:
                number = note.report.table
                busy.table, busy.rows = number + 1, None
                open_shard.tables = number + 1
                self.progress.read(shard, note.report.fraction)
                item = Item(shard.name, epoch, number, data, note.bytes, Assignment(shard))
                self.stations[0].queue.append(item)
                self.balance.through(0, note.seconds)

    def _hear_start(self, pools: dict[int, Pool], ref: Any) -> None:
        group, pool = next(((group, pool) for group, pool in pools.items() if ref in pool.starting), (0, None))
        if pool is None or (error := pool.hear_start(ref)) is None or pool.stillborn <= MAX_DEATHS:
            return
        stages = self.planned.groups[group].stages if group >= 0 else ()
        who = ", ".join(map(name_of, stages)) or ("reading" if group == 0 else "writing")
        raise RunError(
            f"step {self.planned.name}: {pool.stillborn} workers for {who} died while they started, "
            f"the last: {first_line(error)}"
        ) from error

    def _hear_worker(self, station: Station, reports: Any) -> None:
        busy, item = station.busy[reports]
        try:
            data, note = next_pair(reports)
        except StopIteration:
            del station.busy[reports]
            station.pool.give(busy.worker)
            if busy.failure is not None and self._current(item.shard, item.epoch):
                item.assignment = after_error(busy, self.progress.retried)
                station.queue.appendleft(item)
            return
        except RayError as error:
            del station.busy[reports]
            if not is_death(error):  # the table itself is gone, with the node that held it
                station.pool.give(busy.worker)
                self._lost(item.shard, item.epoch, f"a table was lost: {first_line(error)}")
                return
            station.pool.lost(busy.worker)
            if self._current(item.shard, item.epoch):
                item.assignment = after_table(busy, busy.cause(error), self.progress.retried)
                station.queue.appendleft(item)
            return
        if not busy.hears(note) and self._current(item.shard, item.epoch):
            self.balance.through(station.group, note.seconds)
            if station.group < len(self.stations):
                moved = replace(item, data=data, bytes=note.bytes, assignment=Assignment(item.assignment.shard))
                self.stations[station.group].queue.append(moved)
            else:
                self.progress.table(item.assignment.shard, note.report)
                self.shards[item.shard].ready[item.number] = data
                self._flush(item.shard)

    def _flush(self, name: str) -> None:
        """Send the shard's batches to its sink in order; behind the last one, ask for the commit."""
        shard = self.shards[name]
        what = shard.assignment.shard
        while shard.written in shard.ready:
            data = shard.ready.pop(shard.written)
            self.writing[shard.sink.add.remote(self.planned, self.target, what, data)] = name, shard.epoch
            shard.written += 1
        if shard.end is not None and shard.written == shard.tables:
            seconds = time.perf_counter() - shard.begun
            commit = shard.sink.commit.remote(self.planned, self.target, what, shard.end, shard.tables, seconds)
            self.writing[commit] = name, shard.epoch
            shard.end = None

    def _hear_sink(self, ref: Any) -> None:
        name, epoch = self.writing.pop(ref)
        try:
            answer = ray.get(ref)
        except RayError as error:
            if not is_death(error):
                self._lost(name, epoch, f"a table was lost: {first_line(error)}")
            elif self._current(name, epoch):
                self._replace_sink(self.shards[name].sink, first_line(error))
            return
        if not self._current(name, epoch):
            return
        if isinstance(answer, Manifest):
            shard = self.shards.pop(name)
            self.sinks.give(shard.sink)
            self.progress.committed(shard.assignment.shard, answer)
        elif isinstance(answer, Failed):
            assignment = self.shards[name].assignment
            self._restart(name, after_error(Busy(None, assignment, failure=answer), self.progress.failed))

    def _replace_sink(self, sink: Any, how: str) -> None:
        self.sinks.lost(sink)
        for name, shard in list(self.shards.items()):
            if shard.sink == sink:
                self._lost(name, shard.epoch, f"its writer died: {how}")

    def _lost(self, name: str, epoch: int, how: str) -> None:
        if not self._current(name, epoch):
            return
        assignment = self.shards[name].assignment
        if assignment.errors + 1 >= MAX_ATTEMPTS * 2:
            raise ShardError(f"shard {name}: {how} ({assignment.errors + 1} times)")
        self.progress.failed(assignment.shard, how)
        self._restart(name, replace(assignment, errors=assignment.errors + 1))

    def _restart(self, name: str, assignment: Assignment) -> None:
        shard = self.shards.pop(name)
        if shard.sink in self.sinks:
            shard.sink.forget.remote(assignment.shard)
            self.sinks.give(shard.sink)
        self.todo.appendleft(assignment)

    def _current(self, name: str, epoch: int) -> bool:
        return name in self.shards and self.shards[name].epoch == epoch


def full(station: Station) -> bool:
    """Whether the pools before it have to wait."""
    return station.queue.bytes >= QUEUE_BYTES


def next_pair(reports: Any) -> tuple[Any, Any]:
    """The next report `in_pairs` of a worker's call: a reference to its batch, and the note.

    Raises `StopIteration` behind the last one, and what Ray says of a call that ended within a pair.
    """
    data = next(reports)
    try:
        return data, ray.get(next(reports))
    except StopIteration:
        ray.get(data)
        raise


def is_death(error: RayError) -> bool:
    """Whether the actor that was called is dead. Of arguments that died with another, Ray raises both in one."""
    return isinstance(error, RayActorError | OutOfMemoryError) and not isinstance(error, RayTaskError)


def after_table(busy: Busy, how: str, tell: Callable[[Shard, str], None]) -> Assignment:
    """The next try at a table whose worker died, of it or of another table that it was at, or with its node.

    The first time it is sent again whole: an engine that takes tables row by row does little work.
    """
    if busy.assignment.deaths == 0 and busy.assignment.careful.table is None:
        tell(busy.assignment.shard, f"worker died: {how}")
        return replace(busy.assignment, deaths=1)
    return after_death(busy, how, tell)
