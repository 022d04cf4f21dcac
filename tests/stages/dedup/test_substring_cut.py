"""Repeated spans out of their texts: what is left, what is told of it, and which rows go."""

from typing import Any

import pyarrow as pa
import pytest

from schemas import columns as c
from stages.dedup.substring_cut import CutSpans
from stages.stage import Stage, check

TEXT = "One two three. Four five six.\n\nSeven eight nine, ten."
SIX, NINE = (15, 31), (31, 49)  # "Four five six.\n\n", "Seven eight nine, "


def spans(*found: tuple[int, int]) -> list[dict[str, Any]]:
    return [{"start": start, "end": end, "of": "a"} for start, end in found]


def table(*rows: tuple[str | None, list[dict[str, Any]] | None], **more: pa.Array) -> pa.Table:
    texts, lists = zip(*rows, strict=True)
    ids = [str(i) for i in range(len(rows))]
    return pa.table({"id": ids, "text": pa.array(texts, c.TEXT), "repeats": pa.array(lists, c.REPEATS.type), **more})


def cut(rows: pa.Table, **settings: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = CutSpans(**settings).open()(rows).to_pylist()
    return found


def test_is_a_stage() -> None:
    schema = check((CutSpans(),), pa.schema([c.ID, c.BODY, c.REPEATS]))
    assert isinstance(CutSpans(), Stage)
    for rows in (table((TEXT, spans(SIX)), ("b", None)), table((TEXT, spans(SIX))).slice(0, 0)):
        got = CutSpans().open()(rows)
        assert [got.schema.field(field.name).type for field in schema] == [field.type for field in schema]


@pytest.mark.parametrize(
    ("found", "left"),
    [
        ([SIX], "One two three. Seven eight nine, ten."),
        ([SIX, NINE], "One two three. ten."),
        ([(0, 15)], "Four five six.\n\nSeven eight nine, ten."),
        ([(15, len(TEXT))], "One two three."),  # white space before the last span goes as well
        ([(0, len(TEXT))], ""),
    ],
)
def test_spans_are_cut(found: list[tuple[int, int]], left: str) -> None:
    row = cut(table((TEXT, spans(*found))), min_chars=0)[0]
    assert (row["text"], row["n_chars"], row["drop_reason"]) == (left, len(left), None)


@pytest.mark.parametrize(
    ("found", "left"),
    [
        ([SIX], "One two three. [...]\n\nSeven eight nine, ten."),
        ([SIX, NINE], "One two three. [...]\n\n[...] ten."),
        ([(15, len(TEXT))], "One two three. [...]"),
    ],
)
def test_spans_are_masked(found: list[tuple[int, int]], left: str) -> None:
    row = cut(table((TEXT, spans(*found))), mask="[...]", min_chars=0)[0]
    assert (row["text"], row["n_chars"]) == (left, len(left))


def test_every_span_is_an_edit_behind_those_of_earlier_stages() -> None:
    earlier = pa.array([[{"stage": "Pii", "rule": "ip", "n_chars_before": 54, "n_chars_after": 53}]], c.EDITS.type)
    row = cut(table((TEXT, spans(SIX, (31, 53))), edits=earlier), min_chars=0)[0]
    assert [tuple(edit.values()) for edit in row["edits"]] == [
        ("Pii", "ip", 54, 53),
        ("CutSpans", "repeated_span", 53, 37),
        ("CutSpans", "repeated_span", 37, 14),
    ]
    assert row["text"] == "One two three."
    assert row["repeats"] == spans(SIX, (31, 53))


def test_rows_without_spans_stay_as_they_are() -> None:
    for row in cut(table(("  short ", None), ("", []), (None, None))):
        assert (row["edits"], row["drop_reason"]) == (None, None)
        assert row["n_chars"] == (None if row["text"] is None else len(row["text"]))
    assert [row["text"] for row in cut(table(("  short ", None), ("", []), (None, None)))] == ["  short ", "", None]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, None),
        ({"min_chars": 19}, None),
        ({"min_chars": 20}, "too_little_left"),  # "One two three. ten." is left
        ({"max_share": 0.65}, None),
        ({"max_share": 0.64}, "mostly_repeated"),
        ({"max_share": 0.0}, "mostly_repeated"),
    ],
)
def test_rows_with_too_little_left_are_dropped(settings: dict[str, Any], reason: str | None) -> None:
    settings = {"min_chars": 0, **settings}
    rows = cut(table((TEXT, spans(SIX, NINE)), ("x", None)), **settings)
    assert [row["drop_reason"] for row in rows] == [reason, None]
    assert cut(table((TEXT, spans(SIX, NINE))), mask="*", **settings)[0]["drop_reason"] == reason


def test_20_characters_have_to_be_left() -> None:
    assert CutSpans().min_chars == 20
    assert [cut(table(("a" * n, spans((0, 80)))))[0]["drop_reason"] for n in (99, 100)] == ["too_little_left", None]


def test_places_are_code_points() -> None:
    assert cut(table(("é😀 今日は天 b", spans((3, 8)))), min_chars=0)[0]["text"] == "é😀 b"


def test_share_over_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"CutSpans: max_share should be from 0 to 1, got 1\.5"):
        CutSpans(max_share=1.5)
