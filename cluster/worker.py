"""The actor that does the work. It keeps a step open between shards, and tells of a failure instead of raising it.

It holds nothing that another worker could not make again: losing one costs the shards or tables it was at.
"""

import os
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cluster.careful import Careful, Killed, RowsNext, careful_apply
from cluster.chain import Batch, Chain
from cluster.commit import ShardWriter, Target
from cluster.driver.seldom import seldom
from cluster.errors import HeadraceError, is_transient
from cluster.exchange.shuffle import Task, run_task
from cluster.ledger import Ledger, open_ledger
from cluster.limits import watched, within
from cluster.plan import PlannedStep
from cluster.shards import Shard
from cluster.signals.log import adopt
from cluster.signals.metrics import cpu_seconds
from cluster.work import (
    Opened,
    Report,
    TableDone,
    done,
    read_batches,
    run_shard,
    source_of,
)
from schemas.manifest import Manifest
from stages.stage import Unreadable, WorkerBrokenError, name_of


@dataclass(frozen=True)
class Failed:
    """What an exception in a worker comes to. `ours` errors carry their message; others carry a traceback too."""

    message: str
    trace: str
    transient: bool
    ours: bool


@dataclass(frozen=True)
class TableNote:
    """Of a batch: what became of its rows so far, how many bytes are still in the stream, how long this took."""

    report: TableDone
    bytes: int
    seconds: float = 0.0  # of this worker's work, without waiting for who takes it


@dataclass(frozen=True)
class ShardEnd:
    """The reader is through the shard: pieces it could not read, and the CPU time it took."""

    unreadable: tuple[Unreadable, ...]
    cpu_seconds: float


@dataclass(frozen=True)
class Broken:
    """The last words of a worker whose process is of no use any more: why."""

    message: str


class Worker:
    """One process of a pool. `threads` is what native libraries may use, the cpus the worker was given.

    Ray calls `transform` in as many threads as its stages take tables at a time.
    """

    def __init__(self, threads: int) -> None:
        for name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "ARROW_NUM_THREADS"):
            os.environ[name] = str(max(threads, 1))
        import pyarrow as pa  # noqa: PLC0415 - after the variables above

        pa.set_cpu_count(max(threads, 1))
        self._opened: tuple[str, Opened] | None = None
        self._group: tuple[tuple[str, int], Chain, Ledger | None] | None = None
        self._opening = threading.Lock()

    def ready(self, planned: PlannedStep | None = None, group: int = 0) -> str:
        """The node it is on, once the worker can work: with the stages of a group of `planned` open, if it is given."""
        if planned is not None:
            with suppress(Exception):  # the first shard opens them again, and tells what is wrong as any other failure
                if group:
                    self._open_group(planned, group)
                else:
                    self._open(planned)
        return node_id()

    def run_task(self, planned: PlannedStep, target: Target, task: Task) -> Failed | None:
        """One task of a shuffle."""
        try:
            run_task(planned, target, task)
        except Exception as error:
            return failed(error)
        return None

    def run_shard(
        self, planned: PlannedStep, target: Target, shard: Shard, attempt: int, careful: Careful
    ) -> Iterator[Report | Failed | Broken]:
        """A whole shard, for steps whose stages all share this worker."""
        try:
            with within(planned.groups[0].resources):
                shard_reports = run_shard(self._open(planned), target, shard, attempt, careful)
                reports = watched(shard_reports, planned.stuck_after)
                yield from seldom(reports, each=attempt > 1 or careful != Careful())
        except WorkerBrokenError as error:
            yield from _end(error, planned, shard.name)
        except Exception as error:
            yield failed(error)

    def read(self, planned: PlannedStep, target: Target, shard: Shard, attempt: int, careful: Careful) -> Iterator[Any]:
        """A shard up to the end of the first group, reported `in_pairs`: each table, and the shard's end."""
        with within(planned.groups[0].resources):
            reports = self._read(planned, target, shard, attempt, careful)
            yield from in_pairs(watched(reports, planned.stuck_after))

    def transform(
        self, planned: PlannedStep, group: int, batch: Batch, number: int, attempt: int, careful: Careful, again: bool
    ) -> Iterator[Any]:
        """A batch through a later group, reported `in_pairs`, the last batch being the result.

        `again`: another worker may have had it before, and been answered.
        """
        with within(planned.groups[group].resources):
            reports = self._transform(planned, group, batch, number, attempt, careful, again)
            yield from in_pairs(watched(reports, planned.stuck_after))

    def _read(
        self, planned: PlannedStep, target: Target, shard: Shard, attempt: int, careful: Careful
    ) -> Iterator[Report | TableNote | ShardEnd | Failed | Broken | tuple[TableNote, Batch]]:
        try:
            cpu = cpu_seconds()
            unreadable = []
            begun = time.perf_counter()
            for item in read_batches(self._open(planned), target, shard, attempt, careful):
                if isinstance(item, Unreadable):
                    unreadable.append(item)
                elif isinstance(item, RowsNext | Killed):
                    yield item
                else:
                    report, batch = item
                    yield TableNote(report, batch.kept.nbytes, time.perf_counter() - begun), batch
                    begun = time.perf_counter()
            yield ShardEnd(tuple(unreadable), cpu_seconds() - cpu)
        except WorkerBrokenError as error:
            yield from _end(error, planned, shard.name)
        except Exception as error:
            yield failed(error)

    def _transform(
        self, planned: PlannedStep, group: int, batch: Batch, number: int, attempt: int, careful: Careful, again: bool
    ) -> Iterator[Report | TableNote | Failed | Broken | tuple[TableNote, Batch]]:
        try:
            chain, ledger = self._open_group(planned, group)
            begun = time.perf_counter()
            if ledger is not None:
                ledger.refresh(force=again)
            for part in careful_apply(chain, batch.kept, number, attempt, careful):
                if isinstance(part, RowsNext):
                    yield part
                else:
                    batch = batch.join(part)
            seconds = time.perf_counter() - begun
            yield TableNote(done(number, batch, 0.0), batch.kept.nbytes, seconds), batch
        except WorkerBrokenError as error:
            yield from _end(error, planned, table=number)
        except Exception as error:
            yield failed(error)

    def _open_group(self, planned: PlannedStep, group: int) -> tuple[Chain, Ledger | None]:
        key, stages = (planned.fingerprint, group), planned.groups[group].stages
        adopt(planned.log, planned.name)
        with self._opening:
            if self._group is None or self._group[0] != key:
                self._group = None
                ledger = open_ledger(stages, planned.ledger, planned.name)
                self._group = key, Chain(stages, planned.ask, ledger), ledger
            return self._group[1:]

    def _open(self, planned: PlannedStep) -> Opened:
        adopt(planned.log, planned.name)
        with self._opening:
            if self._opened is None or self._opened[0] != planned.fingerprint:
                self._opened = None  # lets go of the earlier step's models first
                self._opened = planned.fingerprint, Opened(planned, planned.groups[0].stages)
            return self._opened[1]


