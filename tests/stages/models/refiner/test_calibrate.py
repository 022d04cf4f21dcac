"""Where the line is drawn: the best macro F1, in the mean over the sources."""

import numpy as np
import pytest

from stages.models.refiner.calibrate import best_shift

NOISE, KEEP = True, False


def source(margins: list[float], noise: list[bool]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(margins), np.array(noise)


def test_noise_that_is_below_the_line_is_lifted_over_it() -> None:
    assert best_shift([source([-0.5, -2.0], [NOISE, KEEP])]) == pytest.approx(0.55)


def test_text_that_is_above_the_line_is_brought_under_it() -> None:
    assert best_shift([source([2.0, 1.0], [NOISE, KEEP])]) == pytest.approx(-1.95)  # the first of those alike


def test_a_source_of_many_lines_does_not_decide_for_the_others() -> None:
    many = source([1.0, -0.1] * 50, [NOISE, KEEP] * 50)  # best as it is, a little worse from 0.1 on
    few = source([-0.32, -2.0], [NOISE, KEEP])  # nothing is found below 0.32
    assert best_shift([many]) < 0.1
    assert best_shift([many, few, few]) == pytest.approx(0.35)
