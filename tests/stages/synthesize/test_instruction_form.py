"""The instruction synthesizer's prompt and grammar: the golden cases, and replies that hold no pair."""

import pytest

from stages.models.engine import Finish
from stages.synthesize.instruction_form import REASONS, Exercise, Pair, exercise_of, parse_pairs, reading, shot

CHOICE = "Which is it?\nOptions:\n- red\n- blue"


def test_the_prompt_of_the_reference() -> None:
    assert reading("The Moon orbits Earth.") == "<s> <CON> The Moon orbits Earth. </CON>\n\n"
    assert shot("T.", [Pair("q", "a"), Pair("r", "b")]) == (
        "<s> <CON> T. </CON>\n\n<QUE> q <ANS> a </END>\n\n<QUE> r <ANS> b </END></s>"
    )


def test_the_golden_reply() -> None:
    reply = (
        "<QUE> What orbits Earth? <ANS> The Moon </END>\n\n<QUE> what orbits earth? <ANS> A satellite </END>\n\n"
        "<QUE> No answer <ANS>  </END>\n\n<QUE> Two <ANS> x <ANS> y </END>\n\n<QUE> Cut off <ANS> the ans"
    )
    parsed = parse_pairs(reply)
    assert parsed.pairs == (Pair("What orbits Earth?", "The Moon"),)
    assert parsed.faults == ("pair_repeated", "pair_no_answer", "pair_answer_marks", "pair_unfinished")
    assert parse_pairs("<QUE> a <ANS> b </END>\n") == ((Pair("a", "b"),), ())
    assert parse_pairs("").pairs == ()


MALFORMED: list[tuple[str, str, Finish]] = [
    ("reply_empty", " \n", "stop"),
    ("pair_truncated", "<QUE> q <ANS> a", "length"),
    ("pair_unfinished", "<QUE> q <ANS> a", "stop"),
    ("pair_blank", "\n </END>", "stop"),
    ("pair_no_answer_mark", "<QUE> q and a </END>", "stop"),
    ("pair_answer_marks", "<QUE> q <ANS> a <ANS> b </END>", "stop"),
    ("pair_no_question_mark", "Sure! <QUE> q <ANS> a </END>", "stop"),
    ("pair_no_answer", "<QUE> q <ANS> </END>", "stop"),
    ("pair_no_question", "<QUE> <ANS> a </END>", "stop"),
    ("pair_markup", "<QUE> q </CON> <ANS> a </END>", "stop"),
    ("pair_reasoning", "<QUE> q\nLet's think step by step. <ANS> a </END>", "stop"),
    ("pair_options", "<QUE> q\nOptions:\n- a\n- \n- b <ANS> a </END>", "stop"),
    ("pair_option_unknown", f"<QUE> {CHOICE} <ANS> green </END>", "stop"),
]


@pytest.mark.parametrize(("reason", "reply", "finish"), MALFORMED)
def test_what_is_no_pair_has_a_reason(reason: str, reply: str, finish: Finish) -> None:
    assert parse_pairs(reply, finish) == ((), (reason,))


def test_every_reason_is_tested() -> None:
    refused = parse_pairs("I'm sorry, but I cannot help with that. </END>")
    assert refused == ((), ("pair_no_answer_mark", "reply_refusal"))
    assert {reason for reason, _, _ in MALFORMED} | {"pair_repeated", "reply_refusal"} == set(REASONS)


def test_the_parts_of_a_pair() -> None:
    assert exercise_of(Pair("q", "a")) == Exercise("q", (), "", "a")
    assert exercise_of(Pair(CHOICE, "blue")) == Exercise("Which is it?", ("red", "blue"), "", "blue")
    assert exercise_of(Pair(CHOICE, "None of the above")) == Exercise(
        "Which is it?", ("red", "blue"), "", "None of the above"
    )
    thought = Pair(f"{CHOICE}\nLet's think step by step.", "It is cold.\nTherefore, the answer is blue")
    assert exercise_of(thought) == Exercise("Which is it?", ("red", "blue"), "It is cold", "blue")
    assert exercise_of(Pair("q", "It is cold.\nTherefore, the answer is blue")) == "pair_reasoning"
