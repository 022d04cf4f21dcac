"""The kernel against fastText's own library."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.fasttext_model import read_model
from stages.fasttext_predict import open_classifier
from stages.language import Language, _address
from tests.stages.fasttext_files import HIERARCHICAL_SOFTMAX, SOFTMAX, write_classifier

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


@settings(deadline=None, max_examples=400)
@given(st.lists(TEXTS, max_size=5))
def test_labels_and_scores_are_the_librarys(texts):
    assert_same(KERNEL, LIBRARY, texts)


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=5))
def test_a_dense_model_too(tmp_path_factory, texts):
    path = tmp_path_factory.getbasetemp() / "dense.bin"
    if not path.exists():
        write_classifier(path, ["the", "</s>", "Mühle"], ["eng_Latn", "deu_Latn", "rus_Cyrl"], HIERARCHICAL_SOFTMAX)
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


def test_models_of_other_kinds_are_left_to_the_library(tmp_path):
    model = read_model(write_classifier(tmp_path / "m.bin", ["the"], ["a", "b"], SOFTMAX))
    assert (model.labels, model.arrays) == (("a", "b"), None)
    assert (
        read_model(write_classifier(tmp_path / "n.bin", ["the"], ["a", "b"], HIERARCHICAL_SOFTMAX)).arrays is not None
    )


def test_another_file_is_told(tmp_path):
    (tmp_path / "m.bin").write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(ValueError, match=r"m.bin is not a fastText model of version 11 or 12: it begins with 67324752"):
        read_model(tmp_path / "m.bin")


def test_a_model_file_that_ends_early_is_told(tmp_path):
    path = write_classifier(tmp_path / "m.bin", ["the"], ["a", "b"], HIERARCHICAL_SOFTMAX)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="the file ends at byte"):
        read_model(path)
