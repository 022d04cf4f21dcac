"""Exercises that texts hold, by the connectors of AdaptLLM."""

import time

import pytest

from stages.synthesize.mining import Mined, mine

BEFORE = "The survey ran for ten years. "
PREMISE = "The river carried far more sediment after the upstream forest was cleared."
HYPOTHESIS = "the harbour at its mouth had to be dredged every single winter."
AFTER = " The town paid for it."


def of(kind: str, text: str) -> list[Mined]:
    return [mined for mined in mine(text) if mined.kind == kind]


def test_the_example_of_the_reference() -> None:
    text = f"{BEFORE}{PREMISE} Therefore, {HYPOTHESIS}{AFTER}"
    assert of("entail", text) == [Mined("entail", "Therefore", PREMISE, HYPOTHESIS)]
    assert of("cause_effect", text) == [Mined("cause_effect", "Therefore", PREMISE, HYPOTHESIS)]


def test_the_premise_is_not_the_first_sentence_and_text_follows() -> None:
    assert mine(f"{PREMISE} Therefore, {HYPOTHESIS}{AFTER}") == []
    assert mine(f"{BEFORE}{PREMISE} Therefore, {HYPOTHESIS}") == []


@pytest.mark.parametrize(
    ("connector", "kinds"),
    [
        ("However,", {"contradict", "different"}),
        ("In contrast,", {"contradict", "different"}),
        ("Moreover,", {"neutral"}),
        ("In other words,", {"similar"}),
        ("i.e.,", {"similar"}),
        ("Hence,", {"entail", "cause_effect"}),
        ("Yes,", {"entail"}),
        ("Due to", {"effect_cause"}),
        ("Meanwhile,", set()),
    ],
)
def test_connectors_and_what_they_say(connector: str, kinds: set[str]) -> None:
    text = f"{BEFORE}{PREMISE} {connector} {HYPOTHESIS}{AFTER}"
    assert {mined.kind for mined in mine(text)} == kinds


def test_sentences_with_commas_are_paraphrases_only() -> None:
    premise = "The river, which is long, carried far more sediment after the forest was cleared."
    text = f"{BEFORE}{premise} However, {HYPOTHESIS}{AFTER}"
    assert {mined.kind for mined in mine(text)} == {"different"}


def test_terms_and_topics() -> None:
    text = "Look: sedimentation is defined as the settling of grains out of water. It ends here."
    assert of("definition", text) == [
        Mined("definition", "is defined as", "sedimentation", "the settling of grains out of water.")
    ]
    text = "Yes. The second chapter of the book is about the way of the sand along the coast. It ends here."
    assert of("topic", text) == [
        Mined("topic", "is about", "The second chapter of the book", "the way of the sand along the coast.")
    ]


def test_two_of_a_kind_at_most() -> None:
    text = f"{BEFORE}{PREMISE} Therefore, {HYPOTHESIS}{AFTER} " * 4
    assert len(of("entail", text)) == 2


def test_long_texts_without_any_are_read_in_linear_time() -> None:
    def seconds(text: str) -> float:
        begun = time.thread_time()
        mine(text)
        return time.thread_time() - begun

    for unit in ("word ", "a" * 60 + ". ", "is about ", ".!? ", '"', "\n"):
        assert seconds(unit * 20_000) < 2.0, unit
