"""QuRater: chunks, weights (golden: methods 5.4), texts without tokens; and the model against transformers."""

import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from stages.models.engine import Failure
from stages.rate.qurater import QuRater, document_scores
from stages.stage import StageError
from tests.stages.rate.scripted import Scripted, rate

NAMES = ["writing_style_score", "required_expertise_score", "facts_and_trivia_score", "educational_value_score"]
FOUR = tuple(f"LABEL_{i}" for i in range(4))


def test_golden_mean_of_chunks_by_their_tokens(monkeypatch):
    engine = Scripted(lambda p: [1.0, 0, 0, -1] if len(p.tokens) == 512 else [4.0, 0, 3, -1], labels=FOUR)
    row = rate(monkeypatch, QuRater(), engine, ["w " * (512 + 256)])[0]
    assert [row[name] for name in NAMES] == [2.0, 0.0, 1.0, -1.0]
    assert row["n_tokens"] == 768
    assert row["answers"][0]["calls"] == 2
    assert sorted(len(p.tokens) for p in engine.asked) == [256, 512]  # no special tokens


def test_a_text_without_tokens_has_no_scores_and_stays(monkeypatch):
    engine = Scripted(lambda p: [1.0] * 4, labels=FOUR)
    empty, null, some = rate(monkeypatch, QuRater(), engine, ["", None, "a"])
    assert [empty[name] for name in NAMES] == [null[name] for name in NAMES] == [None] * 4
    assert (empty["n_tokens"], empty["error"], some["educational_value_score"]) == (0, None, 1.0)
    assert len(engine.asked) == 1


def test_one_failed_chunk_fails_its_text(monkeypatch):
    engine = Scripted(lambda p: Failure("lost") if 9 in p.tokens else [1.0] * 4, labels=FOUR)
    bad, good = rate(monkeypatch, QuRater(chunk_tokens=2), engine, ["a a a a123456789 a", "a"])
    assert bad["error"] is None and good["error"] is None  # ten letters: no 9
    bad, good = rate(monkeypatch, QuRater(chunk_tokens=2), engine, ["a a a 123456789 a", "a"])
    assert (bad["error"], bad["answers"], bad["writing_style_score"]) == ("Failure: lost", None, None)
    assert (good["error"], good["writing_style_score"]) == (None, 1.0)


def test_the_model_must_have_four_outputs(monkeypatch):
    with pytest.raises(StageError, match=r"4 outputs, .* has 1"):
        rate(monkeypatch, QuRater(), Scripted(lambda p: [1.0]), ["a"])


def test_settings_are_checked():
    with pytest.raises(ValueError, match="chunk_tokens"):
        QuRater(chunk_tokens=0)


def test_the_default_model_is_the_released_one():
    assert QuRater().model_id == "princeton-nlp/QuRater-1.3B"


def test_the_model_scores_as_transformers_does(folders):
    texts = ["The mill stands by the river. " * 30, "Mrs. Hale sold the house.", "x"]
    stage = QuRater(engine=f"transformers:{folders['four']}", chunk_tokens=50)
    rows = stage.open()(pa.table({"text": pa.array(texts, pa.large_string())})).to_pylist()
    words = AutoTokenizer.from_pretrained(folders["four"])
    model = AutoModelForSequenceClassification.from_pretrained(folders["four"]).eval()
    for text, row in zip(texts, rows, strict=True):
        tokens = words(text, add_special_tokens=False)["input_ids"]
        total = torch.zeros(4)
        for start in range(0, len(tokens), 50):
            chunk = torch.tensor([tokens[start : start + 50]])
            with torch.inference_mode():
                total += model(input_ids=chunk).logits[0] * chunk.shape[1]
        assert [row[name] for name in NAMES] == pytest.approx((total / len(tokens)).tolist(), abs=6e-5)
        assert row["n_tokens"] == len(tokens)


def test_nothing_to_rate():
    assert document_scores([], []) is None
