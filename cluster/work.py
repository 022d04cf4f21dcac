"""One shard from its file to its commit, told in small reports. Both runners run shards through here.

The reports are what a driver needs to know while the rows stay in the worker: how far the shard is, and, in careful
mode, which rows are next, so that a row that takes the whole process with it can be named.
"""

import dataclasses
import posixpath
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from cluster.asked import Asked, asked_of
from cluster.barrier import Moving, Shuffle
from cluster.careful import Careful, Killed, RowsNext, careful_apply
from cluster.chain import Batch, Chain
from cluster.commit import ShardWriter, Target
from cluster.errors import HeadraceError, RunError, is_transient
from cluster.exchange.shuffle import join_verdicts, read_verdicts
from cluster.ledger import asks, open_ledger
from cluster.plan import PlannedStep
from cluster.seen.remember import remembering
from cluster.shards import Shard
from cluster.signals.metrics import cpu_seconds
from cluster.storage import open_input
from cluster.trial import CannotTellError, Trial, killers
from schemas.manifest import Counts, Manifest
from stages.stage import Read, Stage, Unreadable, name_of

LOOK_S = 10.0  # at tables that no process dies of: a worker tells every 5 s where it is (driver/seldom.py)
WINDOW = 2  # tables, for each that is in work, between the first that is not told of and the last that was begun


@dataclass(frozen=True)
class TableDone:
    """A table of the shard is through. `fraction` is how much of the shard's input is behind it, 0 to 1."""

    table: int
    counts: Counts
    fraction: float
    deaths: tuple[tuple[str, int], ...] = ()  # "<stage>: <error type>", rows
    asked: tuple[Asked, ...] = ()


Report = TableDone | RowsNext | Killed | Manifest


class Opened:
    """A step opened in this process: its source, and `stages` of it."""

    def __init__(self, planned: PlannedStep, stages: tuple[Stage, ...]) -> None:
        self.planned = planned
        self.read: Read = planned.step.source.open()
        self.ledger = open_ledger(stages, planned.ledger, planned.name)
        self.chain = Chain(stages, planned.ask, self.ledger)
        # What is kept of rows seen before must not depend on which thread was first.
        self.ordered = remembering(stages) is not None
        self.tables = 1 if self.ordered else max((stage.resources.tables for stage in stages), default=1)
        # Called twice, they would take a GPU that is theirs, pay again, or take a row for one seen before.
        twice = not (self.ordered or asks(stages) or any(stage.resources.gpus for stage in stages))
        self.apart = twice and bool(stages)
        self.stages = stages


def run_shard(opened: Opened, target: Target, shard: Shard, attempt: int, careful: Careful) -> Iterator[Report]:
    """Read, transform, write and commit one shard; the last report is its manifest."""
    planned = opened.planned
    wall, cpu = time.perf_counter(), cpu_seconds()
    writer = ShardWriter(target, shard.name, planned.schema)
    try:
        for item in read_batches(opened, target, shard, attempt, careful):
            if isinstance(item, Unreadable):
                writer.note(item)
            elif isinstance(item, RowsNext | Killed):
                yield item
            else:
                report, batch = item
                writer.add(batch)
                yield report
        yield writer.commit(
            planned.name, planned.fingerprint, source_of(shard), time.perf_counter() - wall, cpu_seconds() - cpu
        )
    except BaseException as error:
        writer.abandon(error)
        if isinstance(error, Exception) and not isinstance(error, HeadraceError):
            error.add_note(f"in step {planned.name}, shard {shard.name} ({shard.piece.uri})")
        raise


