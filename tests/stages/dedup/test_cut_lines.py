"""Lines cut out of texts, what is told of it, and what is left too short."""

from typing import Any

import pyarrow as pa
import pytest

from schemas import columns as c
from stages.dedup.cut_lines import CutLines, cut
from stages.stage import Stage, check


def run(stage: CutLines, *rows: tuple[str | None, list[int] | None]) -> list[dict[str, Any]]:
    texts, lines = [text for text, _ in rows], [numbers for _, numbers in rows]
    table = pa.table(
        {
            "text": pa.chunked_array([texts[:1], texts[1:]], c.TEXT),
            "repeated_lines": pa.array(lines, c.REPEATED_LINES.type),
        }
    )
    return stage.open()(table).to_pylist()


def test_is_a_stage() -> None:
    check((CutLines(),), pa.schema([c.ID, c.BODY, c.REPEATED_LINES]))
    assert isinstance(CutLines(), Stage)


@pytest.mark.parametrize(
    ("text", "numbers", "left"),
    [
        ("a\nb\nc", [1], "a\nc"),
        ("a\nb\nc", [0], "b\nc"),
        ("a\nb\nc", [2], "a\nb"),
        ("a\nb\nc\n", [2], "a\nb"),
        ("a\nb\nc", [0, 1, 2], ""),
        ("a", [0], ""),
        ("a\n\nb\n\nc", [2], "a\n\nc"),
        ("a\n\nb\n\nc", [0], "b\n\nc"),
        ("a\n\nb\n\nc", [4], "a\n\nb"),
        ("a\n\n\nb\n \nc\n\nd", [3, 5], "a\n\n\nd"),
        ("a\nb\n\nc", [1], "a\n\nc"),
        ("a\n\nb\nc", [2], "a\n\nc"),
        ("\n\na\nb\n\n", [3], "\n\na"),
        ("a\r\nb\r\nc", [1], "a\r\nc"),
        ("\u4f60\n\u597d\n", [1], "\u4f60"),
    ],
)
def test_lines_are_cut(text: str, numbers: list[int], left: str) -> None:
    assert cut(text, numbers) == left


def test_line_that_is_not_there_is_told() -> None:
    with pytest.raises(
        ValueError, match=r"^repeated_lines names line 2 of a text of 2 lines: an earlier stage changed it"
    ):
        cut("a\nb", [0, 2])


def test_cut_rows_tell_it_and_others_stay_as_they_are() -> None:
    rows = run(
        CutLines(min_words=1), ("a b\nc", [1]), ("x\ny", None), ("z", []), (None, None), ("\u00e9\u4f60\nq", [1])
    )
    assert [(row["text"], row["n_chars"], row["drop_reason"]) for row in rows] == [
        ("a b", 3, None), ("x\ny", 3, None), ("z", 1, None), (None, None, None), ("\u00e9\u4f60", 2, None),
    ]  # fmt: skip
    edit = {"stage": "CutLines", "rule": "repeated_lines", "n_chars_before": 5, "n_chars_after": 3}
    assert [row["edits"] for row in rows] == [
        [edit], None, None, None, [{**edit, "n_chars_before": 4, "n_chars_after": 2}],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        (CutLines(min_words=3), None),
        (CutLines(min_words=4), "too_few_words"),
        (CutLines(), "too_few_words"),
        (CutLines(min_words=0, min_chars=5), None),
        (CutLines(min_words=0, min_chars=6), "too_few_chars"),
        (CutLines(min_words=0), None),
    ],
)
def test_rows_left_too_short_are_dropped_with_their_text(stage: CutLines, reason: str | None) -> None:
    (row, short) = run(stage, ("a b c\nd", [1]), ("e", None))
    assert row["drop_reason"] == reason
    assert (row["text"], row["n_chars"]) == (("a b c\nd", 7) if reason else ("a b c", 5))
    assert (row["edits"] is None) is (reason is not None)
    assert short["drop_reason"] is None


def test_row_with_nothing_left_is_dropped_whatever_the_settings() -> None:
    assert run(CutLines(min_words=0), ("a\n \n", [0]), ("b", None))[0]["drop_reason"] == "too_few_words"


def test_table_without_rows() -> None:
    assert run(CutLines()) == []
