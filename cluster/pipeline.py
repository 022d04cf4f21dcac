"""A step over several kinds of workers: tables flow from readers through pools to the sinks that write shards.

    readers --queue--> pool of group 1 --queue--> ... --in order--> sinks

Queues hold references; the bytes behind them are bounded. A full queue stops the pool before it: a reader whose next
table is not taken waits, holding one table. A worker that dies costs the tables it was at, which are sent again; lost
readers, sinks and objects cost the shard, which is begun again under a new epoch, so that late results are ignored.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from cluster.commit import Target
from cluster.errors import RunError, ShardError
from cluster.ledger import asks
from cluster.plan import PlannedStep
from cluster.pool import Pool, spawn
from cluster.progress import Progress
from cluster.shards import Shard
from cluster.sizes import pool_sizes
from cluster.stream import MAX_ATTEMPTS, MAX_DEATHS, WAIT_S, Assignment, Busy, after_death, after_error, first_line
from cluster.work import RowNext
from cluster.worker import Broken, Failed, ShardEnd, Sink, Worker
from schemas.manifest import Manifest
from stages.stage import name_of

QUEUE_BYTES = 256 << 20  # text waiting before a pool; a table more may be on its way
AHEAD = 1  # calls per worker beyond those it is at, so that the next table is there when one is done
STREAM = {"num_returns": "streaming", "_generator_backpressure_num_objects": 1}


@dataclass
class OpenShard:
    """A shard between its reader and its commit."""

    assignment: Assignment
    sink: Any
    begun: float
    epoch: int
    ready: dict[int, Any] = field(default_factory=dict)  # batches that wait for an earlier one
    written: int = 0
    tables: int = 0
    end: ShardEnd | None = None


@dataclass
class Item:
    """A table on its way to a group: where it belongs, its data, and what earlier attempts have taught."""

    shard: str
    epoch: int
    number: int
    data: Any
    bytes: int
    assignment: Assignment  # attempts at this table; its `careful` and `suspect` are this table's

    @property
    def alone(self) -> bool:
        """A worker has died at it: the next one is to have nothing else, so that it is known what it dies of."""
        return self.assignment.deaths > 0 or self.assignment.careful.table is not None


@dataclass
class Station:
    """A pool behind a queue."""

    group: int
    pool: Pool
    keep: bool = False  # its workers hold models: they stay until the step ends
    queue: deque[Item] = field(default_factory=deque)
    busy: dict[Any, tuple[Busy, Item]] = field(default_factory=dict)
    stillborn: int = 0  # workers in a row that died before they could work

    @property
    def full(self) -> bool:
        return sum(item.bytes for item in self.queue) >= QUEUE_BYTES


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
        sizes = pool_sizes(planned, workers)
        self.readers = Pool(lambda: self._spawn(0), sizes[0])
        self.stations = [self._station(g, size) for g, size in enumerate(sizes) if g > 0]
        self.sinks = [ray.remote(Sink).options(num_cpus=0).remote() for _ in range(max(1, sizes[0] // 4))]
        self.todo: deque[Assignment] = deque()
        self.reading: dict[Any, tuple[Busy, int]] = {}  # reports -> (reader, epoch of its shard)
        self.shards: dict[str, OpenShard] = {}
        self.writing: dict[Any, tuple[str, int]] = {}  # acknowledgement of a sink -> (shard, epoch)
        self.epoch = 0

    def run(self, shards: list[Shard]) -> None:
        """Until every shard is committed."""
        self.todo.extend(Assignment(shard) for shard in sorted(shards, key=lambda s: (-s.bytes, s.name)))
        # Side by side, before the first table is there; the largest parts of GPUs first, while there is room for them.
        for station in sorted(self.stations, key=lambda s: -self.planned.groups[s.group].resources.gpus):
            station.pool.resize(min(len(shards), station.pool.maximum) * station.pool.in_flight if station.keep else 1)
        while self.todo or self.shards:
            self._start_readers()
            for station in self.stations:
                self._dispatch(station)
            self._wait()
            self.progress.beat()

    def close(self) -> None:
        self.readers.close()
        for station in self.stations:
            station.pool.close()
        for sink in self.sinks:
            ray.kill(sink)

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
        while self.todo and not self.stations[0].full and (reader := self.readers.take()) is not None:
            assignment = self.todo.popleft()
            shard = assignment.shard
            self.epoch += 1
            sink = min(self.sinks, key=lambda s: sum(open_.sink == s for open_ in self.shards.values()))
            self.shards[shard.name] = OpenShard(assignment, sink, time.perf_counter(), self.epoch)
            self.progress.started(shard)
            reports = reader.read.options(**STREAM).remote(
                self.planned, self.target, shard, assignment.attempt, assignment.careful
            )
            self.reading[reports] = Busy(reader, assignment), self.epoch

    def _dispatch(self, station: Station) -> None:
        station.pool.resize(len(station.queue) + len(station.busy), shrink=not station.keep)
        later = self.stations[station.group] if station.group < len(self.stations) else None
        while station.queue and not (later and later.full):
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
        readers = [] if self.stations[0].full else list(self.reading)
        calls = {reports: station for station in self.stations for reports in station.busy}
        starting = {ref: station for station in self.stations for ref in station.pool.starting}
        waiting = [*readers, *calls, *self.writing, *starting]
        ready = ray.wait(waiting, num_returns=len(waiting), timeout=0.0, fetch_local=False)[0] if waiting else []
        if not ready:
            if not waiting:
                raise RunError(f"step {self.planned.name}: nothing is in work and {len(self.shards)} shards are open")
            ready = ray.wait(waiting, timeout=WAIT_S, fetch_local=False)[0]
        for ref in ready:
            if ref in self.writing:
                self._hear_sink(ref)
            elif ref in starting:
                self._hear_start(starting[ref], ref)
            elif ref in calls:
                self._hear_worker(calls[ref], ref)
            elif ref in self.reading:
                self._hear_reader(ref)

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
            if self._current(shard.name, epoch):
                self._restart(shard.name, after_death(busy, busy.cause(error), self.progress.failed))
            return
        if isinstance(note, RowNext):
            busy.row = note.table, note.row
        elif isinstance(note, Broken):
            busy.last_words = note.message
        elif isinstance(note, Failed):
            busy.failure = note
        elif self._current(shard.name, epoch):
            open_shard = self.shards[shard.name]
            if isinstance(note, ShardEnd):
                open_shard.end = note
                self._flush(shard.name)
            else:
                number = note.report.table
                busy.table, busy.row = number + 1, None
                open_shard.tables = number + 1
                self.progress.read(shard, note.report.fraction)
                item = Item(shard.name, epoch, number, data, note.bytes, Assignment(shard))
                self.stations[0].queue.append(item)

    def _hear_start(self, station: Station, ref: Any) -> None:
        try:
            ray.get(ref)
        except RayError as error:
            station.pool.lost(station.pool.starting[ref])
            station.stillborn += 1
            if station.stillborn > MAX_DEATHS:
                who = ", ".join(name_of(stage) for stage in self.planned.groups[station.group].stages)
                raise RunError(
                    f"step {self.planned.name}: {station.stillborn} workers for {who} died while they started, "
                    f"the last: {first_line(error)}"
                ) from error
        else:
            station.pool.started(ref)
            station.stillborn = 0

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
        if isinstance(note, RowNext):
            busy.row = note.table, note.row
        elif isinstance(note, Broken):
            busy.last_words = note.message
        elif isinstance(note, Failed):
            busy.failure = note
        elif self._current(item.shard, item.epoch):
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
            commit = shard.sink.commit.remote(self.planned, self.target, what, shard.end, seconds)
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
            self.progress.committed(self.shards.pop(name).assignment.shard, answer)
        elif isinstance(answer, Failed):
            assignment = self.shards[name].assignment
            self._restart(name, after_error(Busy(None, assignment, failure=answer), self.progress.failed))

    def _replace_sink(self, sink: Any, how: str) -> None:
        self.sinks = [s for s in self.sinks if s != sink] + [ray.remote(Sink).options(num_cpus=0).remote()]
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
        self.todo.appendleft(assignment)

    def _current(self, name: str, epoch: int) -> bool:
        return name in self.shards and self.shards[name].epoch == epoch


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
    return isinstance(error, RayActorError) and not isinstance(error, RayTaskError)


def after_table(busy: Busy, how: str, tell: Callable[[Shard, str], None]) -> Assignment:
    """The next try at a table whose worker died, of it or of another table that it was at, or with its node.

    The first time it is sent again whole: an engine that takes tables row by row does little work.
    """
    if busy.assignment.deaths == 0 and busy.assignment.careful.table is None:
        tell(busy.assignment.shard, f"worker died: {how}")
        return replace(busy.assignment, deaths=1)
    return after_death(busy, how, tell)
