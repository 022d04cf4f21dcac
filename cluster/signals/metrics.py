"""CPU seconds of this process and of the processes it started: what a shard really cost."""

import os
import resource
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_TICK = 1.0 / os.sysconf("SC_CLK_TCK")


def cpu_seconds() -> float:
    """CPU time so far of this process, its live children and theirs, and all they have reaped. Unit: seconds."""
    reaped = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = time.process_time() + reaped.ru_utime + reaped.ru_stime
    return own + sum(map(_tree, _children(os.getpid())))


@dataclass
class Span:
    """Work that one thread is at: the CPU time it has taken so far, and its thread's clock when that was added up."""

    clock: int | None
    read: float
    seconds: float = field(default=0.0)


class Meter:
    """CPU seconds of spans of work that overlap in this process.

    What a span's own thread takes is its own. The rest, that of threads and processes which work for whoever asks
    (a model server's client, a pool of threads), is shared evenly among the spans of that moment.
    """

    def __init__(self, total: Callable[[], float] = cpu_seconds) -> None:
        self._total = total
        self._lock = threading.Lock()
        self._spans: list[Span] = []
        self._read = 0.0

    def start(self) -> Span:
        """A span of the calling thread begins."""
        # Not every system lets one thread read another's clock.
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        clock = None if clock_of is None else clock_of(threading.get_ident())
        with self._lock:
            self._settle()
            span = Span(clock, 0.0 if clock is None else time.clock_gettime(clock))
            self._spans.append(span)
        return span

    def stop(self, span: Span) -> float:
        """The span has ended; what it took. The thread that began it has to call this."""
        with self._lock:
            self._settle()
            self._spans.remove(span)
        return span.seconds

    def _settle(self) -> None:
        now = self._total()
        rest, self._read = now - self._read, now
        for span in self._spans:
            if span.clock is not None:
                read = time.clock_gettime(span.clock)
                span.seconds += read - span.read
                rest -= read - span.read
                span.read = read
        for span in self._spans:
            span.seconds += max(rest, 0.0) / len(self._spans)


METER = Meter()


def _tree(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _tree_portable(pid)
    return sum(map(int, fields[11:15])) * _TICK + sum(map(_tree, _children(pid)))


def _children(pid: int) -> list[int]:
    """Live children. The kernel's own list costs microseconds; elsewhere psutil walks all processes."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - hot path
        lists = [Path(f"/proc/{pid}/task/{task}/children").read_text() for task in tasks]
    except OSError:
        try:
            return [child.pid for child in psutil.Process(pid).children()]
        except psutil.NoSuchProcess:
            return []
    return [int(child) for children in lists for child in children.split()]


def _tree_portable(pid: int) -> float:
    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        own = float(
            times.user + times.system + getattr(times, "children_user", 0) + getattr(times, "children_system", 0)
        )
        return own + sum(_tree_portable(child.pid) for child in process.children())
    except psutil.NoSuchProcess:
        return 0.0
