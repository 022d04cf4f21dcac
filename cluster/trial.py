"""Rows that take a process with them, found in processes apart, so that no worker dies of them.

A worker that dies costs its start, the models it had loaded and what it had done of the shard. So the tables that one
may have died at go, part by part, through the same stages in the child of a clean process (`stages.sandbox`): a row is
named that a child has died of with its part and another one alone, where children live on other parts. They died by
themselves: a signal that others send does not count. Only for stages that may be called twice and survive a fork: none
that holds a GPU, pays for answers, remembers rows, or starts threads where it is opened. What cannot be said here is
found with workers (driver/assignment.py).
"""

import math
from collections.abc import Callable

import cloudpickle
import psutil
import pyarrow as pa

from cluster.chain import Chain
from stages.sandbox import Sandbox, SandboxError
from stages.stage import Stage

TABLE_S = 30.0  # CPU seconds of a child for what it is given, and twice as long by the clock


class CannotTellError(Exception):
    """A process apart cannot be had, or did not come to an end that says something."""


class Trial:
    """Stages in a process that may be lost. It starts with the first table, and has the worker's limit of memory."""

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        try:
            chained = _Chained(stages)
        except Exception as error:  # whatever a stage's parts raise that cannot be sent
            raise CannotTellError(f"its stages cannot be sent to it: {type(error).__name__}: {error}") from error
        node = psutil.virtual_memory().total / 2**20
        self._sandbox = Sandbox(chained, seconds=TABLE_S, memory_mb=node, wall_factor=2.0, warm_up=b"")

    def __call__(self, rows: pa.Table) -> str | None:
        """How a process dies of `rows`; None where it lives. `CannotTellError` where it is not known."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as stream:
            stream.write_table(rows)
        try:
            outcome = self._sandbox(sink.getvalue())
        except (SandboxError, OSError) as error:
            raise CannotTellError(str(error)) from error
        if outcome.value is None and outcome.died is None:
            raise CannotTellError(outcome.reason or outcome.error)
        return outcome.died

    def close(self) -> None:
        """End its processes."""
        self._sandbox.close()


class _Chained:
    """The stages as a function on a table's Arrow stream. No bytes: they are opened and no more."""

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        self._stages = cloudpickle.dumps(stages)  # some are of a script or a notebook
        self._chain: Chain | None = None

    def __call__(self, table: bytes) -> bytes:
        if self._chain is None:
            stages, process = cloudpickle.loads(self._stages), psutil.Process()
            threads = process.num_threads()
            self._chain = Chain(stages)
            if process.num_threads() > threads:
                raise RuntimeError("its stages start threads where they are opened, which no fork of it would have")
        if table:
            self._chain.apply(pa.ipc.open_stream(table).read_all())
        return b""


def killers(rows: pa.Table, dies: Callable[[pa.Table], str | None]) -> dict[int, str]:
    """Which of `rows` a process dies of, and how: of each part that one dies of, the first row that one dies of alone.

    None of them where it dies of every part of the table. That would be the process, not a row: then nobody can say.
    """
    n = rows.num_rows
    size = max(math.isqrt(n), 1)
    parts = [range(start, min(start + size, n)) for start in range(0, n, size)]
    fatal = [part for part in parts if dies(rows.slice(part.start, len(part)))]
    found: dict[int, str] = {}
    for part in fatal if len(fatal) < len(parts) else []:
        for row in part:
            if (how := dies(rows.slice(row, 1))) is not None:
                found[row] = how
                break
    return found
