"""Conversations in seven styles: pieces, speakers, and the reasons of what is not taken."""

import pytest

from stages.models.engine import Failure, Request
from stages.prompts import load_prompt
from stages.synthesize.conversation import SPEAKERS, Conversation
from tests.stages.rephrase.writers import SPEC, Writer, user
from tests.stages.synthesize.replies import MILL, Said, cut, documents, write, written

DEBATE = "mind-debate"


def talk(request: Request) -> str:
    """What a willing model answers, between the speakers of the prompt."""
    style = next(name for name in SPEAKERS if user(request).startswith(load_prompt(name).user[:60]))
    one, other = SPEAKERS[style]
    text = user(request).partition("Text:\n")[2]
    return f"{one}: Let us see what the text says of the mill.\n{other}: {text}\n{one}: So that is it, step by step."


def test_every_piece_is_told_in_every_style() -> None:
    rows = write(Conversation, documents(MILL), talk)
    assert [row["variant"] for row in rows] == [f"{style} piece 1" for style in SPEAKERS]
    assert len(SPEAKERS) == 7
    assert [row["drop_reason"] for row in rows] == [None] * 7
    assert rows[0]["text"] == (
        "Student A: Let us see what the text says of the mill.\n\n"
        f"Student B: {MILL}\n\nStudent A: So that is it, step by step."
    )
    assert [row["prompt_hash"] for row in rows] == [load_prompt(style).hash for style in SPEAKERS]
    assert len({row["id"] for row in rows}) == 7
    assert {tuple(row["parents"]) for row in rows} == {("d0",)}


def test_every_prompt_names_its_speakers() -> None:
    for style, (one, other) in SPEAKERS.items():
        assert f'"{one}:" or "{other}:"' in load_prompt(style).user


def test_pieces_have_at_most_so_many_tokens() -> None:
    """45 sentences of 13 words are 45 x 17 tokens at 1.3 a word: 29 in a piece of 500, then 16."""
    text = " ".join(f"Sentence number {n} has as many words as any other of these has." for n in range(45))
    engine = Writer(talk)
    rows = written(Conversation(engine=SPEC, styles=(DEBATE,)), documents(text), engine)
    assert [row["variant"] for row in rows] == [f"{DEBATE} piece 1", f"{DEBATE} piece 2"]
    shown = sorted(user(request).partition("Text:\n")[2] for request in engine.asked)
    assert sorted(one.count("Sentence") for one in shown) == [16, 29]
    assert " ".join(shown) == text


def test_some_of_the_styles_are_drawn() -> None:
    rows = write(
        Conversation, documents(*[f"{MILL} Once {n}." for n in range(60)]), talk, draw=1, guards={"language": False}
    )
    assert len(rows) == 60
    assert {row["variant"] for row in rows} == {f"{style} piece 1" for style in SPEAKERS}
    two = write(Conversation, documents(MILL), talk, draw=2)
    assert len({row["variant"] for row in two}) == 2
    assert [row["variant"] for row in two] == [
        row["variant"] for row in write(Conversation, documents(MILL), talk, draw=2)
    ]


LONG = "the mill was built by hand of stone that had been cut in the valley below and carried up by men and horses. "


@pytest.mark.parametrize(
    ("reason", "reply"),
    [
        ("conversation_empty", "\n\n"),
        ("conversation_refusal", "I'm sorry, but I cannot help with that."),
        ("conversation_no_turns", f"One says that {LONG}"),
        ("conversation_no_turns", f"Student A: {LONG}\nStudent B: {LONG}"),
        ("conversation_one_speaker", f"Debater A: {LONG}\nDebater A: {LONG}"),
        ("conversation_empty_turn", f"Debater A:\nDebater B: {LONG}"),
        ("conversation_truncated", cut(f"Debater A: {LONG}\nDebater B: {LONG}")),
        ("conversation_short", "Debater A: Why was it closed?\nDebater B: The railway came."),
        ("guard_refusal", f"Debater A: I'm sorry, but I cannot help with that.\nDebater B: {LONG}{LONG}"),
        ("guard_leak", f"Debater A: {LONG}\nDebater B: Yes, {LONG}[/INST]"),
        ("guard_novel_url", f"Debater A: {LONG} See www.example.org/mill.\nDebater B: Yes, {LONG}"),
        ("guard_repetition", "Debater A: So it is, so it was.\nDebater B: So it is, so it was.\n" * 8),
    ],
)
def test_what_is_not_taken_is_dropped_with_the_reason(reason: str, reply: Said) -> None:
    (row,) = write(Conversation, documents(MILL), reply, styles=(DEBATE,))
    assert (row["drop_reason"], row["error"], row["parents"]) == (reason, None, ["d0"])
    assert (row["answers"][0]["decision"], row["answers"][0]["errors"]) == (reason, 1)


def test_fifty_tokens_are_enough() -> None:
    """38 words are 50 tokens at 1.3 a word, rounded up; 37 are 49."""
    for words, reason in ((38, None), (37, "conversation_short")):
        said = "Debater A: " + " ".join(f"word{n}" for n in range(words - 5)) + "\nDebater B: Yes."
        (row,) = write(Conversation, documents(MILL), said, styles=(DEBATE,), guards={"language": False})
        assert row["drop_reason"] == reason


def test_numbers_may_be_worked_out() -> None:
    reply = f"Debater A: {LONG} Twice 6 metres are 12.\nDebater B: And half of that is 6 again, so the wheel is {MILL}"
    assert [row["drop_reason"] for row in write(Conversation, documents(MILL), reply, styles=(DEBATE,))] == [None]
    (row,) = write(Conversation, documents(MILL), reply, styles=(DEBATE,), guards={"novel_numbers": 0})
    assert row["drop_reason"] == "guard_novel_number"


def test_failures_and_empty_documents() -> None:
    rows = write(Conversation, documents(MILL, "", None), Failure("gone"), styles=(DEBATE,))
    assert [(row["error"], row["drop_reason"]) for row in rows] == [
        ("Failure: mind-debate, mind-debate, piece 1: gone", None),
        (None, "document_empty"),
        (None, "document_empty"),
    ]


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="Conversation: no style 'mind-debat'; did you mean 'mind-debate'"):
        Conversation(engine=SPEC, styles=("mind-debat",))
    with pytest.raises(ValueError, match=r"Conversation.styles should be names, each once"):
        Conversation(engine=SPEC, styles=(DEBATE, DEBATE))
    with pytest.raises(ValueError, match=r"Conversation.draw should be from 1 to 7, or null, got 8"):
        Conversation(engine=SPEC, draw=8)
