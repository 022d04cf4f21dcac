"""Any fastText classifier as a stage: scores of a label, both directions, and what is said of wrong settings."""

import pyarrow as pa
import pytest
from fasttext.FastText import _FastText

from stages.model_file import ModelFileError
from stages.rate.fasttext_classifier import FastTextClassifier
from stages.rate.fasttext_training import Options, train
from stages.stage import StageError, settings_of
from tests.stages.fasttext_files import HIERARCHICAL_SOFTMAX, ONE_VS_ALL, SOFTMAX, write_classifier

TEXTS = ["the mill stands", "die Mühle", "x\ny the", "", "the"]


def judged(stage: FastTextClassifier, texts: list[str | None]) -> list[dict]:
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    return stage.open()(table).to_pylist()


@pytest.fixture
def model(tmp_path):
    """Tells `the` from `Mühle`, by words alone."""
    texts, labels = ["the the mill", "die Mühle steht"] * 20, ["eng", "deu"] * 20
    path = tmp_path / "model.bin"
    path.write_bytes(train(texts, labels, Options(dim=8, lr=0.5, epoch=10)).data)
    return path


@pytest.mark.parametrize("loss", [HIERARCHICAL_SOFTMAX, SOFTMAX, ONE_VS_ALL])
@pytest.mark.parametrize("labels", [["a", "b"], ["a", "b", "c"]])
def test_scores_of_every_label_are_the_librarys(tmp_path, loss, labels):
    path = write_classifier(tmp_path / "m.bin", ["the", "</s>", "Mühle"], labels, loss)
    predict = _FastText(str(path)).f.predict
    for label in labels:
        rows = judged(FastTextClassifier(str(path), label=label, threshold=None), TEXTS)
        for text, row in zip(TEXTS, rows, strict=True):
            found = predict(text.replace("\n", " ") + "\n", -1, 0.0, "strict")
            scores = {name.removeprefix("__label__"): score for score, name in found}
            assert row["fasttext_score"] == pytest.approx(min(scores.get(label, 0.0), 1.0), abs=6e-5)
            assert row["fasttext_label"] == found[0][1].removeprefix("__label__")
            assert row["drop_reason"] is None


def test_above_and_below(model):
    above = judged(FastTextClassifier(str(model), label="eng", threshold=0.6), ["the mill", "die Mühle"])
    assert [row["drop_reason"] for row in above] == [None, "fasttext_score"]
    assert [row["fasttext_label"] for row in above] == ["eng", "deu"]
    below = judged(FastTextClassifier(str(model), label="eng", threshold=0.6, keep="below"), ["the mill", "die Mühle"])
    assert [row["drop_reason"] for row in below] == ["fasttext_score", None]
    assert [row["fasttext_score"] for row in below] == [row["fasttext_score"] for row in above]


def test_texts_in_which_nothing_is_known(tmp_path):
    path = write_classifier(tmp_path / "m.bin", ["the"], ["a", "b"], SOFTMAX)
    best = judged(FastTextClassifier(str(path), label="a", threshold=None), ["the"])[0]["fasttext_label"]
    rows = judged(FastTextClassifier(str(path), label=best, threshold=0.0), [None, "", "the"])
    assert [(row["fasttext_label"] is None, row["fasttext_score"] is None) for row in rows] == [
        (True, True),
        (True, True),
        (False, False),
    ]
    assert [row["drop_reason"] for row in rows] == ["fasttext_score", "fasttext_score", None]
    rows = judged(FastTextClassifier(str(path), label="a", threshold=1.0, keep="below"), [None, ""])
    assert [row["drop_reason"] for row in rows] == [None, None]


def test_the_models_checksum_is_part_of_the_identity(model):
    stage = FastTextClassifier(str(model), label="eng")
    assert settings_of(stage)["model_checksum"] == stage.model_checksum
    with pytest.raises(ModelFileError, match="SHA-256"):
        FastTextClassifier(str(model), model_sha256="0" * 64, label="eng")
    model.write_bytes(model.read_bytes() + b"x")
    with pytest.raises(ModelFileError, match="SHA-256"):
        stage.open()


def test_faults_are_told_when_the_stage_is_made(model):
    with pytest.raises(ValueError, match="no label 'english'"):
        FastTextClassifier(str(model), label="english")
    with pytest.raises(ValueError, match="threshold"):
        FastTextClassifier(str(model), label="eng", threshold=2)
    with pytest.raises(ValueError, match="above or below"):
        FastTextClassifier(str(model), label="eng", keep="over")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no model file"):
        FastTextClassifier("nowhere.bin", label="eng")


def test_without_a_model_it_says_how_to_get_one():
    with pytest.raises(StageError, match="headrace train fasttext"):
        FastTextClassifier().open()
