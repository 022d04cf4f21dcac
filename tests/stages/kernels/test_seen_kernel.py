"""The table of bands: who has what, first come, first served."""

import numpy as np
import pytest

from stages.kernels import seen


@pytest.fixture
def table() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(8, np.uint64), np.zeros(8, np.uint32)


def bands(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


def starts(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def rows(*values: int) -> np.ndarray:
    return np.array(values, np.uint32)


def has(table: tuple[np.ndarray, np.ndarray], *values: int) -> list[int]:
    found = np.zeros(len(values), np.uint32)
    seen.look(*table, bands(*values), found)
    return found.tolist()


def test_a_row_takes_its_bands_up_to_the_first_that_another_has(table: tuple[np.ndarray, np.ndarray]) -> None:
    lost_to = rows(0, 0, 0)
    taken = seen.claim(*table, bands(5, 6, 3, 6, 9, 5, 6), starts(0, 2, 5, 7), rows(1, 2, 1), lost_to)
    assert lost_to.tolist() == [0, 1, 0]
    assert taken == 3
    assert has(table, 3, 5, 6, 9, 0) == [2, 1, 1, 0, 0]


def test_what_is_given_back_is_free_and_nobody_gives_back_what_another_has(
    table: tuple[np.ndarray, np.ndarray],
) -> None:
    seen.claim(*table, bands(5, 6), starts(0, 2), rows(1), rows(0))
    seen.release(*table, bands(5, 5, 7), starts(0, 1, 3), rows(2, 1))
    assert has(table, 5, 6, 7) == [0, 1, 0]
    lost_to = rows(0)
    assert seen.claim(*table, bands(5), starts(0, 1), rows(3), lost_to) == 0  # the slot was there
    assert (lost_to.tolist(), has(table, 5)) == ([0], [3])


def test_band_0_is_a_band(table: tuple[np.ndarray, np.ndarray]) -> None:
    seen.claim(*table, bands(0), starts(0, 1), rows(4), rows(0))
    assert has(table, 0) == [4]


def test_colliding_bands_stay_apart_and_move_together(table: tuple[np.ndarray, np.ndarray]) -> None:
    seen.claim(*table, bands(*range(1, 8)), starts(*range(8)), rows(*range(1, 8)), rows(*[0] * 7))  # 7 of 8 slots
    assert has(table, *range(1, 8)) == [1, 2, 3, 4, 5, 6, 7]
    larger = np.zeros(32, np.uint64), np.zeros(32, np.uint32)
    seen.refill(*table, *larger)
    assert has(larger, *range(1, 9)) == [1, 2, 3, 4, 5, 6, 7, 0]


def test_numbers_are_given_once(table: tuple[np.ndarray, np.ndarray]) -> None:
    found = rows(0, 0, 0)
    assert seen.number(*table, bands(70, 80, 70), 4, found) == 6
    assert found.tolist() == [5, 6, 5]


def test_rows_of_a_table_are_settled_in_order(table: tuple[np.ndarray, np.ndarray]) -> None:
    # Row 1 goes for one outside at its second band, so row 2, which shares the first, stays; row 3 goes for row 2.
    lost_to, lost_at = rows(0, 0, 0), np.full(3, -1, np.int64)
    taken = np.array([False, True, False, False, False])
    seen.settle(*table, bands(1, 2, 1, 0, 1), starts(0, 2, 3, 5), taken, rows(1, 2, 3), lost_to, lost_at)
    assert (lost_to.tolist(), lost_at.tolist()) == ([0, 0, 2], [1, -1, -1])
