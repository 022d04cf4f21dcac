"""CLEAR's confidence: by hand, the golden median (methods 19), and what is asked."""

import numpy as np
import pytest

from stages.models.engine import Failure
from stages.rate.clear import Clear
from tests.stages.rate.scripted import Scripted, rate


def say(request):
    said = request.prompt.chat[-1][1]
    if "Letter:" in said:
        return "B" if "wrong" in said else ("who knows" if "odd" in said else "A")
    return Failure("lost") if said == "fail" else "right answer"


QUESTIONS = ["q", "q", "fail", "odd"]
TEXTS = ["right answer", "wrong answer", "right answer", "right answer"]


def test_scores_by_hand_and_failures(monkeypatch):
    engine = Scripted(say)
    rows = rate(monkeypatch, Clear(samples=2, threshold=0.5), engine, TEXTS, question=QUESTIONS)
    # 0.7 * 1 + 0.3 * 1; 0.7 * 0.5 + 0; failed; 0.7 + 0.3 * 0.5 for a reflection without a letter
    assert [row["confidence_score"] for row in rows] == [1.0, pytest.approx(0.35), None, pytest.approx(0.85)]
    assert [row["drop_reason"] for row in rows] == [None, "low_confidence", None, None]
    assert [row["error"] for row in rows] == [None, None, "Failure: lost", None]
    assert [row["answers"] and row["answers"][0]["errors"] for row in rows] == [0, 0, None, 1]
    assert rows[0]["answers"][0]["calls"] == 3


def test_each_sample_has_a_seed_of_its_own_that_follows_the_row(monkeypatch):
    stage = Clear(samples=3)
    seeds = [request.sampling.seed for request in stage.requests("r1", "q", "a")]
    assert len(set(seeds[:3])) == 3 and seeds[3] is None
    assert seeds == [request.sampling.seed for request in stage.requests("r1", "q", "a")]
    assert seeds[:3] != [request.sampling.seed for request in stage.requests("r2", "q", "a")][:3]
    assert [request.sampling.temperature for request in stage.requests("r1", "q", "a")] == [1.0, 1.0, 1.0, 0.0]


def test_golden_median():
    scores = [0.1, 0.5, 0.9, 0.7]
    stage = Clear(threshold=float(np.median(scores)))
    assert [stage.reason(score) for score in scores] == ["low_confidence", "low_confidence", None, None]
    assert Clear().reason(0.1) is None


@pytest.mark.parametrize("settings", [{"samples": 0}, {"beta": 1.1}, {"threshold": 2}])
def test_settings_are_checked(settings):
    with pytest.raises(ValueError, match="Clear"):
        Clear(**settings)


def test_the_column_of_questions_is_a_setting():
    assert Clear(question="instruction").reads.names == ["id", "text", "instruction"]