def read_batches(
    opened: Opened, target: Target, shard: Shard, attempt: int, careful: Careful
) -> Iterator[tuple[TableDone, Batch] | RowsNext | Killed | Unreadable]:
    """The shard's tables after the opened stages, in order, and what is to be told on the way.

    Several at a time where the stages can: then a worker that died may have died at any of those behind the last one
    it told of, which are sent one after the other the next time.
    """
    if opened.ledger is not None:
        opened.ledger.refresh(force=attempt > 1)
    tried: tuple[TableDone, Batch] | None = None
    for told in _try(opened, target, shard, attempt, careful):
        if isinstance(told, tuple):
            tried = told
            continue
        yield told
        if isinstance(told, Killed):
            careful = Careful(killers=(*careful.killers, *told.killers))
    alone = 0 if careful.table is None else careful.table + WINDOW * opened.tables
    ahead = Ahead(opened.tables)
    try:
        for number, item, fraction in read_shard(opened, target, shard):
            if isinstance(item, Unreadable):
                yield item
            elif number == careful.table and tried is not None:
                yield tried
            elif opened.tables == 1 or number < alone:
                yield from _through(opened, item, number, fraction, attempt, careful)
            else:
                ahead.submit(opened, item, number, fraction, attempt, careful)
                yield from ahead.ready()
        yield from ahead.rest()
    except Exception as error:
        if is_transient(error):  # the shard will be tried again: what is being asked should be answered by then
            ahead.settle()
        raise


def _try(
    opened: Opened, target: Target, shard: Shard, attempt: int, careful: Careful
) -> Iterator[tuple[TableDone, Batch] | RowsNext | Killed]:
    """What a worker died of, before the shard is begun again: looked for in a process apart, or at its own risk."""
    if careful.table is None or opened.ordered:
        return
    if careful.apart and opened.apart:
        for told in _try_apart(opened, target, shard, attempt, careful):
            yield told
            if isinstance(told, Killed):
                return
    yield from _try_first(opened, target, shard, attempt, careful)


def _try_apart(
    opened: Opened, target: Target, shard: Shard, attempt: int, careful: Careful
) -> Iterator[RowsNext | Killed]:
    """The table that a worker may have died at, and those behind it, in a process apart until that dies of one.

    A worker that is lost at this all the same leaves word which table it was: the next one tries it itself.
    """
    assert careful.table is not None
    until: float | None = None
    try:
        with closing(Trial(opened.stages)) as trial:
            for number, item, _ in read_shard(opened, target, shard):
                yield RowsNext(number, 0, 0)
                if number < careful.table or not isinstance(item, pa.Table):
                    continue
                known = {row for table, row, _ in careful.killers if table == number}
                rows = opened.chain.admit(item, name_of(opened.planned.step.source), attempt).kept
                left = [row for row in range(rows.num_rows) if row not in known]
                yield RowsNext(number, 0, rows.num_rows)
                if found := killers(rows.take(left) if known else rows, trial):
                    yield Killed(tuple((number, left[row], f"worker died: {how}") for row, how in found.items()))
                    return
                until = until or time.monotonic() + LOOK_S
                if time.monotonic() > until:
                    break
    except CannotTellError as error:
        what = f"shard {shard.name}: a process apart cannot tell what a worker died of ({error}); workers find it"
        opened.planned.log.tell(what, event="not_apart", level="warning", step=opened.planned.name, shard=shard.name)
    yield RowsNext(careful.table, 0, 0)


def _try_first(
    opened: Opened, target: Target, shard: Shard, attempt: int, careful: Careful
) -> Iterator[tuple[TableDone, Batch] | RowsNext]:
    """The table that a worker died at, and what is to be told on the way: the tables before it are read and no more.

    A poison row takes several workers until it is known. What each of them had done of the shard would be lost again.
    """
    for number, item, fraction in read_shard(opened, target, shard):
        if number == careful.table and isinstance(item, pa.Table):
            yield from _through(opened, item, number, fraction, attempt, careful)
            yield RowsNext(number, 0, 0)
            return
        yield RowsNext(number, 0, 0)  # or the worker would be taken for stuck


class Ahead:
    """Tables that threads are at, up to `tables` at a time, and their results in order.

    The threads are daemons: a run that has failed does not wait for answers that may take a quarter of an hour.
    """

    def __init__(self, tables: int) -> None:
        self._tables = tables
        self._waiting: deque[Future[list[tuple[TableDone, Batch] | RowsNext]]] = deque()

    def submit(self, *table: Any) -> None:
        """A table as `_through` takes it; `ready` has made room for it."""
        future: Future[list[tuple[TableDone, Batch] | RowsNext]] = Future()

        def work() -> None:
            try:
                future.set_result(list(_through(*table)))
            except BaseException as error:
                future.set_exception(error)

        self._waiting.append(future)
        threading.Thread(target=work, name="table", daemon=True).start()

    def ready(self) -> Iterator[tuple[TableDone, Batch] | RowsNext]:
        """Results that are there, until there is room for another table."""
        while self._waiting:
            if self._waiting[0].done():
                yield from self._waiting.popleft().result()
                continue
            running = [future for future in self._waiting if not future.done()]
            full = len(self._waiting) >= WINDOW * self._tables
            if len(running) < self._tables and not full:
                return
            wait(running[:1] if full else running, return_when=FIRST_COMPLETED)

    def rest(self) -> Iterator[tuple[TableDone, Batch] | RowsNext]:
        while self._waiting:
            yield from self._waiting.popleft().result()

    def settle(self) -> None:
        """Wait until no thread is at a table, whatever comes of them."""
        wait(self._waiting)


