"""The kernel against fastText's own library."""

import mmap
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fasttext.FastText import _FastText
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import fasttext_model
from stages.fasttext_model import read_labels, read_model
from stages.fasttext_predict import open_classifier
from stages.language import Language, _address
from tests.stages.fasttext_files import (
    HIERARCHICAL_SOFTMAX,
    NEGATIVE_SAMPLING,
    ONE_VS_ALL,
    SKIPGRAM,
    SOFTMAX,
    write_classifier,
)

DATA = Path(__file__).parents[3].parent / "shared" / "data"
BUNDLED = Path(_address(Language().model))
KERNEL, LIBRARY = open_classifier(BUNDLED), open_classifier(BUNDLED, kernel=False)
PARTS = [
    "</s>",
    "__label__en",
    "__label__xx",
    "the",
    "Mühle",
    "ру́сский",
    "你好",
    " ",
    "\n",
    "\t\v\f\r\0",
    "a",
    "<",
    ">",
    "😀",
]
SENTENCES = [
    "The mill stands by the river,\nand the wheel turns all day.",
    "Die Mühle steht am Fluss",
    "это русский",
    "你好 世界",
    "x",
    "",
    "the",
    "a __label__deu_Latn b </s> c",
]
TEXTS = st.lists(st.one_of(st.sampled_from(PARTS), st.text(st.characters(exclude_categories=["Cs"])))).map("".join)


def assert_same(kernel, library, texts: list[str | None]) -> None:
    column = pa.array(texts, pa.large_string())
    (labels, scores), (numbers, expected) = kernel.best(column), library.best(column)
    named = [[c.labels[n] if n >= 0 else None for n in found] for c, found in ((kernel, labels), (library, numbers))]
    assert named[0] == named[1]
    np.testing.assert_allclose(scores, expected, rtol=3e-7)


def test_both_ways_are_used():
    assert KERNEL.arrays is not None
    assert LIBRARY.arrays is None
    assert len(set(KERNEL.labels)) == 176


@settings(max_examples=400)
@given(st.lists(TEXTS, max_size=5))
def test_labels_and_scores_are_the_librarys(texts):
    assert_same(KERNEL, LIBRARY, texts)


@pytest.mark.parametrize("loss", [HIERARCHICAL_SOFTMAX, SOFTMAX])
@given(texts=st.lists(TEXTS, max_size=5))
def test_a_dense_model_too(tmp_path_factory, loss, texts):
    path = tmp_path_factory.getbasetemp() / f"dense-{loss}.bin"
    if not path.exists():
        write_classifier(path, ["the", "</s>", "Mühle"], ["eng_Latn", "deu_Latn", "rus_Cyrl"], loss)
    assert_same(open_classifier(path), open_classifier(path, kernel=False), texts)


@pytest.mark.skipif(not DATA.exists(), reason="needs the shared data")
@pytest.mark.parametrize(("name", "step"), [("lid-dev", 10), ("webtext-dev", 10)])
def test_real_texts(name, step):
    assert_same(KERNEL, LIBRARY, pq.read_table(DATA / f"{name}.parquet").column("text").to_pylist()[::step])


def test_null_texts_and_texts_without_anything_known(tmp_path):
    path = write_classifier(tmp_path / "m.bin", ["the"], ["a", "b"], HIERARCHICAL_SOFTMAX)
    assert_same(KERNEL, LIBRARY, [None, "", " ", "\n"])
    labels, _ = open_classifier(path).best(pa.array([None, "", "the"], pa.large_string()))
    assert labels.tolist()[:2] == [-1, -1]
    assert labels[2] >= 0
    assert_same(open_classifier(path), open_classifier(path, kernel=False), [None, "", "the", "x"])


