"""What one document may take of a worker: time in which nothing is told, and memory. Beyond it the document is found.

Time: the process ends, with its stack on stderr, by a timer of C that needs no turn of the interpreter: a regular
expression or a parser that never comes back gives it none. Memory: what is asked for beyond the limit is refused, so
that a stage raises `MemoryError` (and its table is bisected), or its library ends the process. A process that ends is
met by the driver, which finds the row (driver/assignment.py). The operating system, left alone, would choose among
the node's processes, or take the whole node.
"""

import faulthandler
import itertools
import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil

from stages.stage import Resources

T = TypeVar("T")
STUCK_AFTER_S = 1800.0  # twice as long as a client of a model server waits for one that is away (`patience`)
TIMES = 4  # of what a worker says that it takes
LEAST = 4 << 30  # bytes: a guess of half a GB is no reason to stop at 2
SHARE = 0.8  # of the node's memory, whatever a worker says

_deadlines: dict[int, float] = {}
_numbers = itertools.count()
_lock = threading.Lock()


def watched(reports: Iterator[T], seconds: float | None) -> Iterator[T]:
    """`reports`; this process ends if one of them takes longer than `seconds`. Threads may have one each."""
    if seconds is None:
        yield from reports
        return
    number = next(_numbers)
    while True:
        _set(number, time.monotonic() + seconds)
        try:
            report = next(reports)
        except StopIteration:
            return
        finally:
            _set(number, None)
        yield report


def _set(number: int, deadline: float | None) -> None:
    with _lock:
        if deadline is None:
            del _deadlines[number]
        else:
            _deadlines[number] = deadline
        if _deadlines:
            left = max(min(_deadlines.values()) - time.monotonic(), 0.01)
            faulthandler.dump_traceback_later(left, exit=True, file=2)
        else:
            faulthandler.cancel_dump_traceback_later()


@contextmanager
def within(takes: Resources) -> Iterator[None]:
    """Let this process take `TIMES` what its stages say beyond what it has. Of one that holds a GPU nothing is known.

    Threads that are here at a time share the limit of the first; it goes with the last. Linux only.
    """
    if takes.gpus or not sys.platform.startswith("linux"):
        yield
        return
    _enter(limit_of(takes.memory_gb, psutil.virtual_memory().total))
    try:
        yield
    finally:
        _leave()


def limit_of(memory_gb: float, node: int) -> int:
    """Bytes that stages which say `memory_gb` may add to their worker on a node with `node` bytes."""
    return int(min(max(TIMES * memory_gb * 1e9, LEAST), SHARE * node))


_inside = 0
_before = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def _enter(n_bytes: int) -> None:
    global _inside, _before  # noqa: PLW0603 - of the process, as the limit is
    with _lock:
        _inside += 1
        if _inside == 1:
            _before = resource.getrlimit(resource.RLIMIT_DATA)
            hard = _before[1]
            wanted = _data() + n_bytes
            resource.setrlimit(
                resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
            )


def _leave() -> None:
    global _inside  # noqa: PLW0603 - as above
    with _lock:
        _inside -= 1
        if _inside == 0:
            resource.setrlimit(resource.RLIMIT_DATA, _before)


def _data() -> int:
    """Bytes that count against RLIMIT_DATA now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) << 10
    raise RuntimeError("/proc/self/status says nothing of VmData")
