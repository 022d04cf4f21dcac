"""Safety by labels and by a guard model's words."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from cluster.ledger import Asking
from stages.models import ask
from stages.models.engine import Failure
from stages.rate.llama_guard import LlamaGuard, Verdict, parse_verdict
from stages.rate.safety import Safety, probabilities
from stages.stage import StageError
from tests.stages.rate.scripted import BEGIN, END, Scripted, rate

LABELS = ("toxic", "threat", "insult")


def test_probabilities_by_hand():
    logits = np.array([0.0, 2.0, -1000.0], np.float32)
    assert probabilities(logits, "sigmoid").tolist() == pytest.approx([0.5, 0.880797, 0.0], abs=1e-6)
    assert probabilities(logits, "softmax").tolist() == pytest.approx([0.119203, 0.880797, 0.0], abs=1e-6)


def test_the_highest_of_labels_that_may_go_together(monkeypatch):
    engine = Scripted(lambda p: [0.0, 2.0, 5.0], labels=LABELS)
    stage = Safety(labels=("toxic", "threat"), threshold=0.88)
    row = rate(monkeypatch, stage, engine, ["a"])[0]
    assert (row["unsafe_score"], row["unsafe_label"]) == (pytest.approx(0.8808), "threat")
    assert row["drop_reason"] == "unsafe_score"


def test_the_sum_of_labels_of_which_one_is_right(monkeypatch):
    engine = Scripted(lambda p: [1.0, 1.0, 1.0], labels=LABELS)
    row = rate(monkeypatch, Safety(labels=("threat", "insult"), activation="softmax"), engine, ["a"])[0]
    assert (row["unsafe_score"], row["unsafe_label"], row["drop_reason"]) == (pytest.approx(0.6667), "threat", None)


def test_the_worst_piece_counts(monkeypatch):
    def say(prompt):
        return [5.0 if 9 in prompt.tokens else -5.0, 0, 0]

    text = "a a a 123456789"
    engine = Scripted(say, labels=LABELS)
    assert rate(monkeypatch, Safety(max_tokens=5), engine, [text])[0]["drop_reason"] == "unsafe_score"
    assert sorted(p.tokens for p in engine.asked) == [(BEGIN, 1, 1, 1, END), (BEGIN, 9, END)]
    assert rate(monkeypatch, Safety(max_tokens=5, max_pieces=1), engine, [text])[0]["drop_reason"] is None


def test_threshold_none_keeps_and_empty_texts_are_rated(monkeypatch):
    engine = Scripted(lambda p: [9.0, 0, 0], labels=LABELS)
    rows = rate(monkeypatch, Safety(threshold=None), engine, ["a", ""])
    assert [row["drop_reason"] for row in rows] == [None, None]
    assert [row["unsafe_score"] for row in rows] == [pytest.approx(0.9999)] * 2


def test_failures(monkeypatch):
    engine = Scripted(lambda p: Failure("lost") if 2 in p.tokens else [9.0, 0, 0], labels=LABELS)
    bad, good = rate(monkeypatch, Safety(), engine, ["bb", "a"])
    assert (bad["error"], bad["drop_reason"], bad["unsafe_label"]) == ("Failure: lost", None, None)
    assert (good["error"], good["drop_reason"]) == (None, "unsafe_score")


def test_a_label_that_the_model_does_not_have(monkeypatch):
    with pytest.raises(StageError, match="no label 'toxik'; did you mean 'toxic'"):
        rate(monkeypatch, Safety(labels=("toxik",)), Scripted(lambda p: [], labels=LABELS), ["a"])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"labels": "toxic"}, "labels"),
        ({"labels": ()}, "labels"),
        ({"activation": "relu"}, "sigmoid or softmax"),
        ({"threshold": 1.5}, "from 0 to 1"),
        ({"max_pieces": 0}, "max_pieces"),
    ],
)
def test_settings_are_checked(settings, says):
    with pytest.raises(ValueError, match=says):
        Safety(**settings)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_the_model_scores_as_transformers_does(folders, activation):
    texts = ["The mill stands by the river.", "", "x"]
    stage = Safety(labels=("toxic", "threat"), activation=activation, engine=f"transformers:{folders['names']}")
    rows = stage.open()(pa.table({"text": pa.array(texts, pa.large_string())})).to_pylist()
    words = AutoTokenizer.from_pretrained(folders["names"])
    model = AutoModelForSequenceClassification.from_pretrained(folders["names"]).eval()
    for text, row in zip(texts, rows, strict=True):
        with torch.inference_mode():
            logits = model(input_ids=words(text, return_tensors="pt")["input_ids"]).logits[0]
        both = logits.sigmoid()[1:] if activation == "sigmoid" else logits.softmax(-1)[1:]
        expected = both.max() if activation == "sigmoid" else both.sum()
        assert row["unsafe_score"] == pytest.approx(expected.item(), abs=6e-5)
        assert row["unsafe_label"] == ("toxic", "threat")[int(both.argmax())]


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("safe", Verdict("safe")),
        ("\n\nSafe\n", Verdict("safe")),
        ("unsafe\nS1,S10", Verdict("unsafe", ("S1", "S10"))),
        ("UNSAFE\n S2 , \n", Verdict("unsafe", ("S2",))),
        ("unsafe", Verdict("unsafe")),
        ("I think it is safe", Verdict("undecided")),
        ("safe, mostly", Verdict("undecided")),
        ("", Verdict("undecided")),
    ],
)
def test_what_a_guard_says(answer, verdict):
    assert parse_verdict(answer) == verdict


ANSWERS = {"a": "safe", "b": "unsafe\nS1,S3", "c": "well", "d": Failure("too long")}


def guarded(monkeypatch, stage, texts):
    engine = Scripted(lambda request: ANSWERS[request.prompt.chat[0][1]])
    return rate(monkeypatch, stage, engine, texts), engine


def test_a_guard_drops_what_is_unsafe_and_marks_what_is_undecided(monkeypatch):
    rows, engine = guarded(monkeypatch, LlamaGuard(), ["a", "b", "c", "d", "", " \n"])
    assert [row["safety"] for row in rows[:3]] == ["safe", "unsafe", "undecided"]
    assert [row["drop_reason"] for row in rows] == [None, "unsafe", None, None, None, None]
    assert [row["unsafe_categories"] for row in rows[:3]] == [[], ["S1", "S3"], []]
    assert [row["error"] for row in rows] == [None, None, None, "Failure: too long", None, None]
    assert [row["safety"] for row in rows[4:]] == ["safe", "safe"]
    assert [row["answers"] and row["answers"][0]["errors"] for row in rows] == [0, 0, 1, None, 0, 0]
    assert rows[1]["answers"][0]["output"] == "unsafe\nS1,S3"
    assert len(engine.asked) == 4


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        (LlamaGuard(drop=False), None),
        (LlamaGuard(categories=("S3",)), "unsafe"),
        (LlamaGuard(categories=("S2",)), None),
    ],
)
def test_what_a_guard_drops_is_a_setting(monkeypatch, stage, reason):
    rows, _ = guarded(monkeypatch, stage, ["b"])
    assert (rows[0]["safety"], rows[0]["drop_reason"]) == ("unsafe", reason)


def test_a_guard_reads_the_beginning(monkeypatch):
    rows, engine = guarded(monkeypatch, LlamaGuard(max_chars=1), ["bcdef"])
    assert rows[0]["safety"] == "unsafe"
    assert engine.asked[0].sampling.temperature == 0


def test_guard_settings_are_checked():
    with pytest.raises(ValueError, match="max_chars"):
        LlamaGuard(max_chars=0)


def test_a_guard_through_a_real_model_is_undecided(folders):
    stage = LlamaGuard(engine=f"transformers:{folders['causal']}", max_tokens=8)
    rows = stage.open()(pa.table({"text": pa.array(["The mill."], pa.large_string())})).to_pylist()
    assert (rows[0]["safety"], rows[0]["error"]) == ("undecided", None)
    assert rows[0]["answers"][0]["completion_tokens"] > 0


class Remembering:
    """A ledger in memory."""

    def __init__(self) -> None:
        self.answers: dict[bytes, bytes] = {}

    def find(self, keys):
        return {key: self.answers[key] for key in keys if key in self.answers}

    def add(self, key, value):
        self.answers[key] = value

    def flush(self):
        pass


def test_a_guard_is_not_asked_twice(monkeypatch):
    stage, ledger = LlamaGuard(), Remembering()
    assert isinstance(stage, Asking)
    for known, calls in ((0, 3), (2, 1)):  # the failure is asked for again
        engine = Scripted(lambda request: ANSWERS[request.prompt.chat[0][1]])
        monkeypatch.setattr(ask, "open_engine", lambda spec, engine=engine: engine)
        rows = stage.open_with_ledger(ledger)(pa.table({"text": pa.array(["b", "c", "d"], pa.large_string())}))
        assert rows["safety"].to_pylist()[:2] == ["unsafe", "undecided"]
        assert [one[0]["from_ledger"] for one in rows["answers"].to_pylist()[:2]] == [known // 2] * 2
        assert len(engine.asked) == calls