def _through(
    opened: Opened, table: pa.Table, number: int, fraction: float, attempt: int, careful: Careful
) -> Iterator[tuple[TableDone, Batch] | RowsNext]:
    """A table of the source through the opened stages."""
    whole = opened.chain.admit(table, name_of(opened.planned.step.source), attempt)
    rows = whole.kept
    whole.kept = rows.slice(0, 0)
    for part in careful_apply(opened.chain, rows, number, attempt, careful):
        if isinstance(part, RowsNext):
            yield part
        else:
            whole = whole.join(part)
    yield done(number, whole, fraction), whole


def done(number: int, batch: Batch, fraction: float) -> TableDone:
    """The report on a table that came through as `batch`."""
    counts = batch.counts + Counts(out=batch.kept.num_rows)
    asked = asked_of([batch.kept, *batch.removed, *batch.dead])
    return TableDone(number, counts, fraction, causes_of_death(batch.dead), asked)


def read_shard(opened: Opened, target: Target, shard: Shard) -> Iterator[tuple[int, pa.Table | Unreadable, float]]:
    """What the source makes of a shard: (number of the table, table or unreadable piece, fraction read so far)."""
    shuffle = opened.planned.step.shuffle
    verdicts = read_verdicts(opened.planned, target.folder, shard.name) if isinstance(shuffle, Shuffle) else None
    number = first_row = 0
    with open_input(shard.piece.uri) as file:
        for item in opened.read(file, shard.piece):
            if isinstance(item, Unreadable) and opened.planned.step.after is not None:
                # Not a broken piece of the web: these are rows that were counted as kept.
                raise RunError(
                    f"step {opened.planned.name}: {shard.piece.uri} cannot be read: {item.error}\n"
                    f"  {_way_out(opened.planned, target, shard)}"
                )
            if isinstance(item, pa.Table) and isinstance(shuffle, Shuffle) and verdicts is not None:
                rows = item.num_rows
                item = join_verdicts(shuffle, item, verdicts, first_row)  # noqa: PLW2901
                first_row += rows
            yield number, item, _fraction(file, shard)
            number += isinstance(item, pa.Table)


def _way_out(planned: PlannedStep, target: Target, shard: Shard) -> str:
    """What to do about a shard that a step of this run has written and nobody can read."""
    if isinstance(planned.step.shuffle, Moving):
        return "this step wrote it: delete it, and a run brings its rows in order again"
    manifest = f"{posixpath.dirname(target.url)}/{planned.step.after}/manifests/{shard.name}.json"
    return f"step {planned.step.after} wrote it: delete {manifest}, and a run makes it again"


def source_of(shard: Shard) -> dict[str, Any]:
    """What the manifest says of the shard's input."""
    return {**dataclasses.asdict(shard.piece), "size": shard.file.size, "etag": shard.file.etag}


def causes_of_death(dead: list[pa.Table]) -> tuple[tuple[str, int], ...]:
    """How many rows died of what: the stage and the kind of error."""
    causes: Counter[str] = Counter()
    for table in dead:
        stages, errors = table.column("stage").to_pylist(), table.column("error").to_pylist()
        causes.update(
            f"{stage}: {(error or '').partition(':')[0]}" for stage, error in zip(stages, errors, strict=True)
        )
    return tuple(causes.most_common())


def _fraction(file: Any, shard: Shard) -> float:
    """How far reading is. Sources read ahead, so it is a little early; only progress and ETA use it."""
    start, size = shard.piece.start, max(shard.bytes, 1)
    position = file.tell() - start if shard.bytes < shard.file.size or start == 0 else 0
    return float(min(max(position / size, 0.0), 1.0))
