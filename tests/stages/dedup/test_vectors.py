"""Vectors: what is nearest, what is above, and that blocks do not matter."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.dedup import vectors
from stages.dedup.vectors import cosine, is_vector, leaders, matrix, nearest, unit


def directions(*degrees: float) -> np.ndarray:
    return np.array([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees], np.float32)


def reference(rows: np.ndarray, least: float) -> list[int]:
    """The definition, pair by pair: the first before it that stays and is more similar than `least`, or itself."""
    found: list[int] = []
    for i, row in enumerate(rows.astype(np.float64)):
        likes = [j for j in range(i) if found[j] == j and float((rows[j].astype(np.float64) * row).sum()) > least]
        found.append(likes[0] if likes else i)
    return found


@pytest.mark.parametrize(
    "type_", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float16(), 3), pa.list_(pa.int8())]
)
def test_lists_of_numbers_of_any_kind_are_vectors(type_: pa.DataType) -> None:
    assert is_vector(type_)
    rows = [[1, 2, 3], None, [4, 5, 6]] if pa.types.is_fixed_size_list(type_) else [[1, 2, 3], None, [4, 5, 6], [7]]
    column = pa.chunked_array([pa.array(rows[:2], type_), pa.array(rows[2:], type_)])
    values, fits = matrix(column, 3)
    assert fits.tolist() == [True, False, True, False][: len(rows)]
    assert values[fits].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert not values[~fits].any()


def test_what_is_no_list_of_numbers_is_no_vector() -> None:
    assert [is_vector(t) for t in (pa.string(), pa.float32(), pa.list_(pa.string()), pa.binary(8))] == [False] * 4


def test_slices_and_nulls_in_lists() -> None:
    column = pa.chunked_array([pa.array([[9.0, 9.0], [1.0, None], [3.0, 4.0]], pa.list_(pa.float32())).slice(1)])
    values, fits = matrix(column, 2)
    assert fits.all()
    scaled, good = unit(values)
    assert good.tolist() == [False, True]
    assert scaled.tolist() == [[0, 0], [np.float32(0.6), np.float32(0.8)]]


def test_zeros_and_infinities_have_no_direction() -> None:
    scaled, good = unit(np.array([[0, 0], [np.inf, 1], [1e30, 0], [0, -1e-30]], np.float32))
    assert good.tolist() == [False, False, True, True]
    assert scaled[good].tolist() == [[1, 0], [0, -1]]


def test_of_equal_centroids_the_first_is_nearest() -> None:
    centroids = directions(90, 0, 90, 0)
    assert nearest(directions(10, 80, 45, 0), centroids).tolist() == [1, 0, 0, 1]


def test_first_that_stays_is_the_leader() -> None:
    """10 degrees count: 0 takes 8; 16 is like 8 alone, which is gone, and takes 24; 33 is like 24, which is gone."""
    least = math.cos(math.radians(10))
    assert leaders(directions(0, 8, 16, 24, 33), least).tolist() == [0, 0, 2, 2, 4]
    assert leaders(directions(8, 0, 16, 24, 33), least).tolist() == [0, 0, 0, 3, 3]
    assert leaders(directions(0, 8, 4), least).tolist() == [0, 0, 0]


def test_above_means_above() -> None:
    """A similarity of one half, in numbers that are exact."""
    rows = np.array([[1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]], np.float32)
    assert leaders(rows, 0.5).tolist() == [0, 1]
    assert leaders(rows, np.nextafter(0.5, 0)).tolist() == [0, 0]


@given(st.lists(st.tuples(*[st.integers(-3, 3)] * 3).filter(any), max_size=40), st.sampled_from([0.5, 0.8, 0.95, 0.99]))
@settings(max_examples=200)
def test_leaders_are_those_of_the_definition(rows: list[tuple[int, int, int]], least: float) -> None:
    scaled, _ = unit(np.array(rows, np.float32).reshape(-1, 3))
    expected = reference(scaled, least)
    for block in (1, 2, 7, 1024):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(vectors, "BLOCK", block)
            assert leaders(scaled, least).tolist() == expected


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 20))
@settings(max_examples=100)
def test_nearest_is_that_of_the_definition(seed: int, n: int, k: int) -> None:
    """Small whole numbers: many centroids are equally near, and many are the same."""
    draw = np.random.default_rng(seed)
    rows, _ = unit(draw.integers(-2, 3, (n, 5)).astype(np.float32))
    centroids, _ = unit(draw.integers(-2, 3, (k, 5)).astype(np.float32))
    exact = np.array([[(a * b).sum() for b in centroids.astype(np.float64)] for a in rows.astype(np.float64)])
    expected = exact.argmax(axis=1).tolist()
    for cells in (1, 64, 1 << 24):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(vectors, "CELLS", cells)
            assert nearest(rows, centroids).tolist() == expected


def test_cosine_is_the_same_in_any_company() -> None:
    draw = np.random.default_rng(4)
    a, b = (unit(draw.normal(size=(3000, 100)).astype(np.float32))[0] for _ in range(2))
    whole = cosine(a, b)
    assert [cosine(a[i : i + 1], b[i : i + 1])[0] for i in range(0, 3000, 97)] == whole[::97].tolist()
    assert cosine(a[1:], b[1:]).tolist() == whole[1:].tolist()
    assert np.abs(whole - np.einsum("ij,ij->i", a.astype(np.float64), b)).max() < 1e-14