class Sink:
    """Takes the batches of several shards, each shard's in order, and commits them."""

    def __init__(self) -> None:
        self._writers: dict[str, ShardWriter] = {}
        self._failures: dict[str, Failed] = {}  # the first of a shard: it is not to be committed

    def ready(self) -> str:
        """The node it is on."""
        return node_id()

    def add(self, planned: PlannedStep, target: Target, shard: Shard, batch: Batch) -> Failed | None:
        """The next batch of `shard`."""
        try:
            if shard.name not in self._writers:
                self._writers[shard.name] = ShardWriter(target, shard.name, planned.schema)
            self._writers[shard.name].add(batch)
        except Exception as error:
            return self._failures.setdefault(shard.name, failed(error))
        return None

    def commit(
        self, planned: PlannedStep, target: Target, shard: Shard, end: ShardEnd, tables: int, seconds: float
    ) -> Manifest | Failed:
        """Close the account and put the manifest, if all `tables` are there.

        Calls come in order, but Ray does not make one whose table died with its node: then this one comes all the same.
        """
        try:
            writer = self._writers.pop(shard.name, None) or ShardWriter(target, shard.name, planned.schema)
            if (failure := self._failures.pop(shard.name, None)) is not None or writer.batches != tables:
                writer.abandon(InterruptedError("begun again"))
                short = f"{tables - writer.batches} of {tables} tables did not come"
                return failure or Failed(short, "", transient=True, ours=False)
            for piece in end.unreadable:
                writer.note(piece)
            cpu = end.cpu_seconds + sum(
                cost.cpu_seconds
                for stage, cost in writer.costs.items()
                if stage not in {name_of(first) for first in planned.groups[0].stages}
            )
            return writer.commit(planned.name, planned.fingerprint, source_of(shard), seconds, cpu)
        except Exception as error:
            return failed(error)

    def forget(self, shard: Shard) -> None:
        """The shard is begun again elsewhere; nothing of this attempt may appear."""
        writer = self._writers.pop(shard.name, None)
        self._failures.pop(shard.name, None)
        if writer is not None:
            writer.abandon(InterruptedError("begun again"))


def node_id() -> str:
    """Of the node that this actor is on."""
    import ray  # noqa: PLC0415 - also the local runner imports this file, and needs no Ray

    return str(ray.get_runtime_context().get_node_id())


def in_pairs(reports: Iterator[Any]) -> Iterator[Any]:
    """Each report as two objects: its batch, None if it has none, and then the note that tells of it.

    Who has the note knows that the batch has come: of a call that dies, Ray puts the error in the next object's place.
    """
    for report in reports:
        note, batch = report if isinstance(report, tuple) else (report, None)
        yield batch
        yield note


def _end(error: WorkerBrokenError, planned: PlannedStep, shard: str | None = None, **more: Any) -> Iterator[Broken]:
    """Tell the driver why, and end the process once it has heard it: only a new one helps."""
    what = f"worker {os.getpid()} ends: {error}"
    planned.log.tell(what, event="worker_ends", level="error", step=planned.name, shard=shard, **more)
    yield Broken(f"{type(error).__name__}: {error}")
    os._exit(1)


def failed(error: Exception) -> Failed:
    """`error` as plain data."""
    ours = isinstance(error, HeadraceError)
    message = str(error) if ours else f"{type(error).__name__}: {error}"
    return Failed(message, "".join(traceback.format_exception(error)), is_transient(error), ours)
