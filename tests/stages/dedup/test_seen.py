"""A stream drops what it has seen: in order it is the plain greedy rule, out of order it never drops both of a pair."""

import random
import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import columns as c
from stages.dedup.bands import MinHashBands
from stages.dedup.seen import Call, DropSeen

STEP = 1 << 62  # bands of different parts, where there are four
Row = tuple[str, list[int] | None]


def table(*rows: Row) -> pa.Table:
    return pa.table(
        {"id": pa.array([i for i, _ in rows], c.ID.type), "bands": pa.array([b for _, b in rows], c.BANDS.type)}
    )


def verdicts(found: pa.Table) -> list[str | None]:
    assert [r is not None for r in found["drop_reason"].to_pylist()] == [
        d is not None for d in found["duplicate_of"].to_pylist()
    ]
    return list(found["duplicate_of"].to_pylist())


def greedy(rows: list[Row]) -> list[str | None]:
    """What it comes to in order, said plainly."""
    kept: dict[int, str] = {}
    found: list[str | None] = []
    for name, bands in rows:
        met = [kept[band] for band in sorted(bands or []) if band in kept]
        found.append(met[0] if met else None)
        if not met:
            kept.update(dict.fromkeys(bands or [], name))
    return found


def assert_consistent(rows: dict[str, list[int] | None], verdict: dict[str, str | None]) -> None:
    """No two rows that stay share a band; whoever is dropped leads to one that stays, by rows that share a band."""
    owner: dict[int, str] = {}
    for name, bands in rows.items():
        if verdict[name] is None:
            for band in set(bands or []):
                assert owner.setdefault(band, name) == name, f"{name} and {owner[band]} stay, both have {band}"
    for name in rows:
        at, met = name, [name]
        while (of := verdict[at]) is not None:
            assert set(rows[at] or []) & set(rows[of] or []), f"{at} has nothing in common with {of}"
            assert of not in met, f"a circle: {met}"
            met.append(of)
            at = of


def test_rows_that_share_a_band_with_one_that_stays_go() -> None:
    drop = DropSeen().open()
    first = drop(table(("a", [1, STEP]), ("b", [2, STEP]), ("c", [2, 9]), ("short", None), ("none", [])))
    assert verdicts(first) == [None, "a", None, None, None]
    assert first["drop_reason"].to_pylist() == [None, "duplicate", None, None, None]
    assert verdicts(drop(table(("d", [3 * STEP, 9]), ("e", [3 * STEP]), ("short", None)))) == ["c", None, None]


def test_of_two_that_it_could_go_for_it_names_that_of_the_smaller_band() -> None:
    drop = DropSeen().open()
    drop(table(("a", [STEP]), ("b", [7])))
    assert verdicts(drop(table(("c", [STEP, 7]), ("d", [3 * STEP]), ("e", [STEP, 3 * STEP])))) == ["b", None, "a"]


def test_a_row_that_comes_again_is_no_duplicate_of_itself() -> None:
    drop = DropSeen().open()
    rows = table(("a", [1, STEP]), ("b", [1, 5]), ("c", [5]))
    assert verdicts(drop(rows)) == verdicts(drop(rows)) == [None, "a", None]
    assert [verdicts(drop(rows.slice(i, 1))) for i in range(3)] == [[None], ["a"], [None]]  # one by one, as slices


def test_a_table_without_rows() -> None:
    assert DropSeen().open()(table()).column_names == ["id", "bands", "duplicate_of", "drop_reason"]


def test_it_takes_what_the_bands_stage_makes() -> None:
    text = " ".join(f"word{'abcdefghij'[i % 10]}{'klmnopqrst'[i // 10]}" for i in range(100))
    rows = pa.table({"id": ["a", "b", "c"], "text": pa.array([text, "other " + text, "short"], c.TEXT)})
    assert verdicts(DropSeen().open()(MinHashBands().open()(rows))) == [None, "a", None]


@pytest.mark.parametrize("shards", [0, 4097])
def test_shards_out_of_range_are_refused(shards: int) -> None:
    with pytest.raises(ValueError, match=f"DropSeen.shards should be 1 to 4096, got {shards}"):
        DropSeen(shards)


BANDS = st.none() | st.lists(st.integers(0, 11).map(lambda n: n * (1 << 60) + 3), max_size=4)


@settings(max_examples=150)
@given(st.lists(BANDS, max_size=14), st.integers(1, 5), st.integers(1, 5))
def test_in_order_it_is_the_greedy_rule_for_any_tables_and_shards(
    bands: list[list[int] | None], shards: int, size: int
) -> None:
    rows = [(f"r{i}", b) for i, b in enumerate(bands)]
    drop = DropSeen(shards).open()
    found = [v for at in range(0, len(rows), size) for v in verdicts(drop(table(*rows[at : at + size])))]
    assert found == greedy(rows)


