import dataclasses
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datatrove.data import Document
from datatrove.pipeline.filters import LanguageFilter
from fasttext.FastText import _FastText

from schemas import columns as c
from stages.fasttext_predict import open_classifier
from stages.language import BUNDLED_SHA256, Language, _address
from stages.model_file import ModelFileError
from stages.stage import Stage, check, identity
from tests.stages.fasttext_files import HIERARCHICAL_SOFTMAX, SOFTMAX, write_classifier

DATA = Path(__file__).parents[2].parent / "shared" / "data"
ENGLISH = "The mill stands by the river,\nand the wheel turns all day long while the miller sleeps."
GERMAN = "Die Mühle steht am Fluss, und das Rad dreht sich den ganzen Tag, während der Müller schläft."
UNSURE = "ok 123"


def texts(*values: str | None) -> pa.Table:
    return pa.table({"id": [str(i) for i in range(len(values))], "text": pa.array(values, c.TEXT)})


def reasons(stage: Language, *values: str | None) -> list[str | None]:
    return stage.open()(texts(*values)).column("drop_reason").to_pylist()


def test_is_a_stage():
    check((Language(),), pa.schema([c.ID, c.BODY]))
    assert isinstance(Language(), Stage)


def test_language_and_score_of_each_text():
    rows = Language().open()(texts(ENGLISH, GERMAN)).to_pylist()
    assert [row["lang"] for row in rows] == ["en", "de"]
    assert all(0.9 < row["lang_score"] <= 1.0 for row in rows)
    direct = _FastText(_address(Language().model)).f.predict(ENGLISH.replace("\n", " ") + "\n", 1, 0.0, "strict")
    assert rows[0]["lang_score"] == np.float32(direct[0][0])


def test_reason_language():
    assert reasons(Language(), ENGLISH, GERMAN) == [None, "language"]
    assert reasons(Language(languages=("de", "fr")), ENGLISH, GERMAN) == ["language", None]


def test_reason_language_score():
    assert reasons(Language(), UNSURE) == ["language_score"]
    assert reasons(Language(languages=()), ENGLISH, GERMAN, UNSURE) == [None, None, "language_score"]


def test_score_must_be_above_the_threshold():
    score = Language().open()(texts(ENGLISH)).column("lang_score")[0].as_py()
    assert reasons(Language(threshold=score), ENGLISH) == ["language_score"]
    assert reasons(Language(threshold=float(np.nextafter(score, 0))), ENGLISH) == [None]


def test_null_text_and_empty_and_chunked_tables():
    assert reasons(Language(), None) == ["language"]
    assert reasons(Language()) == []
    table = pa.concat_tables([texts(ENGLISH), texts(GERMAN)])
    assert Language().open()(table).column("lang").to_pylist() == ["en", "de"]


def test_scores_are_at_most_one():
    table = texts(*(GERMAN * n for n in range(1, 40)))
    assert max(Language().open()(table).column("lang_score").to_pylist()) <= 1.0


def test_model_is_part_of_the_identity_wherever_it_lies(tmp_path):
    copy = tmp_path / "lid.ftz"
    shutil.copy(_address(Language().model), copy)
    assert identity(Language())["settings"]["model_checksum"] == BUNDLED_SHA256
    moved = dataclasses.replace(Language(), model=str(copy))
    assert moved.model_checksum == BUNDLED_SHA256
    assert pickle.loads(pickle.dumps(moved)) == moved
    assert reasons(moved, ENGLISH) == [None]
    with pytest.raises(ModelFileError, match=f"Language: .* has SHA-256 {BUNDLED_SHA256}, expected 00"):
        Language(model=str(copy), model_sha256="00")


def test_bad_settings_are_told():
    with pytest.raises(ValueError, match=r"lid\.176\.ftz does not know 'eng'; did you mean 'en'"):
        Language(languages=("eng",))
    with pytest.raises(ValueError, match=r"languages should be a tuple, such as \('en',\)"):
        Language(languages="en")
    with pytest.raises(ModelFileError, match="no model file at"):
        Language(model="/nowhere/lid.bin")


class Scalars:
    """The bundled model with NumPy scores, as datatrove's own fastText returns them."""

    def __init__(self) -> None:
        self.model = _FastText(_address(Language().model))

    def predict(self, text: str, k: int) -> tuple[tuple[str, ...], np.ndarray]:
        labels, scores = self.model.predict(text, k=k)
        return labels, np.array(scores)


