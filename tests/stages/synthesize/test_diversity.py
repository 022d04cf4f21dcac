"""Distinct n-grams, what rows share, and how far apart vectors are: counted by hand and by a plain program."""

import math
from itertools import combinations

import numpy as np
import pytest

from stages.synthesize.diversity import NGrams, Spread, ngrams, spread


def test_by_hand() -> None:
    one, two, three, four = ngrams(["The mill stands.", "the mill turns", "a leat"], ["x", "x", "y"])
    # 8 words, of which the, mill, stands, turns, a, leat differ; two of three are shared by the first two rows.
    assert one == NGrams(1, 8, 6, pytest.approx((2 / 3 + 2 / 3 + 0) / 3), pytest.approx(2 / 3))
    assert two == NGrams(2, 5, 4, pytest.approx((1 / 2 + 1 / 2 + 0) / 3), pytest.approx(1 / 2))
    assert three == NGrams(3, 2, 2, 0.0, 0.0)
    assert four == NGrams(4, 0, 0, None, None)
    assert (one.share, four.share) == (6 / 8, None)


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_nothing(texts: list[str]) -> None:
    assert ngrams(texts, ["x"] * len(texts)) == tuple(NGrams(n, 0, 0, None, None) for n in (1, 2, 3, 4))


def test_a_row_alone_shares_with_nobody() -> None:
    assert ngrams(["mill mill"], ["x"])[0] == NGrams(1, 2, 1, None, None)
    assert ngrams(["mill", "mill"], ["x", "y"])[0] == NGrams(1, 2, 1, 1.0, None)


def test_scripts_without_blanks_have_a_word_a_letter() -> None:
    assert ngrams(["水車小屋", "水車"], ["x", "x"])[1].total == 4


@pytest.mark.parametrize("seed", range(3))
def test_as_a_plain_program_counts(seed: int) -> None:
    dice = np.random.default_rng(seed)
    words = np.array(["mill", "leat", "wheel", "weir", "stone", "silt"])
    rows = [list(words[dice.integers(0, 6, dice.integers(0, 12))]) for _ in range(40)]
    documents = [f"d{number}" for number in dice.integers(0, 9, 40)]
    for found in ngrams([" ".join(row) for row in rows], documents):
        grams = [[tuple(row[i : i + found.n]) for i in range(len(row) - found.n + 1)] for row in rows]
        everywhere, at_home = [], []
        for number, mine in enumerate(grams):
            others = [(set(g), documents[i]) for i, g in enumerate(grams) if i != number]
            home = [g for g, document in others if document == documents[number]]
            if mine:
                everywhere.append(sum(any(g in o for o, _ in others) for g in set(mine)) / len(set(mine)))
            if mine and home:
                at_home.append(sum(any(g in o for o in home) for g in set(mine)) / len(set(mine)))
        flat = [gram for row in grams for gram in row]
        assert (found.total, found.distinct) == (len(flat), len(set(flat)))
        assert found.overlap == pytest.approx(np.mean(everywhere))
        assert found.overlap_document == pytest.approx(np.mean(at_home))


def test_spread_is_the_mean_cosine_of_pairs() -> None:
    angles, documents = (0.0, 0.3, 1.2, 2.0), ["x", "x", "y", "y"]
    vectors = np.array([[math.cos(a), math.sin(a)] for a in angles], np.float32) * 3
    every = [math.cos(a - b) for a, b in combinations(angles, 2)]
    found = spread(vectors, documents)
    assert found == Spread(4, pytest.approx(np.mean(every)), pytest.approx((math.cos(0.3) + math.cos(0.8)) / 2))


def test_vectors_that_are_none_do_not_count() -> None:
    vectors = np.array([[1, 0], [0, 0], [math.nan, 1], [0, 1]], np.float32)
    assert spread(vectors, list("xxxx")) == Spread(2, pytest.approx(0.0), pytest.approx(0.0))
    assert spread(np.zeros((0, 2), np.float32), []) == Spread(0, None, None)
