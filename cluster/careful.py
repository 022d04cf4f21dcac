"""What is known of a shard whose worker died, what is told of that, and a table sent through in parts."""

import itertools
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import pyarrow as pa

from cluster.chain import Batch, Chain, killed_row
from schemas.manifest import Counts

FEW_ROWS = 64  # reports of 14 ms: together they take no longer than another worker takes to start


@dataclass(frozen=True)
class Careful:
    """What is known of a shard whose worker died.

    Rows `first` to `last` of `table` are tried in parts, those before and behind them in one go. `killers` are not
    tried again. `apart`: the worker died of itself, at this table or soon behind it; a process apart may find of what.
    """

    table: int | None = None
    first: int = 0
    last: int | None = None  # behind the last one; None: the end of the table
    killers: tuple[tuple[int, int, str], ...] = ()  # table, row in it, how the worker died
    apart: bool = False


@dataclass(frozen=True)
class RowsNext:
    """Careful mode only: these rows of the table are about to be tried, `first` up to the one before `last`.

    None of them, `first` == `last`: none is being tried, ahead of the table to try or behind it.
    """

    table: int
    first: int
    last: int


@dataclass(frozen=True)
class Killed:
    """These rows are not tried again: processes apart have died of each, as `Careful.killers` has it."""

    killers: tuple[tuple[int, int, str], ...]


def careful_apply(
    chain: Chain, rows: pa.Table, number: int, attempt: int, careful: Careful
) -> Iterator[Batch | RowsNext]:
    """`rows` (table `number`) through `chain`: whole or, where a worker died at this table, in parts.

    The last thing yielded is the batch, the same either way.
    """
    killers = {row: how for table, row, how in careful.killers if table == number}
    tried = careful.table == number
    if not tried and not killers:
        yield chain.apply(rows, attempt)
        return
    first, last = (careful.first, careful.last) if tried else (0, 0)
    parts = []
    for start, stop in parts_of(rows.num_rows, first, last, killers):
        part = rows.slice(start, stop - start)
        if start in killers:
            dead = killed_row(part, chain.first, killers[start], attempt)
            parts.append(Batch(part.slice(0, 0), dead=[dead], counts=Counts(dead=1)))
            continue
        if tried:
            yield RowsNext(number, start, stop)
        parts.append(chain.apply(part, attempt))
    yield chain.merge(parts, rows)


def parts_of(rows: int, first: int, last: int | None, killers: Collection[int]) -> list[tuple[int, int]]:
    """Where to cut a table of so many rows: `first` to `last` one by one, if they are few, or else into as many parts
    as a part has rows, so that two workers more find the row that they die of. `killers` are parts of their own.
    """
    last = rows if last is None else last
    size = 1 if last - first <= FEW_ROWS else math.isqrt(last - first)
    cuts = {0, rows, *range(first, last, size), last, *killers, *(row + 1 for row in killers)}
    return list(itertools.pairwise(sorted(cuts)))
