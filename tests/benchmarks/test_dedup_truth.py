"""What clusters are worth, by literal examples."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.fixture
def truth(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import dedup_truth

    return dedup_truth


def test_scores(truth):
    # a, b and c are found to be one; a-b is true, d-e is true and not found; f is alone.
    scores = truth.scores([["c", "a", "b"]], {("a", "b"): 0.9, ("d", "e"): 0.75, ("a", "c"): 0.6}, 0.7, [*"abcdef"])
    assert scores == {
        "true_pairs": 2, "found_pairs": 3, "precision": 0.3333, "recall": 0.5, "f1": 0.4,
        # with a duplicate: abde, said abc: 4 / 7; without: cf, said def: 2 / 5
        "macro_f1": 0.4857,
    }  # fmt: skip


def test_nothing_found_has_no_precision(truth):
    scores = truth.scores([], {("a", "b"): 0.9}, 0.8, ["a", "b"])
    assert (scores["precision"], scores["recall"], scores["f1"]) == (None, 0.0, 0.0)


def test_by_similarity(truth):
    known = {("a", "b"): 0.79, ("a", "c"): 0.8, ("b", "c"): 1.0}
    assert truth.by_similarity([("a", "b"), ("a", "c"), ("b", "c"), ("x", "y")], known) == {
        "0.0": 1, "0.7": 1, "0.8": 1, "1.0": 1,
    }  # fmt: skip


def test_too_unlike(truth, tmp_path):
    table = pa.table({"id": ["a", "b", "c"], "text": ["a b c d e f", "A b, c d e f!", "a b c d e x"]})
    pq.write_table(table, tmp_path / "0.parquet")
    assert truth.too_unlike(tmp_path, [("b", "a"), ("c", "a")], 0.34) == 1  # 1 and 1/3
    assert truth.too_unlike(tmp_path, [("b", "a"), ("c", "a")], 0.33) == 0
