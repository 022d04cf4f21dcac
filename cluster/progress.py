"""What is happening, for a person (a live bar), a log (a line every 10 s) or another process (status.json).

The driver tells this object what happens; it adds up, draws, and stops the run when too many rows have died.
"""

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from cluster.errors import DeadRowsError
from cluster.shards import Shard
from cluster.storage import Folder
from cluster.work import TableDone
from schemas.manifest import Counts, Manifest

LOG_EVERY_S = 10.0
DRAW_EVERY_S = 0.5
BAR_CELLS = 24
JUDGE_FROM_ROWS = 1000  # before the end of a step, dead rows are judged once this many rows were seen


@dataclass
class Running:
    """A shard in work: what is through so far, none of it committed."""

    shard: Shard
    counts: Counts = field(default_factory=Counts)
    fraction: float = 0.0
    deaths: Counter[str] = field(default_factory=Counter)


class Progress:
    """The account of one step while it runs."""

    def __init__(
        self,
        step: str,
        output: Folder,
        *,
        total: int,
        done: dict[str, Manifest],
        total_bytes: int,
        max_dead: float,
        quiet: bool = False,
    ) -> None:
        self.step, self.output, self.total, self.max_dead = step, output, total, max_dead
        self.counts = sum((m.counts for m in done.values()), Counts())
        self.done = len(done)
        self.retries = 0
        self._deaths: Counter[str] = Counter()
        self._running: dict[str, Running] = {}
        self._begun = time.monotonic()
        self._rows_before = self.counts.rows_in
        self._bytes_total, self._bytes_done = max(total_bytes, 1), 0
        self._told = self._drawn = 0.0
        self._live: Live | None = None
        console = Console(stderr=True)
        if console.is_terminal and not quiet:
            self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> "Progress":
        if self._live is not None:
            self._live.start()
        self._tell(force=True)
        return self

    def __exit__(self, *exc: object) -> None:
        self._tell(force=True)
        if self._live is not None:
            self._live.stop()

    def started(self, shard: Shard) -> None:
        self._running[shard.name] = Running(shard)
        self._tell()

    def table(self, shard: Shard, report: TableDone) -> None:
        """A table is through. Raises `DeadRowsError` when too many rows have died so far."""
        running = self._running[shard.name]
        running.counts += report.counts
        running.deaths.update(dict(report.deaths))
        running.fraction = max(running.fraction, report.fraction)
        self._judge(at_end=False)
        self._tell()

    def read(self, shard: Shard, fraction: float) -> None:
        """The shard's reader is this far; its tables are still on their way through other pools."""
        running = self._running[shard.name]
        running.fraction = max(running.fraction, fraction)

    def committed(self, shard: Shard, manifest: Manifest) -> None:
        self._deaths += self._running.pop(shard.name).deaths
        self.counts += manifest.counts
        self.done += 1
        self._bytes_done += shard.bytes
        self._judge(at_end=False)
        self._tell()

    def failed(self, shard: Shard, why: str) -> None:
        """A shard will be tried again."""
        self._running.pop(shard.name, None)
        self.retried(shard, why)

    def retried(self, shard: Shard, why: str) -> None:
        """A table of the shard will be tried again."""
        self.retries += 1
        self.note(f"{self.step}: shard {shard.name} is tried again: {why.splitlines()[0] if why else 'unknown'}")

    def beat(self) -> None:
        """Nothing has happened; the log goes on all the same."""
        self._tell()

    def note(self, message: str) -> None:
        """One line for the log."""
        if self._live is not None:
            self._live.console.print(message, markup=False, highlight=False)
        else:
            print(message, file=sys.stderr, flush=True)  # noqa: T201 - the log of a run is its stderr

    def judge_end(self) -> None:
        """Raise `DeadRowsError` if more of the step's rows died than --max-dead allows."""
        self._judge(at_end=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    def snapshot(self) -> dict[str, Any]:
        """Plain data: what `status.json` and `headrace status` show."""
        seen = self._seen()
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
            "fraction": round(part / self._bytes_total, 4) if self._bytes_total > 1 else 1.0,
            "eta_seconds": None if eta is None or self.done == self.total else round(eta),
            "at": time.time(),
        }

    def _seen(self) -> Counts:
        return sum((r.counts for r in self._running.values()), self.counts)

    def _judge(self, at_end: bool) -> None:
        seen = self.counts if at_end else self._seen()
        rows = seen.rows_in + max(seen.emitted, 0)  # rows that stages made can die too
        if seen.dead <= self.max_dead * rows or (not at_end and rows < JUDGE_FROM_ROWS):
            return
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
                self.note(line(self.snapshot()))
        if self._live is not None and (force or now - self._drawn >= DRAW_EVERY_S):
            self._drawn = now
            self._live.update(bar(self.snapshot(), self._live.console.width), refresh=True)


def line(s: dict[str, Any]) -> str:
    """A snapshot in one line of plain text."""
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
