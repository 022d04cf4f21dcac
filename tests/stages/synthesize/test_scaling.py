"""The scaling law: the paper's own numbers, and what is recovered from points."""

import pytest

from stages.synthesize.scaling import Law, fit, without_each

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


def test_the_paper_s_own_numbers_come_back_from_points_up_to_its_last() -> None:
    """The slow term has lost a third only at 455 million tokens; a greedy search ends 3 points below the ceiling."""
    tokens = [0, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 455]
    law = fit([(x, QUALITY.accuracy(x)) for x in tokens])
    assert law.ceiling == pytest.approx(64.55, abs=0.01)
    assert sorted(law.rates) == pytest.approx(sorted(QUALITY.rates), abs=1e-4)
    assert sorted(law.weights) == pytest.approx(sorted(QUALITY.weights), abs=0.01)


@pytest.mark.parametrize(("scale", "most"), [(1.0, 100.0), (0.01, 1.0)])
def test_no_accuracy_is_promised_beyond_all(scale: float, most: float) -> None:
    law = fit([(x, scale * (30 + 0.01 * x)) for x in (0, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 455)])
    assert law.ceiling <= most
    assert law.accuracy(1e6) <= most
    assert law.accuracy(455) == pytest.approx(scale * 34.55, abs=scale * 0.05)


def test_the_ceiling_can_be_given() -> None:
    law = fit([(x, 60 - 30 * 0.99**x) for x in (0, 1, 10, 50, 100, 500)], terms=2, ceiling=60)
    assert (law.ceiling, law.error) == (60, pytest.approx(0, abs=1e-9))


def test_points_that_do_not_rise_have_a_flat_law() -> None:
    law = fit([(x, 50 - x) for x in range(7)])
    assert (law.ceiling, law.weights) == (pytest.approx(47), ())


@pytest.mark.parametrize("point", [(-1.0, 5.0), (float("nan"), 5.0), (float("inf"), 5.0), (9.0, 101.0), (9.0, -1.0)])
def test_points_that_are_none_are_refused(point: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="tokens should be at least 0, and accuracies from 0 to 100 or from 0 to 1"):
        fit([*((float(x), 5.0) for x in range(7)), point])


def test_laws_without_each_point() -> None:
    points = [(x, 10 - 4 * 0.5**x) for x in (0, 1, 2, 3)]
    assert [law.ceiling for law in without_each(points, 1)] == pytest.approx([10] * 4, abs=0.01)
    assert without_each(points[:3], 1) == []
