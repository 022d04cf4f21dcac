"""The FineWeb-Edu stage: golden marks (methods 4.11), cuts, failures; the model against transformers."""

import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from stages.models.engine import Failure
from stages.rate.fineweb_edu import FineWebEdu, int_score
from stages.stage import StageError, identity, settings_of
from tests.stages.rate.scripted import BEGIN, END, Scripted, rate

SCORES = [-0.3, 2.49, 2.5, 2.51, 3.5, 7.0]
MARKS = [0, 2, 2, 3, 4, 5]
TEXTS = [" ".join(["x" * (i + 1)]) for i in range(len(SCORES))]


def by_length(prompt):
    return [SCORES[prompt.tokens[1] - 1]]


def test_golden_marks_and_verdicts(monkeypatch):
    assert [int_score(score) for score in SCORES] == MARKS
    rows = rate(monkeypatch, FineWebEdu(), Scripted(by_length), TEXTS)
    assert [row["edu_int_score"] for row in rows] == MARKS
    assert [row["edu_score"] for row in rows] == pytest.approx(SCORES)
    assert [row["drop_reason"] for row in rows] == ["edu_score"] * 3 + [None] * 3
    assert {row["error"] for row in rows} == {None}


@pytest.mark.parametrize(("threshold", "kept"), [(2, 5), (5, 1), (0, 6), (None, 6)])
def test_the_threshold_changes_no_score(monkeypatch, threshold, kept):
    rows = rate(monkeypatch, FineWebEdu(threshold=threshold), Scripted(by_length), TEXTS)
    assert [row["edu_int_score"] for row in rows] == MARKS
    assert sum(row["drop_reason"] is None for row in rows) == kept


def test_what_differs_in_the_seventh_place_does_not_cross_a_border(monkeypatch):
    noisy = Scripted(lambda prompt: [2.5 + 1e-6 * prompt.tokens[1]])
    assert [row["edu_int_score"] for row in rate(monkeypatch, FineWebEdu(), noisy, TEXTS)] == [2] * 6


def test_long_texts_are_cut_inside_the_special_tokens(monkeypatch):
    engine = Scripted(lambda prompt: [1.0])
    rate(monkeypatch, FineWebEdu(max_tokens=6), engine, ["a bb ccc dddd eeeee ffffff ggggggg", "a bb", ""])
    assert sorted(p.tokens for p in engine.asked) == [(BEGIN, 1, 2, 3, 4, END), (BEGIN, 1, 2, END), (BEGIN, END)]


def test_of_a_very_long_text_only_the_beginning_is_tokenised(monkeypatch):
    words = "aa bbb " * 20000
    engine = Scripted(lambda prompt: [1.0])
    rate(monkeypatch, FineWebEdu(max_tokens=20), engine, [words, "long" * 5000 + " bb"])
    assert sorted(p.tokens for p in engine.asked) == [(BEGIN, *[2, 3] * 9, END), (BEGIN, 20000, 2, END)]
    assert sum(map(len, engine.tokenized)) < 25_000


def test_a_failure_kills_its_row_alone(monkeypatch):
    def say(prompt):
        return {1: Failure("no context"), 2: [float("nan")]}.get(prompt.tokens[1], [4.0])

    rows = rate(monkeypatch, FineWebEdu(), Scripted(say), ["a", "bb", "ccc", None])
    assert [row["error"] for row in rows] == [
        "Failure: no context",
        "Failure: the model's output is not finite",
        None,
        None,
    ]
    assert [row["edu_int_score"] for row in rows] == [None, None, 4, 4]
    assert [row["drop_reason"] for row in rows] == [None] * 4
    assert [row["answers"] is None for row in rows] == [True, True, False, False]
    account = rows[2]["answers"][0]
    assert account["stage"] == "FineWebEdu" and account["model"] == "HuggingFaceFW/fineweb-edu-classifier"
    assert (account["calls"], account["prompt_tokens"], account["decision"], account["output"]) == (
        1,
        10,
        "scored",
        None,
    )


def test_a_text_and_a_tokenizer_without_any_token_have_no_score(monkeypatch):
    rows = rate(monkeypatch, FineWebEdu(), Scripted(lambda prompt: [4.0], frame=((), ())), ["", "a"])
    assert [(row["edu_score"], row["drop_reason"]) for row in rows] == [(None, None), (4.0, None)]


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        (Scripted(by_length, labels=("a", "b")), "takes a classifier with 1 output, .* has 2: a, b"),
        (Scripted(by_length, labels=()), "has 0: it is none"),
        (Scripted(by_length, context=128), "max_tokens is 512, but .* takes 128 tokens"),
    ],
)
def test_the_wrong_model_stops_the_stage(monkeypatch, engine, says):
    with pytest.raises(StageError, match=says):
        rate(monkeypatch, FineWebEdu(), engine, ["a"])


def test_an_engine_that_leaves_a_request_out_stops_the_stage(monkeypatch):
    class Silent(Scripted):
        def classify(self, prompts):
            yield from list(super().classify(prompts))[1:]

    with pytest.raises(StageError, match="told of 1 requests, 2 were made"):
        rate(monkeypatch, FineWebEdu(), Silent(by_length), ["a", "bb"])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"threshold": 6}, "from 0 to 5"),
        ({"max_tokens": 0}, "at least 1"),
        ({"engine": "transfomers:x"}, "FineWebEdu: .*did you mean 'transformers'"),
    ],
)
def test_faults_are_told_when_the_stage_is_made(settings, says):
    with pytest.raises(ValueError, match=says):
        FineWebEdu(**settings)


def test_the_model_is_identity_and_the_engine_is_not():
    one = FineWebEdu()
    assert settings_of(one) == {
        "threshold": 3,
        "max_tokens": 512,
        "model": None,
        "model_id": "HuggingFaceFW/fineweb-edu-classifier",
    }
    on_gpu = dataclasses.replace(one, engine=f"{one.engine}?gpus=0.5&batch_size=256")
    assert identity(on_gpu) == identity(one)
    assert on_gpu.resources.gpus == 0.5
    assert identity(dataclasses.replace(one, engine="transformers:other")) != identity(one)
    assert dataclasses.replace(one, model="mine").model_id == "mine"


def test_the_model_scores_as_transformers_does(folders):
    texts = ["The mill stands by the river. " * 80, "Mrs. Hale sold the house.", "", "x", "Die Mühle steht am Fluss."]
    stage = FineWebEdu(engine=f"transformers:{folders['regression']}?batch_size=2", max_tokens=64)
    import pyarrow as pa

    rows = stage.open()(pa.table({"text": pa.array(texts, pa.large_string())})).to_pylist()
    words = AutoTokenizer.from_pretrained(folders["regression"])
    model = AutoModelForSequenceClassification.from_pretrained(folders["regression"]).eval()
    for text, row in zip(texts, rows, strict=True):
        with torch.inference_mode():
            inputs = words(text, truncation=True, max_length=64, return_tensors="pt")
            expected = model(**{name: inputs[name] for name in ("input_ids", "attention_mask")}).logits.item()
        assert row["edu_score"] == pytest.approx(expected, abs=6e-5)
        assert row["answers"][0]["prompt_tokens"] == inputs["input_ids"].shape[1]


def test_a_checkpoint_without_the_head_is_refused(folders: dict[str, Path]):
    with pytest.raises(StageError):
        FineWebEdu(engine=f"transformers:{folders['headless']}").open()
