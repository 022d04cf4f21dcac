"""Perplexity and Min-K%: windows, golden values (methods 18), thresholds; and the model against transformers."""

import math

import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from stages.models.engine import Failure
from stages.rate.likelihood import windows
from stages.rate.min_k import MinK, min_k
from stages.rate.perplexity import Perplexity
from stages.stage import StageError
from tests.stages.rate.scripted import BEGIN, Scripted, rate

LOGPROBS = [-0.1, -2, -0.5, -4, -1, -0.2, -3, -0.3, -0.4, -0.05]
BOS = ((BEGIN,), ())


def told(logprobs):
    """An engine that finds the tokens behind <s> as likely as `logprobs`."""
    return Scripted(lambda prompt: logprobs[: len(prompt.tokens) - 1], frame=BOS)


def test_windows():
    assert windows([1, 2, 3, 4, 5], (9,), 3, 0) == [((9, 1, 2), 2), ((9, 3, 4), 2), ((9, 5), 1)]
    assert windows([1, 2, 3, 4, 5], (), 4, 2) == [((1, 2), 2), ((1, 2, 3, 4), 2), ((3, 4, 5), 1)]
    assert windows([1, 2, 3], (), 2, 0) == [((1, 2), 2)]  # the 3 alone has nothing in front of it
    assert windows([], (9,), 3, 0) == []


@given(st.integers(0, 60), st.integers(0, 2), st.integers(4, 20), st.data())
def test_windows_count_every_token_once_and_fit(n, before, size, data):
    overlap = data.draw(st.integers(0, (size - before - 1) // 2))
    tokens = list(range(n))
    cut = windows(tokens, (-1,) * before, size, overlap)
    assert all(len(window.tokens) <= size for window in cut)
    counted = [token for window in cut for token in window.tokens[len(window.tokens) - window.new :]]
    lost = tokens[-1:] if not before and (n == 1 or (n % size == 1 and not overlap)) else []
    assert counted + lost == tokens


def test_perplexity_by_hand(monkeypatch):
    row = rate(monkeypatch, Perplexity(), told(LOGPROBS), ["a " * 10])[0]
    assert row["nll"] == pytest.approx(1.155)
    assert row["perplexity"] == pytest.approx(math.exp(1.155), abs=1e-3)
    assert row["drop_reason"] is None


@pytest.mark.parametrize(
    ("low", "high", "reason"),
    [(3.2, None, "perplexity_low"), (None, 3.1, "perplexity_high"), (3.1, 3.2, None), (None, None, None)],
)
def test_perplexity_thresholds(monkeypatch, low, high, reason):
    stage = Perplexity(min_perplexity=low, max_perplexity=high)
    scored, empty = rate(monkeypatch, stage, told(LOGPROBS), ["a " * 10, ""])
    assert scored["drop_reason"] == reason
    assert (empty["perplexity"], empty["drop_reason"], empty["error"]) == (None, None, None)


def test_golden_min_k():
    assert [min_k(LOGPROBS, share) for share in (0.05, 0.2, 0.3)] == [None, 3.5, 3.0]
    assert min_k([], 0.2) is None


def test_min_k_columns_and_threshold(monkeypatch):
    stage = MinK(shares=(0.05, 0.2, 0.3), threshold=3.6)
    row, short = rate(monkeypatch, stage, told(LOGPROBS), ["a " * 10, "a"])
    assert row["min_k_score"] == 3.5 and row["drop_reason"] == "seen"
    assert row["min_k"] == [
        {"share": 0.05, "score": None},
        {"share": 0.2, "score": 3.5},
        {"share": 0.3, "score": 3.0},
    ]
    assert (short["min_k_score"], short["drop_reason"]) == (None, None)
    assert rate(monkeypatch, MinK(threshold=3.5), told(LOGPROBS), ["a " * 10])[0]["drop_reason"] is None


@pytest.mark.parametrize("stage", [Perplexity(window_tokens=8), MinK(window_tokens=8)])
def test_a_failed_window_fails_its_text(monkeypatch, stage):
    engine = Scripted(lambda p: Failure("lost") if 5 in p.tokens else [-1.0] * (len(p.tokens) - 1), frame=BOS)
    bad, good, inf = rate(monkeypatch, stage, engine, ["a a a a a a a 12345", "a a a a a a a a", ""])
    assert (bad["error"], good["error"], inf["error"]) == ("Failure: lost", None, None)
    assert bad["answers"] is None and good["answers"][0]["calls"] == 2


def test_likelihoods_that_are_no_numbers_fail(monkeypatch):
    assert rate(monkeypatch, Perplexity(), told([math.nan]), ["a"])[0]["error"].endswith("not finite")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Perplexity(window_tokens=7), "at least 8"),
        (lambda: Perplexity(window_tokens=10, overlap=6), "from 0 to half"),
        (lambda: Perplexity(min_perplexity=9, max_perplexity=3), "nothing would stay"),
        (lambda: MinK(share=0), "above 0"),
        (lambda: MinK(shares=(0.1, 1.5)), "at most 1"),
    ],
)
def test_settings_are_checked(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_a_window_longer_than_the_context_stops_the_stage(monkeypatch):
    engine = Scripted(lambda p: [], context=512)
    with pytest.raises(StageError, match="window_tokens is 1024"):
        rate(monkeypatch, Perplexity(), engine, ["a"])


@pytest.mark.parametrize("overlap", [0, 20])
def test_the_model_scores_as_transformers_does(folders, overlap):
    texts = ["The mill stands by the river. " * 20, "Mrs. Hale sold the house.", "x", ""]
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    engine = f"transformers:{folders['causal']}?batch_size=3"
    rows = Perplexity(engine=engine, window_tokens=65, overlap=overlap).open()(table).to_pylist()
    seen = MinK(engine=engine, window_tokens=65, overlap=overlap).open()(table).to_pylist()
    words = AutoTokenizer.from_pretrained(folders["causal"])
    model = AutoModelForCausalLM.from_pretrained(folders["causal"]).eval()
    for text, row, other in zip(texts[:3], rows[:3], seen[:3], strict=True):
        tokens = words(text, add_special_tokens=False)["input_ids"]
        losses = []
        for start in range(0, len(tokens), 64 - overlap):
            new = tokens[start : start + 64 - overlap]
            ids = torch.tensor([[words.bos_token_id, *tokens[max(start - overlap, 0) : start], *new]])
            with torch.inference_mode():
                logprobs = torch.log_softmax(model(input_ids=ids).logits[0, :-1].double(), -1)
            losses += (-logprobs.gather(1, ids[0, 1:, None])[-len(new) :, 0]).tolist()
        assert len(losses) == len(tokens)
        assert row["nll"] == pytest.approx(sum(losses) / len(losses), abs=1e-4)
        k = int(len(losses) * 0.2)
        worst = sum(sorted(losses, reverse=True)[:k]) / k if k else None
        assert other["min_k_score"] == (pytest.approx(worst, abs=1e-4) if k else None)
    assert rows[3]["nll"] is None
