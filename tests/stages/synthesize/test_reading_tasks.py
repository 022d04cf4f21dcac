"""Exercises that a model writes: its reply line by line, and what becomes of a document."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from schemas import columns as c
from stages.models.engine import Answer, Failure, Finish, Request, Usage
from stages.synthesize.reading_tasks import ReadingTasks
from stages.synthesize.reading_templates import load_templates
from stages.synthesize.tasks_form import REASONS, parse_tasks
from tests.stages.rephrase.writers import SPEC, Writer, asker

GOOD = "Question: What was dug?\nAnswer: The leat."
Said = Callable[[Request], "str | Answer | Failure"]


@pytest.mark.parametrize(
    "reply",
    [
        GOOD,
        f"Here are the exercises:\n\n{GOOD}",
        "1. **Question:** What was dug?\n   **Answer:** The leat.",
        "- Question 1: What was dug?\n- Answer 1: The leat.",
        "### Question:\nWhat was dug?\n\nAnswer:\nThe leat.\n",
    ],
)
def test_forms_of_an_exercise(reply: str) -> None:
    assert parse_tasks(reply) == ((("What was dug?", "The leat."),), ())


def test_answers_may_have_lines() -> None:
    assert parse_tasks("Question: a?\n- b\n- c\nAnswer: b\nsince c\nQuestion: d\nAnswer: e").pairs == (
        ("a?\n- b\n- c", "b\nsince c"),
        ("d", "e"),
    )


MALFORMED: list[tuple[str, str, Finish]] = [
    ("reply_empty", "\n ", "stop"),
    ("reply_refusal", "I'm sorry, but I cannot help with that.", "stop"),
    ("reply_no_task", "The text tells of a mill.", "stop"),
    ("task_truncated", "Question: What was dug?\nAnswer: The le", "length"),
    ("task_no_answer", "Question: What was dug?", "stop"),
    ("task_no_question", "Answer: The leat.", "stop"),
    ("task_empty_question", "Question:\nAnswer: The leat.", "stop"),
    ("task_empty_answer", "Question: What was dug?\nAnswer:", "stop"),
    ("task_answers", f"{GOOD}\nAnswer: The wheel.", "stop"),
    ("task_markup", f"{GOOD}<|im_end|>", "stop"),
]


@pytest.mark.parametrize(("reason", "reply", "finish"), MALFORMED)
def test_what_is_no_exercise_has_a_reason(reason: str, reply: str, finish: Finish) -> None:
    assert parse_tasks(reply, finish) == ((), (reason,))
    both = parse_tasks(f"Question: One?\nAnswer: 1.\n{reply}", finish)
    assert len(both.pairs) == (0 if reason == "task_no_question" else 1)


def test_every_reason_is_tested() -> None:
    assert parse_tasks(f"{GOOD}\n{GOOD.replace('What', 'WHAT')}").faults == ("task_repeated",)
    assert {reason for reason, _, _ in MALFORMED} | {"task_repeated"} == set(REASONS)


def written(say: Said, texts: list[str | None], **settings: Any) -> list[dict[str, Any]]:
    ids = [f"d{n}" for n in range(len(texts))]
    table = pa.table({"id": ids, "text": pa.array(texts, c.TEXT), "n_words": pa.array([7] * len(ids), pa.int64())})
    rows: list[dict[str, Any]] = (
        ReadingTasks(**{"engine": SPEC, **settings}).write(table, asker(Writer(say))).to_pylist()
    )
    return rows


def test_exercises_stand_behind_the_text() -> None:
    (row,) = written(lambda _: f"{GOOD}\nQuestion: Why?\nAnswer: For water.", ["The leat was dug."])
    lead = row["text"].removeprefix("The leat was dug.").removesuffix("What was dug? The leat.\n\nWhy? For water.")
    assert lead in load_templates()["lead_ins"]
    assert row["edits"][0] | {"n_chars_after": 0} == {
        "stage": "ReadingTasks", "rule": "tasks 2", "n_chars_before": 17, "n_chars_after": 0,
    }  # fmt: skip
    assert (row["model"], row["prompt_hash"], row["n_words"]) == ("writer-7b", ReadingTasks().prompt_hash, None)
    assert row["answers"][0]["decision"] == "tasks"


def test_a_document_without_exercises_stays_or_goes_with_the_reason() -> None:
    def say(request: Request) -> str | Answer | Failure:
        text = str(request.prompt.chat)
        return Failure("refused") if "bad" in text else Answer(GOOD[:-9], "length", Usage()) if "cut" in text else "No."

    texts = ["cut", "bad", "other", "", None, "word " * 90]
    kept = written(say, texts, max_input=100)
    assert [row["text"] for row in kept] == texts
    assert [row["answers"][0]["decision"] for row in kept] == [
        "no_tasks: task_truncated", "failed", "no_tasks: reply_no_task", "text_empty", "text_empty", "text_long",
    ]  # fmt: skip
    assert [row["error"] for row in kept] == [None, "refused", None, None, None, None]
    assert {(row["drop_reason"], row["edits"], row["model"], row["n_words"]) for row in kept} == {(None, None, None, 7)}
    dropped = [row["drop_reason"] for row in written(say, texts, max_input=100, rejected="drop")]
    assert dropped == ["task_truncated", None, "reply_no_task", "text_empty", "text_empty", "text_long"]


def test_some_that_are_left_out_are_told() -> None:
    (row,) = written(lambda _: f"{GOOD}\nQuestion: Why?", ["The leat was dug."])
    assert (row["answers"][0]["decision"], row["answers"][0]["errors"]) == ("tasks: task_no_answer", 1)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"ReadingTasks\.max_input should be at least 1, got 0"):
        ReadingTasks(max_input=0)
    with pytest.raises(ValueError, match="no prompt 'reading-task'; did you mean 'reading-tasks'"):
        ReadingTasks(prompt="reading-task")
