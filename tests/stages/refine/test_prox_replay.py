"""Refined texts made again from `edits`, without a model."""

from typing import Any

import pytest

from stages.refine.replay import replay

TEXT = "Menu\nThe  page.\nFooter"


def edit(rule: str, before: int, after: int, stage: str = "ProxChunks") -> dict[str, Any]:
    return {"stage": stage, "rule": rule, "n_chars_before": before, "n_chars_after": after}


def test_programs_run_one_after_the_other() -> None:
    edits = [
        edit("too_few_words", 99, 22, "C4Quality"),
        edit("remove_lines(start=0, end=0)", 22, 17),
        edit('remove_lines(start=1, end=1)\nnormalize(source_str="  ", target_str=" ")', 17, 9),
        edit("email", 9, 40, "Pii"),
    ]
    assert replay(TEXT, edits) == "The page."
    assert replay(TEXT, edits[:1]) == replay(TEXT, []) == TEXT


@pytest.mark.parametrize(
    ("edits", "fault"),
    [
        ([edit("remove_lines(start=0, end=0)", 21, 16)], "was made to 21 characters, here are 22"),
        ([edit("remove_lines(start=0, end=0)", 22, 16)], "left 16 characters, now 17"),
        ([edit("remove_lines(start=0", 22, 22)], "not its text"),
        (
            [edit("remove_lines(start=0, end=0)", 22, 17), edit("x", 17, 17, "Pii"), edit("y", 17, 17)],
            "edit 1 is Pii's",
        ),
    ],
)
def test_what_does_not_fit_is_refused(edits: list[dict[str, Any]], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        replay(TEXT, edits)
