"""How the row is found that workers die of: the parts a table is tried in, and what each death teaches."""

import random
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import pytest

from cluster.careful import Careful, RowsNext, careful_apply, parts_of
from cluster.chain import Batch, Chain
from cluster.driver.assignment import ALONE, MAX_DEATHS, Assignment, Busy, after_death
from cluster.errors import ShardError
from cluster.shards import InputFile, Shard
from schemas import columns as c
from stages.stage import Piece, Resources, Rows, Transform

SHARD = Shard("a", Piece("a"), InputFile("a", 1, ""))
TABLE = 2000  # rows


@pytest.mark.parametrize(
    ("rows", "first", "last", "killers", "parts"),
    [
        (0, 0, None, (), []),
        (3, 0, None, (), [(0, 1), (1, 2), (2, 3)]),
        (3, 1, 2, (), [(0, 1), (1, 2), (2, 3)]),
        (9, 3, 5, (), [(0, 3), (3, 4), (4, 5), (5, 9)]),
        (9, 0, 0, (4,), [(0, 4), (4, 5), (5, 9)]),  # another table is the careful one
        (9, 5, None, (1, 4), [(0, 1), (1, 2), (2, 4), (4, 5), (5, 6), (6, 7), (7, 8), (8, 9)]),
        (9, 9, None, (8,), [(0, 8), (8, 9)]),
        (101, 1, None, (0,), [(0, 1), *((n, n + 10) for n in range(1, 101, 10))]),
    ],
)
def test_table_is_cut_finely_where_a_worker_died_and_not_elsewhere(
    rows: int, first: int, last: int | None, killers: tuple[int, ...], parts: list[tuple[int, int]]
) -> None:
    assert parts_of(rows, first, last, killers) == parts


def test_large_table_is_cut_into_as_many_parts_as_a_part_has_rows() -> None:
    parts = parts_of(TABLE, 0, None, ())
    assert {stop - start for start, stop in parts[:-1]} == {44}
    assert (len(parts), parts[-1]) == (46, (1980, 2000))


def died(before: Assignment, rows: RowsNext | None, table: int = 1) -> Assignment:
    return after_death(Busy(None, before, table=table, rows=rows), "SIGSEGV", lambda *_: None)


def test_what_each_death_teaches() -> None:
    first = died(Assignment(SHARD), None)
    assert first.careful == Careful(1)
    second = died(first, RowsNext(1, 44, 88))
    assert second.careful == Careful(1, 44, 88)
    third = died(second, RowsNext(1, 50, 51))
    assert (third.careful, third.alone, third.deaths) == (Careful(1, 50, 51), 1, 3)
    fourth = died(third, RowsNext(1, 50, 51))
    assert (fourth.careful, fourth.alone) == (Careful(1, 50, 51), 2)
    fifth = died(fourth, RowsNext(1, 50, 51))
    assert fifth.careful == Careful(1, 51, None, killers=((1, 50, "worker died: SIGSEGV"),))
    assert (fifth.alone, fifth.deaths) == (0, 0)


def test_worker_that_dies_on_its_way_to_the_row_says_nothing_of_it() -> None:
    suspect = Assignment(SHARD, deaths=3, careful=Careful(1, 50, 51), alone=2)
    assert died(suspect, None).alone == 2
    assert died(suspect, None).careful == Careful(1, 50, 51)
    elsewhere = died(suspect, RowsNext(1, 0, 50))
    assert (elsewhere.careful, elsewhere.alone) == (Careful(1, 0, 50), 0)
    earlier = died(suspect, None, table=0)
    assert (earlier.careful, earlier.alone) == (Careful(0), 0)


def test_shard_that_takes_too_many_workers_is_given_up() -> None:
    with pytest.raises(ShardError, match=rf"shard a \(a\): {MAX_DEATHS + 1} workers died at it, the last: SIGSEGV"):
        died(Assignment(SHARD, deaths=MAX_DEATHS), None)


def test_a_worker_that_dies_behind_the_trial_is_not_put_down_to_its_rows() -> None:
    state = Busy(None, Assignment(SHARD, deaths=1, careful=Careful(1)), table=0)
    assert state.hears(RowsNext(1, 0, 44)) and state.rows == RowsNext(1, 0, 44)
    assert state.hears(RowsNext(1, 0, 0)) and state.rows is None
    again = after_death(state, "taken away", lambda *_: None)
    assert (again.careful, again.alone) == (Careful(0), 0)


class Dead(BaseException):
    """A worker's process ends."""


@dataclass(frozen=True)
class Kills:
    """Ends its worker at a text that says so, and wherever `chance` says that another has ended it."""

    chance: random.Random
    share: float
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            if "poison" in table.column("text").to_pylist() or self.chance.random() < self.share:
                raise Dead
            return table

        return apply


def tables_of(poison: dict[tuple[int, int], str], sizes: tuple[int, ...]) -> list[pa.Table]:
    return [
        pa.table(
            {
                "id": [f"{t}-{row}" for row in range(size)],
                "text": [poison.get((t, row), f"text {row}") for row in range(size)],
            },
            pa.schema([c.ID, c.BODY]),
        )
        for t, size in enumerate(sizes)
    ]


def run(tables: list[pa.Table], kills: Kills) -> tuple[list[str], list[str], int]:
    """The shard until a worker comes to its end: ids of rows kept, ids of dead ones, workers that died."""
    assignment, deaths = Assignment(SHARD), 0
    chain = Chain((kills,))
    while True:
        state = Busy(None, assignment)
        batches: list[Batch] = []
        try:
            for number, table in enumerate(tables):
                for part in careful_apply(chain, table, number, assignment.attempt, assignment.careful):
                    if isinstance(part, RowsNext):
                        state.rows = part
                    else:
                        batches.append(part)
                state.table, state.rows = number + 1, None
        except Dead:
            deaths += 1
            assignment = after_death(state, "killed", lambda *_: None)
            continue
        kept = [id_ for batch in batches for id_ in batch.kept.column("id").to_pylist()]
        return kept, [id_ for batch in batches for row in batch.dead for id_ in row.column("id").to_pylist()], deaths


@pytest.mark.parametrize(
    ("poison", "workers"),
    [([], 0), ([(1, 1007)], 2 + ALONE), ([(0, 0)], 1 + ALONE), ([(1, 0), (1, 1999)], 2 * (1 + ALONE) + 1)],
    ids=["none", "one in a large table", "one in a small table", "two in one table"],
)
def test_poison_rows_die_alone_for_few_workers(poison: list[tuple[int, int]], workers: int) -> None:
    tables = tables_of(dict.fromkeys(poison, "poison"), (20, TABLE, 20))
    kept, dead, deaths = run(tables, Kills(random.Random(0), 0.0))
    assert dead == [f"{t}-{row}" for t, row in poison]
    assert len(kept) == TABLE + 40 - len(poison)
    assert deaths == workers


@pytest.mark.parametrize("seed", range(20))
def test_workers_that_are_taken_away_meanwhile_put_no_blame_on_a_row(seed: int) -> None:
    dice = random.Random(seed)
    poison = [(t, dice.randrange(size)) for t, size in enumerate((30, 300))]
    tables = tables_of(dict.fromkeys(poison, "poison"), (30, 300))
    kept, dead, deaths = run(tables, Kills(dice, 0.004))  # a worker in six that go through these two tables
    assert dead == [f"{t}-{row}" for t, row in poison]
    assert len(set(kept)) == len(kept) == 330 - len(poison)
    assert deaths >= 2 * ALONE