def test_bands_are_taken_in_ascending_and_given_back_in_descending_order() -> None:
    drop = DropSeen(4)
    parts, order = [drop.new_part() for _ in range(4)], []

    def ask(calls: list[Call]) -> list[Any]:
        if calls[0][1] != "look":
            order.append([(part, name) for part, name, _ in calls])
        elif not order:  # another worker takes the last band once this one has looked
            results = [getattr(parts[part], name)(*values) for part, name, values in calls]
            parts[3].claim(pa.array(["first"]), np.array([0, 1]), np.array([3 * STEP], np.uint64))
            return results
        return [getattr(parts[part], name)(*values) for part, name, values in calls]

    assert verdicts(drop.open_with(ask)(table(("a", [3 * STEP, 1, STEP])))) == ["first"]
    assert order == [
        [(0, "claim")], [(1, "claim")], [(3, "claim")], [(3, "release")], [(1, "release")], [(0, "release")],
    ]  # fmt: skip
    assert [part.look(np.array([1, STEP, 3 * STEP], np.uint64)).to_pylist() for part in parts] == [
        [None] * 3, [None] * 3, [None] * 3, [None, None, "first"],
    ]  # fmt: skip


class KilledError(BaseException):
    """The worker is gone."""


class Workers:
    """Threads of which one at a time takes one step, a call of one part of the index; a dice says which."""

    def __init__(self, drop: DropSeen, dice: random.Random, deaths: int) -> None:
        self.drop, self.dice, self.deaths = drop, dice, deaths
        self.parts = [drop.new_part() for _ in range(drop.shards)]
        self.turn = threading.Condition()
        self.waiting: set[int] = set()
        self.running: int | None = None
        self.found: dict[str, str | None] = {}
        self.races = 0

    def work(self, me: int, rows: list[Row]) -> None:
        def ask(calls: list[Call]) -> list[Any]:
            results = []
            for part, name, values in calls:
                self.wait(me)
                if self.deaths and self.dice.random() < 0.15:
                    self.deaths -= 1
                    raise KilledError
                results.append(getattr(self.parts[part], name)(*values))
                self.races += name == "claim" and results[-1].null_count < len(results[-1])
            return results

        while True:  # a table whose worker died is done again
            try:
                result = verdicts(self.drop.open_with(ask)(table(*rows)))
                self.found.update(zip([i for i, _ in rows], result, strict=True))
                break
            except KilledError:
                continue
        with self.turn:
            self.running = None
            self.turn.notify_all()

    def wait(self, me: int) -> None:
        with self.turn:
            self.waiting.add(me)
            if self.running == me:
                self.running = None
            self.turn.notify_all()
            self.turn.wait_for(lambda: self.running == me)

    def run(self, tables: list[list[Row]]) -> None:
        threads = [threading.Thread(target=self.work, args=(n, rows)) for n, rows in enumerate(tables)]
        for n, thread in enumerate(threads):
            self.running = n  # up to its first call
            thread.start()
            self.settled()
        while self.waiting:
            with self.turn:
                self.running = self.dice.choice(sorted(self.waiting))
                self.waiting.discard(self.running)
                self.turn.notify_all()
            self.settled()
        for thread in threads:
            thread.join()

    def settled(self) -> None:
        with self.turn:
            self.turn.wait_for(lambda: self.running is None)


@pytest.mark.parametrize("deaths", [0, 6])
@pytest.mark.parametrize("shards", [1, 3, 4])
def test_whatever_the_workers_order_and_deaths_what_goes_leads_to_what_stays(shards: int, deaths: int) -> None:
    races = 0
    for seed in range(60):
        dice = random.Random(seed)
        rows: list[Row] = [
            (f"r{i}", [b * (1 << 60) + 3 for b in dice.sample(range(16), dice.randint(1, 5))]) for i in range(12)
        ]
        workers = Workers(DropSeen(shards), dice, deaths)
        workers.run([rows[at : at + 3] for at in range(0, 12, 3)])
        assert_consistent(dict(rows), workers.found)
        assert any(verdict is not None for verdict in workers.found.values())
        for _, bands in rows:
            has = {of for part in workers.parts for of in part.look(np.array(bands, np.uint64)).to_pylist()} - {None}
            assert all(workers.found[str(owner)] is None for owner in has), "a row that went has a band"
        races += workers.races
    assert races > 20  # rows that another worker was before, between the look and the claim
