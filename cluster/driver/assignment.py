"""A shard on its way to a worker, how far that is, and what becomes of the shard where a worker or a row fails.

Both drivers go by this: of whole shards (stream.py), and of tables through several kinds of workers (pipeline.py).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ray.exceptions import OutOfMemoryError

from cluster.careful import Careful, Killed, RowsNext
from cluster.errors import RunError, ShardError, first_line
from cluster.shards import Shard
from cluster.worker import Broken, Failed

MAX_ATTEMPTS = 3  # transient errors a shard may meet
SILENT_S = 30.0  # longer than nearly any table takes
MAX_DEATHS = 12  # workers a shard may take with it; a poison row takes six, or one where processes apart find it
ALONE = 3  # of them with nothing but that row: two may be chance, where workers are taken away
NODE_GONE = "its node has died"  # what Ray says of an actor that went with its node


@dataclass(frozen=True)
class Assignment:
    """A shard on its way to a worker, and what earlier attempts have taught."""

    shard: Shard
    errors: int = 0
    deaths: int = 0
    careful: Careful = field(default_factory=Careful)
    alone: int = 0  # workers that died with nothing but row `careful.first`

    @property
    def attempt(self) -> int:
        return 1 + self.errors + self.deaths + len(self.careful.killers)


@dataclass
class Busy:
    """A worker at a shard, and how far it has told to be."""

    worker: Any
    assignment: Assignment
    table: int = 0
    rows: RowsNext | None = None  # what it is at of that table, where that is known
    failure: Failed | None = None
    ended: bool = False  # it has told all there was to tell: what becomes of it then costs nothing
    last_words: str = ""  # of a worker that ends itself
    heard: float = field(default_factory=time.monotonic)

    def hears(self, note: Any) -> bool:
        """Keep what the worker tells of itself. False if `note` is of its work."""
        self.heard = time.monotonic()
        if isinstance(note, RowsNext):
            self.rows = note if note.first < note.last else None
        elif isinstance(note, Killed):
            self.assignment, self.rows = without(self.assignment, note), None
        elif isinstance(note, Broken):
            self.last_words = note.message
        elif isinstance(note, Failed):
            self.failure = note
        else:
            return False
        return True

    def cause(self, error: Exception) -> str:
        """How it died, and how long it had said nothing where that is long: it may have been ended for that."""
        silent = time.monotonic() - self.heard
        how = self.last_words or first_line(error)
        return f"{how} It had told nothing for {silent:.0f} s." if silent >= SILENT_S else how

    def fell(self, error: Exception) -> bool:
        """Whether it died of itself and at once: not with its node, for want of memory, or of a hang."""
        gone = NODE_GONE in str(error) or isinstance(error, OutOfMemoryError) or bool(self.last_words)
        return not gone and time.monotonic() - self.heard < SILENT_S


def after_error(state: Busy, tell: Callable[[Shard, str], None]) -> Assignment:
    """The next try after an exception. Raises when it is permanent, or there were enough tries."""
    failure, assignment = state.failure, state.assignment
    assert failure is not None
    if failure.ours:
        raise RunError(failure.message)
    errors = assignment.errors + 1
    if not failure.transient or errors >= MAX_ATTEMPTS:
        raise ShardError(f"shard {assignment.shard.name}: {failure.message} (attempt {errors})\n{failure.trace}")
    tell(assignment.shard, failure.message)
    return replace(assignment, errors=errors)


def without(assignment: Assignment, note: Killed) -> Assignment:
    """The assignment where rows are known that processes apart died of: there is nothing else to be careful of."""
    return replace(assignment, deaths=0, alone=0, careful=Careful(killers=(*assignment.careful.killers, *note.killers)))


def after_death(state: Busy, how: str, tell: Callable[[Shard, str], None], apart: bool = False) -> Assignment:
    """The next try after a worker died at a shard.

    A process apart looks for the row first, where it may (`apart`). Or the table it was at is tried in parts, and the
    part in which the next one dies row by row. A row that ALONE workers died at, with nothing else, is named a killer
    and goes to `dead`; workers that died of something else (their node was taken away) leave no trace in the result.
    """
    assignment, careful, rows = state.assignment, state.assignment.careful, state.rows
    deaths = assignment.deaths + 1
    shard = assignment.shard
    if deaths > MAX_DEATHS:
        raise ShardError(f"shard {shard.name} ({shard.piece.uri}): {deaths} workers died at it, the last: {how}")
    tell(shard, f"worker died: {how}")
    if rows is None:  # at a table that was sent whole, or between two
        here = careful if state.table == careful.table else Careful(state.table, killers=careful.killers, apart=apart)
        return replace(assignment, deaths=deaths, alone=assignment.alone if here is careful else 0, careful=here)
    again = (rows.table, rows.first, rows.last) == (careful.table, careful.first, careful.last)
    alone = int(rows.last - rows.first == 1) * (1 + (assignment.alone if again else 0))
    if alone == ALONE:
        killers = (*careful.killers, (rows.table, rows.first, f"worker died: {how}"))
        return replace(assignment, deaths=0, alone=0, careful=Careful(rows.table, rows.last, killers=killers))
    here = replace(careful, table=rows.table, first=rows.first, last=rows.last, apart=False)
    return replace(assignment, deaths=deaths, alone=alone, careful=here)
