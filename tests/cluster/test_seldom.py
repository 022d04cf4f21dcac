"""Reports of a shard, joined by time: nothing is lost, nothing waits behind what must be told at once."""

from collections.abc import Iterator
from typing import Any

import pytest

from cluster.asked import Asked
from cluster.careful import RowsNext
from cluster.driver import seldom as module
from cluster.driver.seldom import seldom
from cluster.work import TableDone
from schemas.manifest import Counts


def table(number: int, asked: tuple[Asked, ...] = ()) -> TableDone:
    return TableDone(number, Counts(4, 0, 3, {"A.b": 1}), number / 10, (("A: ValueError", number),), asked)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_tables_in_between_are_told_of_together(clock: list[float]) -> None:
    def reports() -> Iterator[Any]:
        for number in range(5):
            clock[0] += 2.0
            yield table(number)
        yield "the manifest"

    told = list(seldom(reports()))
    assert [one if isinstance(one, str) else (one.table, one.counts.rows_in) for one in told] == [
        (0, 4),
        (3, 12),
        (4, 4),
        "the manifest",
    ]
    assert told[1].counts == Counts(12, 0, 9, {"A.b": 3})
    assert dict(told[1].deaths) == {"A: ValueError": 1 + 2 + 3}
    assert told[1].fraction == 0.3


def test_each_table_is_told_of_where_a_worker_has_died(clock: list[float]) -> None:
    reports = [RowsNext(0, 0, 1), table(0), table(1)]
    assert list(seldom(iter(reports), each=True)) == reports


def test_tables_that_were_paid_for_are_told_of_at_once(clock: list[float]) -> None:
    reports = [table(0), table(1), table(2, (Asked("rate"),)), table(3)]
    assert [one.table for one in seldom(iter(reports))] == [0, 1, 2, 3]
