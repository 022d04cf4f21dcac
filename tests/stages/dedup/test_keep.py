"""Which row stays: read from its little language, the same whatever the order."""

import datetime
import itertools
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from schemas import columns as c
from stages.dedup.keep import Criterion, criteria, faults, ranked, reads

NAN = float("nan")


def order(keep: str, *values: Any, name: str = "x", ids: str = "abcdefgh") -> str:
    """The ids in the order in which they stay, of rows with these values."""
    rows = pl.DataFrame({name: list(values)}, strict=False).with_columns(
        id=pl.Series(list(ids[: len(values)])), shard=pl.lit(0), row=pl.int_range(pl.len())
    )
    return "".join(ranked(rows, keep)["id"])


def test_the_language_is_read() -> None:
    assert criteria(" first ") == ()
    assert criteria("highest score") == (Criterion("score", True),)
    assert criteria("newest date,lowest  perplexity") == (Criterion("date", True), Criterion("perplexity", False))
    assert criteria("prefer from wiki|a b | c, oldest date") == (
        Criterion("from", False, ("wiki", "a b", "c")),
        Criterion("date", False),
    )


@pytest.mark.parametrize(
    "keep",
    [
        "",
        "best x",
        "highest",
        "highest x y",
        "first, highest x",
        "highest x,",
        "prefer x",
        "prefer x a|",
        "prefer x a|a",
    ],
)
def test_what_cannot_be_read_is_told_with_what_can(keep: str) -> None:
    with pytest.raises(ValueError, match=r"^keep should be 'first' or a list of 'highest COLUMN', .*VALUE'; got "):
        criteria(keep)


def test_what_it_reads_has_the_types_of_schemas() -> None:
    assert reads("first") == pa.schema([c.ID])
    assert reads("highest id") == pa.schema([c.ID])
    assert reads("prefer dump x, highest mine, oldest dump") == pa.schema([c.ID, c.DUMP, pa.field("mine", pa.null())])


@pytest.mark.parametrize(
    ("keep", "values", "expected"),
    [
        ("first", (3, 1, 2), "abc"),
        ("highest x", (3, 1, 7), "cab"),
        ("lowest x", (3, 1, 7), "bac"),
        ("highest x", (3, None, 7), "cab"),
        ("lowest x", (3, None, 7), "acb"),
        ("highest x", (0.5, NAN, None, 0.7, float("inf")), "edabc"),
        ("lowest x", (0.5, NAN, None, float("-inf")), "dabc"),
        ("highest x", (1, 1, 1), "abc"),
        ("newest x", ("2024-01-02", "2024-03-01", "2023-12-31"), "bac"),
        ("oldest x", ("2024-01-02", "2024-03-01", None), "abc"),
        ("newest x", (datetime.date(2024, 1, 2), datetime.date(2024, 3, 1), None), "bac"),
        ("highest x", (False, True, None), "bac"),
        ("highest x", (Decimal("1.5"), Decimal("2.5")), "ba"),
        ("prefer x wiki|books", ("web", "books", None, "wiki", "wiki"), "debac"),
        ("prefer x 2|1", (1, 2, 3), "bac"),
        ("prefer x true", (False, True, None), "bac"),
    ],
)
def test_rows_are_ranked(keep: str, values: tuple[Any, ...], expected: str) -> None:
    assert order(keep, *values) == expected


def test_what_is_equal_is_decided_by_id_then_by_place() -> None:
    assert order("highest x", 1, 1, 1, ids="cab") == "abc"
    rows = pl.DataFrame({"id": ["a"] * 4, "shard": [1, 0, 1, 0], "row": [0, 5, 2, 3]})
    assert ranked(rows, "first").select("shard", "row").rows() == [(0, 3), (0, 5), (1, 0), (1, 2)]


def test_later_criteria_decide_what_earlier_ones_leave() -> None:
    rows = pl.DataFrame(
        {"id": list("abcd"), "shard": 0, "row": [0, 1, 2, 3], "lang": ["en", "de", "en", "fr"], "n": [1, 9, 2, 99]}
    )
    for some in itertools.permutations(range(4)):
        assert list(ranked(rows[list(some)], "prefer lang en|de, highest n")["id"]) == ["c", "a", "b", "d"]


def test_columns_that_have_no_order_are_told() -> None:
    schema = pa.schema(
        [c.ID, c.PARENTS, c.LANG_SCORE, c.LANG, ("none", pa.null()), ("kind", pa.dictionary("int8", "string"))]
    )
    assert faults("highest lang_score, prefer lang en, prefer kind x", schema) == []
    assert faults("highest parents, highest none, prefer lang_score 1", schema) == [
        "keep orders rows by 'parents', a list<item: string>; it takes numbers, dates and text",
        "keep orders rows by 'none', a null; it takes numbers, dates and text",
        "keep prefers values of 'lang_score', a float; it takes text and whole numbers",
    ]
