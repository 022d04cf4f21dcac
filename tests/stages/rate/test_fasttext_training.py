"""Training a fastText classifier: the file as fastText's own library reads it, the descent against plain NumPy."""

import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fasttext.FastText import _FastText

from cluster.errors import ConfigError
from pipelines.train_fasttext import as_text, train_fasttext
from stages.fasttext_predict import open_classifier
from stages.rate.fasttext_training import Options, check_labels, read_dictionary, train, words_of

MILL = ["the", "mill", "stands", "by", "the", "river", "and", "the", "wheel", "turns", "in", "spring"]
SHOP = ["buy", "now", "cheap", "watches", "click", "here", "for", "your", "free", "offer", "today"]


def labelled(n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts of eight words of one kind, and which."""
    draw = random.Random(seed)
    labels = [draw.choice(["good", "spam"]) for _ in range(n)]
    return [" ".join(draw.choices(MILL if label == "good" else SHOP, k=8)) for label in labels], labels


def library(path: Path, text: str) -> dict[str, float]:
    model: Any = _FastText(str(path))
    return {label: score for score, label in model.f.predict(text + "\n", -1, 0.0, "strict")}


def matrices(data: bytes, options: Options, words: int, labels: int) -> tuple[Any, Any]:
    """The two matrices at the end of a file."""
    n_rows = words + options.buckets
    size = 4 * options.dim
    outputs = np.frombuffer(data[-size * labels :], "<f4").reshape(labels, options.dim)
    head = len(data) - size * labels - struct.calcsize("<?qq")
    assert struct.unpack("<?qq", data[head : head + 17]) == (False, labels, options.dim)
    return np.frombuffer(data[head - size * n_rows : head], "<f4").reshape(n_rows, options.dim), outputs


@pytest.mark.parametrize(
    "options",
    [
        Options(dim=8),
        Options(dim=8, word_ngrams=3, bucket=50),
        Options(dim=8, minn=2, maxn=4, bucket=70),
        Options(dim=8, minn=1, maxn=1, bucket=5, word_ngrams=2, min_count=5),
    ],
)
def test_the_library_finds_in_the_file_what_was_trained(tmp_path, options):
    """Rows of words, n-grams of words and of characters: hashes, order and numbers are fastText's."""
    texts, labels = labelled(60)
    texts[0] = "Mühle 你好 Mühle 😀 the"
    trained = train(texts, labels, options)
    path = tmp_path / "m.bin"
    path.write_bytes(trained.data)
    dictionary = read_dictionary(texts, labels, options)
    rows, outputs = matrices(trained.data, options, len(dictionary.words), 2)
    for text in (*texts[:4], "the mill buy", "Mühle unseen 你", "x </s> mill", "mill __label__spam mill"):
        ids = dictionary.rows_of(words_of(text))
        logits = outputs @ rows[ids].mean(0)
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        found = library(path, text)
        for label, share in zip(trained.labels, shares, strict=True):
            assert found[f"__label__{label}"] == pytest.approx(share + 1e-5, abs=3e-6)
    assert open_classifier(path).labels == trained.labels


def descent(ids: list[list[int]], targets: list[int], rows: Any, outputs: Any, options: Options, order: Any) -> None:
    """The same by the textbook, in double precision."""
    total, done = sum(map(len, ids)) * options.epoch, 0
    for _ in range(options.epoch):
        for i in order:
            hidden = rows[ids[i]].mean(0)
            logits = outputs @ hidden
            shares = np.exp(logits - logits.max())
            wrong = np.eye(len(outputs))[targets[i]] - shares / shares.sum()
            rate = options.lr * (1 - done / total)
            gradient = wrong @ outputs
            outputs += rate * wrong[:, None] * hidden
            np.add.at(rows, ids[i], rate * gradient / len(ids[i]))
            done += len(ids[i])


def test_the_descent_is_that_of_the_textbook():
    options = Options(dim=6, epoch=3, lr=0.7, word_ngrams=2, bucket=30, seed=4)
    texts, labels = labelled(40)
    trained = train(texts, labels, options)
    dictionary = read_dictionary(texts, labels, options)
    names = [label for label, _ in dictionary.labels]
    rng = np.random.default_rng(4)
    rows: npt.NDArray[np.float64] = rng.uniform(-1 / 6, 1 / 6, (len(dictionary.words) + 30, 6))
    outputs = np.zeros((2, 6))
    ids = [dictionary.rows_of(words_of(text)) for text in texts]
    descent(ids, [names.index(label) for label in labels], rows, outputs, options, rng.permutation(40))
    found = matrices(trained.data, options, len(dictionary.words), 2)
    np.testing.assert_allclose(found[0], rows, atol=1e-5)
    np.testing.assert_allclose(found[1], outputs, atol=1e-5)


def test_it_learns_and_is_the_same_each_time(tmp_path):
    texts, labels = labelled(300)
    options = Options(dim=10, lr=0.5, epoch=8)
    trained = train(texts, labels, options)
    assert train(texts, labels, options).data == trained.data
    assert train(texts, labels, Options(dim=10, lr=0.5, epoch=8, seed=1)).data != trained.data
    assert trained.loss < 0.05
    path = tmp_path / "m.bin"
    path.write_bytes(trained.data)
    new, wanted = labelled(200, seed=9)
    classifier = open_classifier(path)
    numbers, _ = classifier.best(pa.array(new, pa.large_string()))
    assert [classifier.labels[number] for number in numbers] == wanted


def test_words():
    assert words_of("a  b\tc\n\0d\v") == [b"a", b"b", b"c", b"d", b"</s>"]
    assert words_of("a </s> b") == [b"a", b"</s>"]
    assert words_of("__label__x a") == [b"a", b"</s>"]


@pytest.mark.parametrize(
    ("labels", "says"),
    [([], "two labels at least, there is none"), (["a", "a"], "there is a"), (["a b", "c"], "without white space")],
)
def test_labels_are_checked(labels, says):
    with pytest.raises(ValueError, match=says):
        check_labels(labels)


@pytest.mark.parametrize("settings", [{"dim": 0}, {"lr": 0.0}, {"minn": 3, "maxn": 2}, {"bucket": 0}])
def test_options_are_checked(settings):
    with pytest.raises(ValueError, match="should be"):
        Options(**settings)


def test_the_command_trains_measures_and_writes(tmp_path):
    texts, labels = labelled(400)
    table = pa.table({"body": [*texts, None, "no label"], "kind": [*labels, "good", None]})
    (tmp_path / "in").mkdir()
    for number in range(3):
        part = table.take(pa.array(range(number, table.num_rows, 3)))
        pq.write_table(part, tmp_path / "in" / f"{number}.parquet")
    options = Options(dim=10, lr=0.5, epoch=8)

    def go(path: str, name: str) -> dict[str, Any]:
        return train_fasttext([path], "kind", str(tmp_path / name), text="body", held_back=0.25, options=options)

    found = go(str(tmp_path / "in"), "model.bin")
    held = found["held_back"]
    assert found["texts"] + held["texts"] == 400 and 60 < held["texts"] < 140
    assert held["accuracy"] == 1.0 and 0.4 < held["commonest"] < 0.65
    assert held["by_label"]["spam"]["recall"] == 1.0
    assert "accuracy 1.0000" in as_text(found) and "spam: precision 1.0000, recall 1.0000" in as_text(found)
    pq.write_table(table.take(pa.array(range(table.num_rows - 1, -1, -1))), tmp_path / "one.parquet")
    assert go(str(tmp_path / "one.parquet"), "other.bin")["sha256"] == found["sha256"]
    assert open_classifier(tmp_path / "model.bin").labels == tuple(found["labels"])


def test_what_is_wrong_with_the_data_is_told(tmp_path):
    pq.write_table(pa.table({"text": ["a", "b"], "kind": ["x", "x"], "many": [["x"], ["y"]]}), tmp_path / "a.parquet")
    out, data = str(tmp_path / "m.bin"), [str(tmp_path / "a.parquet")]
    with pytest.raises(ConfigError, match="no column 'kin'; did you mean 'kind'"):
        train_fasttext(data, "kin", out)
    with pytest.raises(ConfigError, match="two labels at least"):
        train_fasttext(data, "kind", out, held_back=0)
    with pytest.raises(ConfigError, match="expected one label"):
        train_fasttext(data, "many", out)
    with pytest.raises(ConfigError, match="held-back"):
        train_fasttext(data, "kind", out, held_back=1)
    assert not Path(out).exists()


def test_real_lines(shared, tmp_path):
    """Lines of web pages that people called text or noise; those of every fifth document are held back."""
    documents = pq.read_table(shared / "quality-lines-dev.parquet").to_pylist()
    rows = [(i, line, keep) for i, d in enumerate(documents) for line, keep in zip(d["lines"], d["keep"], strict=True)]
    learnt = [row for row in rows if row[0] % 5]
    options = Options(dim=40, lr=0.5, epoch=10)
    trained = train([row[1] for row in learnt], ["keep" if row[2] else "noise" for row in learnt], options)
    path = tmp_path / "m.bin"
    path.write_bytes(trained.data)
    held = [row for row in rows if row[0] % 5 == 0]
    classifier = open_classifier(path)
    numbers, _ = classifier.best(pa.array([row[1] for row in held], pa.large_string()))
    right = sum((classifier.labels[n] == "keep") == row[2] for n, row in zip(numbers, held, strict=True))
    commonest = max(sum(row[2] for row in held), sum(not row[2] for row in held))
    assert right / len(held) > commonest / len(held) + 0.1
