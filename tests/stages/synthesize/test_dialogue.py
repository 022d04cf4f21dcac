"""Dialogues by way of facts and a plan: messages, what each request shows, and the reasons of what is not taken."""

import pytest

from stages.models.engine import Failure, Request
from stages.prompts import load_prompt
from stages.synthesize.dialogue import Dialogue
from tests.stages.rephrase.writers import SPEC, Shelf, Writer, user
from tests.stages.synthesize.replies import MILL, Said, cut, documents, write, written

FACTS = "- The mill was built in 1842.\n- Its wheel is 6 metres high."
PLAN = "- what: which mill is it?\n- why: why was it closed?"
TALK = (
    "User: Which mill is that?\nAssistant: The water mill at Lenham, built in 1842 of grey stone.\n"
    "User: Why was it closed?\nAssistant: The railway came, and the miller closed it."
)


def step(request: Request) -> int:
    """Which of the three requests it is."""
    return 2 if "Plan:\n" in user(request) else 1 if "Facts:\n" in user(request) else 0


def chain(facts: Said = FACTS, plan: Said = PLAN, talk: Said = TALK) -> "object":
    return lambda request: (facts, plan, talk)[step(request)]


def test_a_dialogue_is_messages_in_turns() -> None:
    (row,) = write(Dialogue, documents(MILL), chain())
    assert row["messages"] == [
        {"role": "user", "content": "Which mill is that?"},
        {"role": "assistant", "content": "The water mill at Lenham, built in 1842 of grey stone."},
        {"role": "user", "content": "Why was it closed?"},
        {"role": "assistant", "content": "The railway came, and the miller closed it."},
    ]
    assert row["text"] == TALK.replace("\nUser", "\n\nUser").replace("\nAssistant", "\n\nAssistant")
    assert (row["parents"], row["parent_text"], row["drop_reason"]) == (["d0"], MILL, None)
    (entry,) = row["answers"]
    assert (entry["calls"], entry["output"]) == (3, f"{FACTS}\n{PLAN}\n{TALK}")
    assert entry["prompt_hash"] == row["prompt_hash"] == load_prompt("r2s-dialogue").hash


def test_each_request_shows_what_came_before() -> None:
    engine = Writer(chain("1. One thing.\n2. Another."))  # type: ignore[arg-type]
    written(Dialogue(engine=SPEC), documents(MILL), engine)
    facts, plan, talk = map(user, engine.asked)
    assert "Facts:" not in facts
    assert "Facts:\n- One thing.\n- Another.\n\nText:" in plan
    assert f"Plan:\n{PLAN}\n\nText:\n{MILL}" in talk


@pytest.mark.parametrize(
    ("reason", "replies"),
    [
        ("facts_empty", {"facts": ""}),
        ("facts_refusal", {"facts": "I'm sorry, but I cannot help with that."}),
        ("facts_no_list", {"facts": "The mill was built."}),
        ("facts_few", {"facts": "- The mill was built."}),
        ("facts_truncated", {"facts": cut("- The mill was built.\n- Its whe")}),
        ("plan_empty", {"plan": "\n"}),
        ("plan_no_list", {"plan": "why: why was it closed?"}),
        ("dialogue_empty", {"talk": " "}),
        ("dialogue_no_turns", {"talk": "The mill stands at Lenham."}),
        ("dialogue_wrong_start", {"talk": f"Assistant: Hello.\n{TALK}"}),
        ("dialogue_not_alternating", {"talk": TALK.replace("Assistant: The railway", "User: The railway")}),
        ("dialogue_unanswered", {"talk": f"{TALK}\nUser: Thank you."}),
        ("dialogue_empty_turn", {"talk": TALK.replace("Which mill is that?", "")}),
        ("dialogue_few_turns", {"talk": TALK.partition("\nUser: Why")[0]}),
        ("dialogue_truncated", {"talk": cut(TALK)}),
        ("guard_novel_number", {"talk": TALK.replace("1842", "1843")}),
        ("guard_leak", {"talk": f"{TALK}<|im_end|>"}),
    ],
)
def test_what_is_not_taken_is_dropped_with_the_reason(reason: str, replies: dict[str, Said]) -> None:
    (row,) = write(Dialogue, documents(MILL), chain(**replies))
    assert (row["drop_reason"], row["error"], row["parents"]) == (reason, None, ["d0"])
    assert (row["answers"][0]["decision"], row["answers"][0]["errors"]) == (reason, 1)


def test_after_a_fault_nothing_more_is_asked() -> None:
    engine = Writer(chain(plan="no list"))  # type: ignore[arg-type]
    (row,) = written(Dialogue(engine=SPEC), documents(MILL), engine)
    assert len(engine.asked) == 2
    assert row["prompt_hash"] == load_prompt("r2s-plan").hash
    assert row["messages"] is None


def test_a_failure_leaves_a_dead_row() -> None:
    (row,) = write(Dialogue, documents(MILL), chain(plan=Failure("gone")))
    assert (row["error"], row["drop_reason"]) == ("Failure: r2s-plan: gone", None)
    assert row["answers"][0]["calls"] == 1


def test_documents_that_are_not_asked_about() -> None:
    rows = write(Dialogue, documents("", None, "word " * 90, MILL), chain(), max_input=100)
    assert [row["drop_reason"] for row in rows] == ["document_empty", "document_empty", "document_long", None]


def test_another_language_is_a_reason() -> None:
    german = TALK.replace(
        "The railway came, and the miller closed it.", "Weil die Eisenbahn kam und der Müller sie schloss. " * 4
    )
    (row,) = write(Dialogue, documents(MILL), chain(talk=german), guards={"dup_n_grams": ()})
    assert row["drop_reason"] == "guard_language"


def test_a_second_run_is_the_ledgers() -> None:
    engine, shelf = Writer(chain()), Shelf()  # type: ignore[arg-type]
    first = written(Dialogue(engine=SPEC), documents(MILL, MILL + " So it is."), engine, shelf)
    again = written(Dialogue(engine=SPEC), documents(MILL, MILL + " So it is."), engine, shelf)
    assert len(engine.asked) == 6
    assert [row["text"] for row in first] == [row["text"] for row in again]
    assert [row["answers"][0]["from_ledger"] for row in again] == [3, 3]


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"Dialogue.prompts should be three"):
        Dialogue(engine=SPEC, prompts=("r2s-facts",))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"Dialogue.least_turns should be at least 2, got 1"):
        Dialogue(engine=SPEC, least_turns=1)
    with pytest.raises(ValueError, match="did you mean 'novel_numbers'"):
        Dialogue(engine=SPEC, guards={"novel_number": 1})
