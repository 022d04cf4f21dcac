"""What is happening, for a person (a live bar), a log (a line every 10 s) or another process (status.json).

The driver tells this object what happens; it adds up, draws, and stops the run when too many rows have died.
"""

import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from cluster.asked import Asked
from cluster.errors import DeadRowsError
from cluster.shards import Shard
from cluster.signals.events import Hear, Looked, PoolSeen, ShardBegan, ShardCommitted, ShardFailed, ignore
from cluster.signals.log import TEXT, Log
from cluster.signals.telemetry import LOOK_EVERY_S
from cluster.storage import Folder
from cluster.work import TableDone
from schemas.manifest import Counts, Manifest
from schemas.visible import one_line

LOG_EVERY_S = 10.0
DRAW_EVERY_S = 0.5
BAR_CELLS = 24
PROGRESS = (
    "shards", "done", "retries", "rows_in", "out", "dropped", "dead", "unreadable", "rows_per_second", "fraction",
    "eta_seconds", "barrier",
)  # fmt: skip
JUDGE_FROM_ROWS = 1000  # before the end of a step, dead rows are judged once this many rows were seen


@dataclass
class Running:
    """A shard in work: what is through so far, none of it committed."""

    shard: Shard
    counts: Counts = field(default_factory=Counts)
    fraction: float = 0.0
    deaths: Counter[str] = field(default_factory=Counter)
    asked: dict[int, tuple[Asked, ...]] = field(default_factory=dict)  # by table, of those that asked models


@dataclass
class Phase:
    """Of a barrier: tasks of one kind, named as the folder of their files."""

    name: str
    tasks: int
    done: int


