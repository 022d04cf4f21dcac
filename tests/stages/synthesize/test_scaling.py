"""The scaling law: the paper's own numbers, and what is recovered from points."""

import pytest

from stages.synthesize.scaling import Law, fit

QUALITY = Law(64.55, (13.84, 8.47, 3.93), (0.9989, 0.8961, 0.0546))  # EntiGraph, section 6


@pytest.mark.parametrize(
    ("tokens", "accuracy"), [(0, 38.31), (1, 42.92), (10, 48.03), (50, 51.42), (100, 52.15), (455, 56.16)]
)
def test_the_fit_of_the_paper(tokens: float, accuracy: float) -> None:
    assert QUALITY.accuracy(tokens) == pytest.approx(accuracy, abs=0.005)


def test_it_is_recovered_from_its_points() -> None:
    tokens = [0, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 455, 1000, 2000]
    law = fit([(x, QUALITY.accuracy(x)) for x in tokens])
    assert law.error < 0.01
    assert law.ceiling == pytest.approx(64.55, abs=0.5)
    assert law.accuracy(700) == pytest.approx(QUALITY.accuracy(700), abs=0.05)


def test_what_more_is_worth() -> None:
    assert QUALITY.gain(455, 455) == pytest.approx(QUALITY.accuracy(910) - 56.16, abs=0.005)
    assert QUALITY.tokens_for(52.15) == pytest.approx(100, abs=1)
    assert QUALITY.tokens_for(64.55) is None
    assert QUALITY.tokens_for(30.0) == 0.0


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="3 exponentials have 7 unknowns, and there are 2 amounts of tokens"):
        fit([(0, 1.0), (1, 2.0), (1, 2.1)])


def test_points_of_one_exponential_need_one() -> None:
    law = fit([(x, 10 - 4 * 0.5**x) for x in (0, 1, 2, 3, 5, 8, 13)], terms=3)
    assert law.error < 1e-4
    assert law.ceiling == pytest.approx(10, abs=0.01)
