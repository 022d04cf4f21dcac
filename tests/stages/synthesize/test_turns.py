"""Conversations in a model's reply: turns, their order, and a fault for each kind of reply that is none."""

import pytest

from stages.models.engine import Finish
from stages.synthesize.turns import FAULTS, Turn, parse_turns, rendered

CHAT = ("User", "Assistant")
GOOD = "User: What is it?\nAssistant: A mill."
TURNS = (Turn("User", "What is it?"), Turn("Assistant", "A mill."))


@pytest.mark.parametrize(
    "reply",
    [
        GOOD,
        f"Here is the dialogue:\n\n{GOOD}",
        "**User:** What is it?\n\n**Assistant:** A mill.\n",
        "**User**: What is it?\n**Assistant**: A mill.",
        "### User:\nWhat is it?\n\n### Assistant:\nA mill.",
        "- USER: What is it?\n- assistant : A mill.",
    ],
)
def test_forms_of_a_turn(reply: str) -> None:
    assert parse_turns(reply, CHAT, strict=True) == TURNS


def test_a_turn_may_have_lines_and_colons() -> None:
    reply = "Student A: Two steps:\n\nStep 1: halve it.\nA user: nobody.\nStudent B: Why?"
    assert parse_turns(reply, ("Student A", "Student B")) == (
        Turn("Student A", "Two steps:\n\nStep 1: halve it.\nA user: nobody."),
        Turn("Student B", "Why?"),
    )


def test_people_may_speak_twice_in_a_row() -> None:
    reply = "Layman: Oh.\nLayman: Why?\nExpert: So."
    assert [turn.speaker for turn in parse_turns(reply, ("Layman", "Expert"))] == ["Layman", "Layman", "Expert"]  # type: ignore[union-attr]
    assert parse_turns(reply, ("Layman", "Expert"), strict=True) == "not_alternating"


MALFORMED: list[tuple[str, str, Finish]] = [
    ("empty", "\n", "stop"),
    ("refusal", "As an AI language model, I cannot write this.", "stop"),
    ("no_turns", "What is it? A mill.", "stop"),
    ("no_turns", '[{"role": "user", "content": "What is it?"}]', "stop"),
    ("truncated", f"{GOOD}\nUser: And wh", "length"),
    ("empty_turn", "User: What is it?\nAssistant:\nUser: Hm?\nAssistant: A mill.", "stop"),
    ("wrong_start", f"Assistant: Hello.\n{GOOD}", "stop"),
    ("not_alternating", f"User: Hello.\n{GOOD}", "stop"),
    ("not_alternating", f"{GOOD}\nAssistant: An old one.", "stop"),
    ("unanswered", f"{GOOD}\nUser: Thanks.", "stop"),
    ("few_turns", GOOD, "stop"),
]


@pytest.mark.parametrize(("fault", "reply", "finish"), MALFORMED)
def test_replies_that_are_no_dialogue_have_a_fault(fault: str, reply: str, finish: Finish) -> None:
    assert parse_turns(reply, CHAT, finish, least=4, strict=True) == fault


def test_one_speaker_alone_is_no_conversation() -> None:
    assert parse_turns("Teacher: A mill.\nTeacher: A wheel.", ("Teacher", "Student")) == "one_speaker"
    assert {fault for fault, _, _ in MALFORMED} | {"one_speaker"} == set(FAULTS)


def test_turns_are_written_as_they_are_read() -> None:
    assert rendered(TURNS) == "User: What is it?\n\nAssistant: A mill."
    assert parse_turns(rendered(TURNS), CHAT) == TURNS
