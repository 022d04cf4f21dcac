"""k-means on torch; without torch, only that it says so."""

import sys

import numpy as np
import pytest

from stages.dedup.vectors import nearest, unit
from stages.models.kmeans import fit


def blobs(seed: int, centers: int, each: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """(vectors around `centers` of the axes, the number of each one's axis), mixed."""
    draw = np.random.default_rng(seed)
    label = draw.permutation(np.repeat(np.arange(centers), each))
    vectors, _ = unit((np.eye(d)[label] + draw.normal(0, 0.05, (len(label), d))).astype(np.float32))
    return vectors, label


def test_absent_torch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"torch, which is not installed: pip install 'headrace\[models\]'"):
        fit(np.eye(3, dtype=np.float32), 2)


@pytest.mark.parametrize("k", [0, 4])
def test_as_many_centroids_as_vectors_at_most(k: int) -> None:
    with pytest.raises(ValueError, match=rf"^k-means: 3 vectors cannot have {k} centroids; ask for 1 to 3"):
        fit(np.eye(3, dtype=np.float32), k)


def test_finds_planted_clusters() -> None:
    pytest.importorskip("torch")
    vectors, label = blobs(1, 5, 100, 16)
    found = fit(vectors, 5, seed=3)
    assert found.iterations < 25
    assert np.abs(np.linalg.norm(found.centroids, axis=1) - 1).max() < 1e-6
    number = nearest(vectors, found.centroids)
    assert len({(a, b) for a, b in zip(label.tolist(), number.tolist(), strict=True)}) == 5
    assert found.similarity == pytest.approx((vectors * found.centroids[number]).sum(axis=1).mean(), abs=1e-6)


def test_centroids_are_the_mean_directions() -> None:
    """It ended because nothing moved: each centroid is the direction of the sum of its vectors."""
    pytest.importorskip("torch")
    vectors, _ = blobs(2, 4, 80, 8)
    found = fit(vectors, 3, seed=1, iterations=100)
    number = nearest(vectors, found.centroids)
    sums = np.array([vectors[number == i].astype(np.float64).sum(axis=0) for i in range(3)])
    assert found.iterations < 100
    assert np.abs(found.centroids - sums / np.linalg.norm(sums, axis=1)[:, None]).max() < 1e-6


def test_same_seed_same_centroids() -> None:
    pytest.importorskip("torch")
    vectors, _ = blobs(5, 6, 50, 12)
    first = fit(vectors, 20, seed=7)
    assert (first.centroids == fit(vectors, 20, seed=7).centroids).all()
    assert not (first.centroids == fit(vectors, 20, seed=8).centroids).all()


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    vectors, _ = blobs(6, 6, 50, 12)
    whole = fit(vectors, 6, seed=2).centroids
    monkeypatch.setattr("stages.models.kmeans.CELLS", 97)
    assert np.abs(fit(vectors, 6, seed=2).centroids - whole).max() < 1e-6


def test_centroid_without_vectors_goes_to_the_least_similar_one() -> None:
    """All but two vectors are one: whichever three it begins with, the two are found in the end."""
    pytest.importorskip("torch")
    vectors = np.zeros((50, 3), np.float32)
    vectors[:, 0] = 1
    vectors[10], vectors[20] = (0, 1, 0), (0, 0, 1)
    found = fit(vectors, 3, seed=1)
    assert sorted(map(tuple, found.centroids.tolist())) == [(0, 0, 1), (0, 1, 0), (1, 0, 0)]
    assert found.similarity == 1