@pytest.mark.skipif(not DATA.exists(), reason="needs the shared data")
@pytest.mark.parametrize(
    ("languages", "threshold"),
    [(("en",), 0.65), (("en", "de", "ru"), 0.65), ((), 0.65), (("en", "nl"), 0.2), ((), 0.3)],
)
def test_decisions_and_scores_are_datatroves(monkeypatch, languages, threshold):
    monkeypatch.setattr(LanguageFilter, "_requires_dependencies", [])  # a certain build of fastText, by package name
    values = pq.read_table(DATA / "lid-dev.parquet", columns=["text"]).column("text").to_pylist()[::40]
    theirs = LanguageFilter(list(languages) or None, threshold)
    theirs.model._model = Scalars()
    documents = [Document(text=text, id=str(i)) for i, text in enumerate(values)]
    kept = [bool(theirs.filter(document)) for document in documents]
    ours = Language(languages=languages, threshold=threshold).open()(texts(*values)).to_pylist()
    assert [row["drop_reason"] is None for row in ours] == kept
    assert 0 < sum(kept) < len(kept)
    assert [row["lang"] for row in ours] == [d.metadata["language"] for d in documents]
    expected = [min(d.metadata["language_score"], 1.0) for d in documents]
    assert [row["lang_score"] for row in ours] == [np.float32(score) for score in expected]


def test_a_threshold_of_its_own_for_a_language():
    scores = dict(zip("ed", Language().open()(texts(ENGLISH, GERMAN)).column("lang_score").to_pylist(), strict=True))
    both = Language(languages=("en", "de"), thresholds={"de": scores["d"]})
    assert reasons(both, ENGLISH, GERMAN) == [None, "language_score"]
    either = Language(languages=(), threshold=1.0, thresholds={"de": 0.5})
    assert reasons(either, ENGLISH, GERMAN) == ["language_score", None]
    assert identity(either)["settings"]["thresholds"] == {"de": 0.5}
    assert pickle.loads(pickle.dumps(either)) == either


def test_thresholds_of_a_file_are_those_of_a_mapping(tmp_path):
    path = tmp_path / "thresholds.csv"
    path.write_text("language,threshold\nde,0.8\nka,0.5\n")
    stage = Language(languages=(), thresholds=str(path))
    path.unlink()  # its numbers travel with the stage
    assert identity(stage) == identity(Language(languages=(), thresholds={"de": 0.8, "ka": 0.5}))
    assert reasons(pickle.loads(pickle.dumps(stage)), GERMAN) == [None]


def test_second_language_is_kept_by_the_threshold_of_all_alone():
    model = open_classifier(Path(_address(Language().model)), kernel=False)
    mixed = "de molen staat aan de rivier; the mill stands by the river and turns all day"
    found = model.above(mixed, 0.01)
    first, second = sorted(found, key=lambda name: -found[name])[:2]
    limit = found[second] / 2
    assert limit < 0.5
    assert reasons(Language(languages=(second,), threshold=limit), mixed) == [None]
    assert reasons(Language(languages=(second,), threshold=limit, thresholds={second: limit}), mixed) == ["language"]
    assert reasons(Language(languages=(first,), threshold=limit), mixed) == [None]


def test_bad_thresholds_are_told():
    with pytest.raises(ValueError, match=r"thresholds should be a mapping of language to score, .* got \('de', 0\.8\)"):
        Language(thresholds=("de", 0.8))
    with pytest.raises(ValueError, match=r"does not know 'ger'"):
        Language(thresholds={"ger": 0.8})
    with pytest.raises(ValueError, match="cannot read thresholds from '/nowhere/t\\.csv'"):
        Language(thresholds="/nowhere/t.csv")


@pytest.mark.parametrize("loss", [HIERARCHICAL_SOFTMAX, SOFTMAX])
def test_another_model_with_labels_of_its_own(tmp_path, loss):
    path = write_classifier(tmp_path / "other.bin", ["the", "</s>"], ["eng_Latn", "deu_Latn"], loss)
    found = Language(model=str(path), languages=(), threshold=0.0).open()(texts(ENGLISH, GERMAN, "x")).to_pylist()
    best = [_FastText(str(path)).predict(t.replace("\n", " "))[0][0] for t in (ENGLISH, GERMAN, "x")]
    assert [f"__label__{row['lang']}" for row in found] == best
    assert {row["lang"] for row in found} <= {"eng_Latn", "deu_Latn"}
    kept = reasons(Language(model=str(path), languages=("eng_Latn",), threshold=0.5), ENGLISH, GERMAN, "x")
    assert [reason is None for reason in kept] == [label == "__label__eng_Latn" for label in best]
    with pytest.raises(ValueError, match=r"does not know 'eng_Latin'; did you mean 'eng_Latn'"):
        Language(model=str(path), languages=("eng_Latin",))
    with pytest.raises(ValueError, match=r"other\.bin does not know 'en'; did you mean 'eng_Latn'"):
        Language(model=str(path))
    with pytest.raises(ValueError, match=r"lid\.176\.ftz does not know 'eng_Latn'; did you mean 'en'"):
        Language(languages=("eng_Latn",))
