"""Made documents: the same for a seed, and as similar as is said of them."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (ROOT.parent / "shared" / "data").exists(), reason="needs ../shared/data")


@pytest.fixture
def made(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import near_documents

    return near_documents


def shingles(words):
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def test_pairs_are_as_similar_as_is_said(made, tmp_path):
    pairs = made.write_documents(tmp_path / "a", 400, seed=1, rows_a_file=150).to_pylist()
    files = sorted((tmp_path / "a").glob("*.parquet"))
    texts = {row["id"]: row["text"] for file in files for row in pq.read_table(file).to_pylist()}
    assert (len(files), len(texts)) == (3, 400)
    assert {pair["kind"] for pair in pairs} >= {"exact", "near", "contained"}
    for pair in pairs:
        a, b = (shingles(made.words_of(texts[pair[side]])) for side in "ab")
        assert pair["jaccard"] == pytest.approx(len(a & b) / len(a | b), abs=1e-12)
        assert (pair["kind"] == "exact") <= (texts[pair["a"]] == texts[pair["b"]])


def test_a_seed_makes_one_set(made, tmp_path):
    one, two, other = (made.write_documents(tmp_path / name, 60, seed) for name, seed in (("1", 5), ("2", 5), ("3", 6)))
    assert one.equals(two)
    assert not one.equals(other)
    first, second = (pq.read_table(tmp_path / name) for name in "12")
    assert first.equals(second)


def test_words_are_lower_case_and_numbers_0(made):
    assert made.words_of("It's 1,234.5 °F in Kyïv_2024 — über-warm!") == [
        "it", "s", "0", "0", "f", "in", "kyïv", "0", "über", "warm",
    ]  # fmt: skip