class Progress:
    """The account of one step while it runs: of its barrier if it has one (`phase`), then of its shards (`begin`)."""

    def __init__(
        self,
        step: str,
        output: Folder,
        *,
        max_dead: float,
        done: int = 0,
        counts: Counts | None = None,
        quiet: bool = False,
        log: Log = TEXT,
        hear: Hear = ignore,
    ) -> None:
        """`done`: shards of earlier runs, which have counted `counts`."""
        self.step, self.output, self.max_dead = step, output, max_dead
        self.counts = counts or Counts()
        self.total = self.done = done
        self.retries = 0
        self._phase: Phase | None = None
        self._deaths: Counter[str] = Counter()
        self._running: dict[str, Running] = {}
        self._open = [0, 0, 0]  # rows in, emitted and dead of those that run: adding them up is too slow for each table
        self._begun = time.monotonic()
        self._rows_before = self.counts.rows_in
        self._bytes_total = self._bytes_done = 0
        self._told = self._drawn = self._looked = 0.0
        self._log, self._hear = log, hear
        self._look: Callable[[], tuple[PoolSeen, ...]] = tuple
        self._failures: Counter[str] = Counter()  # of shards that are not committed
        self._through: dict[str, set[int]] = {}  # of those, the tables that an attempt has paid for
        self._live: Live | None = None
        console = Console(stderr=True)
        if console.is_terminal and not quiet and self._log.form == "text":
            self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> "Progress":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        with suppress(*([Exception] if failed else [])):  # the first error is the one to tell
            self._tell(force=True)
        if self._live is not None:
            self._live.stop()

    def phase(self, name: str, tasks: int, done: int) -> None:
        """The step's barrier is at these tasks, of which `done` were done by an earlier run."""
        self._phase = Phase(name, tasks, done)
        self._tell()

    def task_done(self) -> None:
        """One more task of the phase."""
        assert self._phase is not None
        self._phase.done += 1
        self._tell()

    def begin(self, shards: int, n_bytes: int) -> None:
        """Now the step is at its shards, so many with those that are done; `n_bytes` are left."""
        self._phase, self._begun = None, time.monotonic()
        self.total = shards
        self._bytes_total = max(n_bytes, 1)
        self._tell(force=True)

    def watch(self, look: Callable[[], tuple[PoolSeen, ...]]) -> None:
        """From now on `look` tells what the runner's pools are at."""
        self._look = look

    def started(self, shard: Shard) -> None:
        self._forget(shard)
        self._running[shard.name] = Running(shard)
        attempt = 1 + self._failures[shard.name]
        self._hear(ShardBegan(shard, attempt))
        self._log.detail(
            f"shard {shard.name} began", event="shard_began", step=self.step, shard=shard.name, attempt=attempt
        )
        self._tell()

    def table(self, shard: Shard, report: TableDone) -> None:
        """A table is through. Raises `DeadRowsError` when too many rows have died so far."""
        running = self._running[shard.name]
        running.counts += report.counts
        self._add_open(report.counts, 1)
        running.deaths.update(dict(report.deaths))
        running.fraction = max(running.fraction, report.fraction)
        if report.asked:
            running.asked[report.table] = report.asked
        for cause, rows in report.deaths:
            self._log.detail(
                f"shard {shard.name}, table {report.table}: {rows} rows died: {cause}", event="rows_died",
                level="warning", step=self.step, shard=shard.name, table=report.table, rows=rows, cause=cause,
            )  # fmt: skip
        self._judge(at_end=False)
        self._tell()

    def read(self, shard: Shard, fraction: float) -> None:
        """The shard's reader is this far; its tables are still on their way through other pools."""
        running = self._running[shard.name]
        running.fraction = max(running.fraction, fraction)

    def committed(self, shard: Shard, manifest: Manifest) -> None:
        running = self._running[shard.name]
        self._forget(shard)
        self._deaths += running.deaths
        self._tell_committed(running, manifest)
        self.counts += manifest.counts
        self.done += 1
        self._bytes_done += shard.bytes
        self._judge(at_end=False)
        self._tell()

    def failed(self, shard: Shard, why: str) -> None:
        """A shard will be tried again."""
        running = self._forget(shard)
        if running is not None and running.asked:
            self._through.setdefault(shard.name, set()).update(running.asked)
        self._failures[shard.name] += 1
        self._hear(ShardFailed(shard, why))
        self.retried(shard, why)

    def retried(self, shard: Shard, why: str) -> None:
        """A table of the shard will be tried again."""
        self.retries += 1
        what = f"{self.step}: shard {shard.name} is tried again: {why.splitlines()[0] if why else 'unknown'}"
        self.note(what, event="retried", level="warning", shard=shard.name, why=why)

    def beat(self) -> None:
        """Nothing has happened; the log goes on all the same."""
        self._tell()

    def note(self, message: str, **what: Any) -> None:
        """One line for the log; `what` is for `Log.tell`."""
        message = one_line(message)
        if self._live is not None:
            self._live.console.print(message, markup=False, highlight=False)
        else:
            self._log.tell(message, step=self.step, **what)

    def judge_end(self) -> None:
        """Raise `DeadRowsError` if more of the step's rows died than --max-dead allows."""
        self._judge(at_end=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    def snapshot(self) -> dict[str, Any]:
        """Plain data: what `status.json` and `headrace status` show."""
        seen, phase = self._seen(), self._phase
        seconds = self.seconds
        rows = seen.rows_in - self._rows_before
        part = self._bytes_done + sum(r.shard.bytes * r.fraction for r in self._running.values())
        left = self._bytes_total - part
        eta = left * seconds / part if part > 0 and seconds > 1 else None
        return {
            "step": self.step,
            "shards": self.total,
            "done": self.done,
            "running": sorted(self._running),
            "retries": self.retries,
            "rows_in": seen.rows_in,
            "out": seen.out,
            "dropped": sum(seen.dropped.values()),
            "dead": seen.dead,
            "unreadable": seen.unreadable,
            "seconds": round(seconds, 1),
            "rows_per_second": round(rows / seconds, 1) if seconds > 0 else 0.0,
            "fraction": self._fraction(part),
            "eta_seconds": None if eta is None or self.done == self.total else round(eta),
            "barrier": None if phase is None else {"phase": phase.name, "tasks": phase.tasks, "done": phase.done},
            "at": time.time(),
        }

    def _fraction(self, part: float) -> float:
        if self._phase is not None:
            return round(self._phase.done / self._phase.tasks, 4)
        if self._bytes_total == 0:  # it has not begun
            return 0.0
        return round(part / self._bytes_total, 4) if self._bytes_total > 1 else 1.0

    def _tell_committed(self, running: Running, manifest: Manifest) -> None:
        shard, counts = running.shard, manifest.counts
        through = self._through.pop(shard.name, ())
        asked = tuple(one for of_table in running.asked.values() for one in of_table)
        again = tuple(one for table in through for one in running.asked.get(table, ()))
        self._hear(ShardCommitted(shard, manifest, asked, again))
        self._log.detail(
            f"shard {shard.name} is committed", event="shard_committed", step=self.step, shard=shard.name,
            attempt=1 + self._failures.pop(shard.name, 0), rows_in=counts.rows_in, out=counts.out,
            dropped=sum(counts.dropped.values()), dead=counts.dead, seconds=round(manifest.seconds, 3),
        )  # fmt: skip

    def _forget(self, shard: Shard) -> Running | None:
        running = self._running.pop(shard.name, None)
        if running is not None:
            self._add_open(running.counts, -1)
        return running

    def _add_open(self, counts: Counts, sign: int) -> None:
        for at, rows in enumerate((counts.rows_in, counts.emitted, counts.dead)):
            self._open[at] += sign * rows

    def _seen(self) -> Counts:
        return sum((r.counts for r in self._running.values()), self.counts)

    def _judge(self, at_end: bool) -> None:
        counts = self.counts
        rows_in, emitted, dead = counts.rows_in, counts.emitted, counts.dead
        if not at_end:
            rows_in, emitted, dead = rows_in + self._open[0], emitted + self._open[1], dead + self._open[2]
        rows = rows_in + max(emitted, 0)  # rows that stages made can die too
        if dead <= self.max_dead * rows or (not at_end and rows < JUDGE_FROM_ROWS):
            return
        seen = self.counts if at_end else self._seen()
        deaths = sum((r.deaths for r in self._running.values()), self._deaths)
        histogram = "".join(f"\n  {rows:>8,}  {cause}" for cause, rows in deaths.most_common(20))
        earlier = seen.dead - deaths.total()
        histogram += f"\n  {earlier:>8,}  in earlier runs" if earlier > 0 else ""
        raise DeadRowsError(
            f"step {self.step}: {seen.dead} of {rows} rows died, more than --max-dead {self.max_dead:g} "
            f"allows; they are in {self.output.url}/{self.step}/dead{histogram}"
        )

    def _tell(self, force: bool = False) -> None:
        now = time.monotonic()
        if force or now - self._told >= LOG_EVERY_S:
            self._told = now
            self.output.put("status.json", json.dumps(self.snapshot()).encode())
            if self._live is None:
                seen = self.snapshot()
                more = {key: seen[key] for key in PROGRESS}
                self.note(line(seen), event="progress", running=len(seen["running"]), **more)
        if force or now - self._looked >= LOOK_EVERY_S:
            self._looked = now
            running = len(self._running)
            phase = self._phase
            tasks = (0, 0) if phase is None else (phase.done, phase.tasks - phase.done)
            self._hear(Looked(self.done, running, self.total - self.done - running, self._look(), tasks))
        if self._live is not None and (force or now - self._drawn >= DRAW_EVERY_S):
            self._drawn = now
            self._live.update(bar(self.snapshot(), self._live.console.width), refresh=True)


def line(s: dict[str, Any]) -> str:
    """A snapshot in one line of plain text."""
    if (at := s.get("barrier")) is not None:
        return f"{s['step']}: before its shards, {at['phase']}: {at['done']:,} of {at['tasks']:,} tasks"
    eta = f", {duration(s['eta_seconds'])} left" if s["eta_seconds"] is not None else ""
    unreadable = f", {s['unreadable']:,} unreadable" if s["unreadable"] else ""
    dead = f", {s['dead']:,} dead" if s["dead"] else ""
    return (
        f"{s['step']}: shards {s['done']}/{s['shards']} ({len(s['running'])} running), {s['rows_in']:,} in, "
        f"{s['out']:,} kept, {s['dropped']:,} dropped{dead}{unreadable}, {s['rows_per_second']:,.0f}/s{eta}"
    )


def bar(s: dict[str, Any], width: int) -> Text:
    """A snapshot as a bar with rate and time left, and the account in a line below it."""
    share = s["fraction"]
    eta = f"{duration(s['eta_seconds'])} left" if s["eta_seconds"] is not None else ""
    full = round(BAR_CELLS * share)
    text = Text(f"{s['step']} ", style="bold")
    text.append("█" * full, style="cyan")
    text.append("░" * (BAR_CELLS - full), style="dim")
    text.append(f" {share:4.0%}  {s['rows_per_second']:,.0f} rows/s  {eta}")
    below = Text(line(s), style="dim")
    for one in (text, below):
        one.truncate(width)
    return Text("\n").join([text, below])


def duration(seconds: float) -> str:
    """`75` as `1m15s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
