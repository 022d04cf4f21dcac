"""Another order of a step's stages: what may be exchanged, and what that would save."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from pipelines.order import MAX_STAGES, Order, may_swap, propose, rank
from pipelines.web import web
from schemas import columns as c
from schemas.manifest import StageCost
from stages.stage import Resources, Rows, Stage, Transform, name_of


def stage(name: str, reads: list[pa.Field], adds: list[pa.Field], rows: Rows = "same") -> Stage:
    """A stage of a class of that name; it is never opened."""

    @dataclass(frozen=True)
    class Fake:
        reads: ClassVar[pa.Schema]
        adds: ClassVar[pa.Schema]
        rows: ClassVar[Rows]
        resources: ClassVar[Resources] = Resources()

        def open(self) -> Transform:
            raise NotImplementedError

    Fake.__name__ = name
    Fake.reads, Fake.adds, Fake.rows = pa.schema(reads), pa.schema(adds), rows
    return Fake()


def a_filter(name: str, *adds: pa.Field) -> Stage:
    return stage(name, [c.BODY], [*adds, c.DROP_REASON])


URL = stage("Url", [c.URL], [c.DROP_REASON])
EXTRACT = stage("Extract", [c.HTML], [c.BODY, c.N_CHARS, c.DROP_REASON, c.ERROR])
DEAR, CHEAP, SHARP = a_filter("Dear"), a_filter("Cheap"), a_filter("Sharp", c.N_WORDS)
EDIT = stage("Edit", [c.BODY], [c.BODY, c.DROP_REASON])
MANY = stage("Many", [c.BODY], [c.PARENTS], "any")


def cost(rows_in: int, rows_out: int, cpu: float) -> StageCost:
    return StageCost(rows_in, rows_out, 0.0, cpu)


def test_filters_are_put_by_cost_of_a_row_dropped() -> None:
    # A row costs 4, 1, 2 ms and passes with 50, 90, 20 %: 8, 10, 2.5 ms a row dropped. 1000 rows:
    # 4 + 0.5 * 1 + 0.45 * 2 = 5.4 s now; 2 + 0.2 * 4 + 0.1 * 1 = 2.9 s.
    costs = {"Dear": cost(1000, 500, 4.0), "Cheap": cost(500, 450, 0.5), "Sharp": cost(450, 90, 0.9)}
    order = propose((DEAR, CHEAP, SHARP), costs)
    assert (order.stages, order.saved) == (("Sharp", "Dear", "Cheap"), pytest.approx(2.5))
    assert [rank(costs[name]) for name in order.stages] == [0.0025, 0.008, 0.01]


def test_order_that_is_the_cheapest_stays() -> None:
    costs = {"Sharp": cost(1000, 200, 2.0), "Dear": cost(200, 100, 0.8), "Cheap": cost(100, 90, 0.1)}
    order = propose((SHARP, DEAR, CHEAP), costs)
    assert (order.stages, order.saved) == (("Sharp", "Dear", "Cheap"), 0.0)


def test_equals_stay_in_the_recipes_order() -> None:
    costs = {"Dear": cost(100, 50, 1.0), "Cheap": cost(50, 25, 0.5), "Sharp": cost(25, 25, 0.0)}
    assert propose((DEAR, CHEAP, SHARP), costs) == Order(("Dear", "Cheap", "Sharp"), 0.0)


def test_step_that_no_row_reached_stays() -> None:
    assert propose((DEAR, CHEAP), {}) == Order(("Dear", "Cheap"), 0.0)
    assert propose((), {}) == Order((), 0.0)


def test_filter_of_addresses_goes_before_extraction() -> None:
    costs = {"Extract": cost(100, 100, 2.0), "Dear": cost(100, 50, 1.0), "Url": cost(50, 25, 0.05)}
    order = propose((EXTRACT, DEAR, URL), costs)  # 3.05 s; 0.1 + 0.5 * (2 + 1) = 1.6 s
    assert (order.stages, order.saved) == (("Url", "Extract", "Dear"), pytest.approx(1.45))


def test_filter_of_text_does_not_cross_what_changes_text() -> None:
    costs = {"Dear": cost(100, 90, 9.0), "Edit": cost(90, 90, 0.0), "Sharp": cost(90, 9, 0.09)}
    assert propose((DEAR, EDIT, SHARP), costs).stages == ("Dear", "Edit", "Sharp")
    assert propose((EXTRACT, SHARP), {"Extract": cost(9, 9, 9.0), "Sharp": cost(9, 1, 0.1)}).saved == 0.0


def test_stage_takes_those_along_whose_columns_it_reads() -> None:
    lang = a_filter("Lang", c.LANG)
    by_lang = stage("ByLang", [c.LANG], [c.DROP_REASON])
    # ByLang drops most and is cheap, but needs Lang, which drops nothing: both go before Dear.
    costs = {"Dear": cost(100, 90, 9.0), "Lang": cost(90, 90, 0.9), "ByLang": cost(90, 9, 0.09)}
    order = propose((DEAR, lang, by_lang), costs)  # 9.99 s; 1 + 0.1 + 0.1 * 9 = 2.0 s
    assert (order.stages, order.saved) == (("Lang", "ByLang", "Dear"), pytest.approx(7.99))


@pytest.mark.parametrize(
    ("first", "second", "may"),
    [
        (DEAR, SHARP, True),
        (URL, EXTRACT, True),
        (EXTRACT, URL, True),
        (EXTRACT, DEAR, False),  # reads what the first adds
        (DEAR, EDIT, False),  # changes what the first reads
        (a_filter("A", c.LANG), a_filter("B", c.LANG), False),  # the later one's column stays
        (MANY, URL, False),
        (URL, MANY, False),
    ],
)
def test_what_may_be_exchanged(first: Stage, second: Stage, may: bool) -> None:
    assert may_swap(first, second) is may


def test_what_of_the_web_recipe_is_free() -> None:
    stages = web().steps[0].stages
    tied = {(name_of(a), name_of(b)) for i, a in enumerate(stages) for b in stages[i + 1 :] if not may_swap(a, b)}
    before_edit = ("Language", "GopherRepetition", "GopherQuality")
    assert tied == {
        ("Screen", "Language"),  # both say what language it is
        *(("ExtractText", name) for name in (*before_edit, "C4Quality", "FineWebQuality", "MinHashBands")),
        *((name, "C4Quality") for name in before_edit),
        ("C4Quality", "FineWebQuality"),
        ("C4Quality", "MinHashBands"),
    }


def test_stages_of_one_name_and_long_steps_are_left_alone() -> None:
    costs = {"Dear": cost(100, 50, 9.0), "Sharp": cost(50, 5, 0.1)}
    assert propose((DEAR, SHARP, DEAR), costs).saved == 0.0
    many = tuple(a_filter(f"F{i}") for i in range(MAX_STAGES + 1))
    found: dict[str, Any] = {f"F{i}": cost(100, 50, 10.0 - i) for i in range(len(many))}
    assert propose(many, found).stages == tuple(found)
    assert propose(many[:6], found).stages == tuple(found)[5::-1]


def test_stage_that_drops_nothing_has_no_rank() -> None:
    assert rank(cost(10, 10, 1.0)) is None
    assert rank(cost(10, 5, 1.0)) == 0.2
