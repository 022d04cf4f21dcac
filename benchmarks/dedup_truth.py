"""What clusters of benchmarks/dedup.py are held against: pairs of known similarity, and how many of them were found."""

import math
import sys
from collections import Counter
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.stages.kernels.test_minhash_kernel import words

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
N_GRAMS = 5

Pair = tuple[str, str]  # ids, the lesser first


def planted_pairs(folder: Path) -> dict[Pair, float]:
    """Write neardup-articles-dev to `folder`; the pairs that were planted in it, as 1."""
    table = pq.read_table(DATA / "neardup-articles-dev.parquet")
    _write(folder, table["id"], table["text"])
    rows = table.select(["id", "duplicates"]).to_pylist()
    return {ordered(row["id"], other): 1.0 for row in rows for other in row["duplicates"]}


def news_pairs(folder: Path) -> dict[Pair, float]:
    """Write neardup-news-docs-dev to `folder`; its pairs with the exact similarity that its makers counted."""
    table = pq.read_table(DATA / "neardup-news-docs-dev.parquet")
    _write(folder, table["url"], table["text"])
    rows = pq.read_table(DATA / "neardup-news-pairs-dev.parquet").to_pylist()
    return {ordered(row["url_a"], row["url_b"]): row["jaccard"] for row in rows}


def ordered(a: str, b: str) -> Pair:
    return (a, b) if a < b else (b, a)


def pairs_in(clusters: Iterable[list[str]]) -> set[Pair]:
    """Every pair of ids that are in one cluster."""
    return {ordered(a, b) for ids in clusters for a, b in combinations(ids, 2)}


def scores(clusters: list[list[str]], truth: dict[Pair, float], least: float, ids: list[str]) -> dict[str, Any]:
    """Pairs in one cluster against those of at least `least`; and, over documents, whether one has a duplicate at all.

    `macro_f1`: the mean of the F1 of documents with a duplicate and of those without, as text-dedup tells it.
    """
    found = pairs_in(clusters)
    true = {pair for pair, same in truth.items() if same >= least}
    right = len(found & true)
    has, said = ({id_ for pair in pairs for id_ in pair} for pairs in (true, found))
    every = set(ids)
    return {
        "true_pairs": len(true),
        "found_pairs": len(found),
        "precision": round(right / len(found), 4) if found else None,
        "recall": round(right / len(true), 4) if true else None,
        "f1": round(2 * right / (len(found) + len(true)), 4) if found or true else None,
        "macro_f1": round((f1(has, said) + f1(every - has, every - said)) / 2, 4),
    }


def f1(true: set[str], said: set[str]) -> float:
    return 2 * len(true & said) / (len(true) + len(said)) if true or said else 1.0


def by_similarity(pairs: Iterable[Pair], truth: dict[Pair, float]) -> dict[str, int]:
    """How many pairs there are of each tenth of similarity; `0.0`: unrelated."""
    return dict(sorted(Counter(str(math.floor(truth.get(pair, 0.0) * 10) / 10) for pair in pairs).items()))


def too_unlike(folder: Path, removed: list[Pair], least: float) -> int:
    """How many of (removed row, row that stays) are less similar than `least`, by plain Python sets of word tuples."""
    wanted = {id_ for pair in removed for id_ in pair}
    sets = {}
    for file in folder.glob("*.parquet"):
        for row in pq.read_table(file, columns=["id", "text"]).to_pylist():
            if row["id"] in wanted:
                sets[row["id"]] = shingles(row["text"])
    return sum(len(sets[a] & sets[b]) / len(sets[a] | sets[b]) < least for a, b in removed)


def shingles(text: str) -> set[tuple[Any, ...]]:
    found = [tuple(word) for word in words(text)]
    return {tuple(found[i : i + N_GRAMS]) for i in range(len(found) - N_GRAMS + 1)}


def _write(folder: Path, ids: Any, texts: Any) -> None:
    folder.mkdir()
    table = pa.table({"id": ids.cast(pa.string()), "text": texts.cast(pa.large_string())})
    pq.write_table(table, folder / "00000.parquet")
