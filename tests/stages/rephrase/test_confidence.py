"""How sure a model is of an answer: the parts, and their sum."""

import pytest

from stages.models.engine import Prompt, Request, Sampling
from stages.prompts import load_prompt
from stages.rephrase.confidence import confidence, likeness, median, questions, reflected


def test_likeness_is_the_f1_of_words() -> None:
    assert likeness("The mill is old.", "the MILL is, old") == 1.0
    assert likeness("a b c d", "a b x y") == 0.5
    assert likeness("a a a b", "a b b b") == 0.5
    assert likeness("水車小屋", "水車") == pytest.approx(2 * 2 / 6)
    assert likeness("a", "b") == 0.0
    assert likeness("", "") == 1.0


@pytest.mark.parametrize(
    ("reply", "worth"),
    [
        ("A", 1.0),
        ("(B)", 0.0),
        ("C.", 0.5),
        ("Letter: A", 1.0),
        ("b", 0.0),
        ("Apples", 0.5),
        ("", 0.5),
        ("I think so", 0.5),
    ],
)
def test_a_reply_is_worth_its_letter(reply: str, worth: float) -> None:
    assert reflected(reply) == worth


def test_confidence_is_the_weighted_sum() -> None:
    """c = beta * O + (1 - beta) * S with O = mean(1, 0.5)."""
    samples = ["a b c d", "a b x y"]
    assert confidence("a b c d", samples, "A", beta=0.7) == pytest.approx(0.7 * 0.75 + 0.3)
    assert confidence("a b c d", samples, "B", beta=0.7) == pytest.approx(0.7 * 0.75)
    assert confidence("a b c d", samples, "C", beta=0.0) == 0.5
    assert confidence("a b c d", [], "A", beta=1.0) == 0.0


def test_the_median_splits_as_clear_does() -> None:
    """methods 19: [.1, .5, .9, .7], the median .6 keeps the third and the fourth."""
    scores = [0.1, 0.5, 0.9, 0.7]
    assert median(scores) == pytest.approx(0.6)
    assert [score > median(scores) for score in scores] == [False, False, True, True]


def test_the_task_is_asked_again_with_other_seeds_and_then_what_the_model_thinks() -> None:
    task = Request(Prompt(chat=(("system", "You rewrite."), ("user", "Rewrite: one"))), Sampling(50, 0.2, 0.9, seed=1))
    again, other, reflection = questions(task, "one", "uno", load_prompt("self-reflection"), [11, 12])
    assert again.prompt == other.prompt == task.prompt
    assert [(r.sampling.temperature, r.sampling.top_p, r.sampling.seed) for r in (again, other)] == [
        (1, 1, 11),
        (1, 1, 12),
    ]
    asked = (reflection.prompt.chat or ())[-1][1]
    assert "Task:\nRewrite: one\n" in asked
    assert "Answer:\nuno\n" in asked
    assert (reflection.sampling.temperature, reflection.sampling.max_tokens) == (0.0, 8)