@pytest.mark.parametrize("word_ngrams", [1, 2])
@pytest.mark.parametrize("compressed", ["no", "rows", "norms", "pruned", "outputs"])
@pytest.mark.parametrize("loss", [HIERARCHICAL_SOFTMAX, NEGATIVE_SAMPLING, SOFTMAX, ONE_VS_ALL])
def test_every_loss_and_form_of_file_to_the_bit(tmp_path, loss, compressed, word_ngrams):
    labels = [f"{language}_{script}" for language in ("eng", "deu", "rus", "cmn", "arb") for script in ("Latn", "Cyrl")]
    path = tmp_path / "m.bin"
    write_classifier(path, ["the", "</s>", "Mühle"], labels, loss, compressed=compressed, word_ngrams=word_ngrams)
    ours = open_classifier(path)
    in_kernel = loss in (HIERARCHICAL_SOFTMAX, SOFTMAX) and word_ngrams == 1 and compressed != "outputs"
    assert (ours.arrays is not None) == in_kernel
    numbers, scores = ours.best(pa.array(SENTENCES, pa.large_string()))
    direct = [_FastText(str(path)).f.predict(text.replace("\n", " ") + "\n", 1, 0.0, "strict")[0] for text in SENTENCES]
    assert [f"__label__{ours.labels[number]}" for number in numbers] == [label for _, label in direct]
    assert scores.tolist() == [np.float32(min(score, 1.0)) for score, _ in direct]
    assert len(set(numbers.tolist())) > 1


def test_of_labels_equally_probable_the_same_is_given(tmp_path):
    path = write_classifier(tmp_path / "m.bin", [], ["a", "b", "c"], SOFTMAX)
    data = path.read_bytes()
    path.write_bytes(data[: -3 * 6 * 4] + bytes(3 * 6 * 4))
    assert_same(open_classifier(path), open_classifier(path, kernel=False), ["one text", "and another"])
    assert open_classifier(path).best(pa.array(["one text"], pa.large_string()))[0].tolist() == [2]


def test_labels_are_read_without_the_matrices(tmp_path):
    path = write_classifier(tmp_path / "m.bin", ["the"], ["eng_Latn", "deu_Latn"], SOFTMAX)
    path.write_bytes(path.read_bytes()[:-100])
    assert read_labels(path) == ("eng_Latn", "deu_Latn")


@pytest.mark.parametrize("start", [b"", b"PK\x03\x04 and so on", b"version https://git-lfs.github.com/spec/v1\n"])
def test_another_file_is_told(tmp_path, start):
    (tmp_path / "m.bin").write_bytes(start)
    found = f"it begins with {re.escape(repr(start[:16]))}" if start else "the file is empty"
    with pytest.raises(ValueError, match=f"m.bin is not a fastText classifier that can be read: .*{found}"):
        read_model(tmp_path / "m.bin")


def test_word_vectors_are_told(tmp_path):
    path = write_classifier(tmp_path / "m.bin", ["the"], [], SOFTMAX, kind=SKIPGRAM)
    with pytest.raises(ValueError, match=r"m\.bin is not .*: it holds word vectors \(skipgram\) with 0 labels"):
        read_model(path)


def test_a_large_matrix_stays_in_the_file(tmp_path, monkeypatch):
    path = write_classifier(tmp_path / "m.bin", ["the", "mill"], ["a", "b"], SOFTMAX)
    expected = open_classifier(path).best(pa.array(SENTENCES, pa.large_string()))
    monkeypatch.setattr(fasttext_model, "MAPPED_BYTES", 0)
    mapped = open_classifier(path)
    assert mapped.arrays is not None
    assert isinstance(mapped.arrays.rows.base.base.obj, mmap.mmap)
    found = mapped.best(pa.array(SENTENCES, pa.large_string()))
    assert [array.tolist() for array in found] == [array.tolist() for array in expected]


def test_a_model_file_that_ends_early_is_told(tmp_path):
    path = write_classifier(tmp_path / "m.bin", ["the"], ["a", "b"], HIERARCHICAL_SOFTMAX)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="the file ends at byte"):
        read_model(path)
