"""How accuracy grows with synthetic tokens: a mixture of exponentials, and what more of them is worth.

acc(x) = a - sum_k b_k r_k^x with 0 < r_k < 1, x in million tokens (EntiGraph, arXiv 2409.07431, section 6; their fit
of QuALITY: 64.55 - 13.84 * 0.9989^x - 8.47 * 0.8961^x - 3.93 * 0.0546^x).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

Floats = npt.NDArray[np.float64]
MOST = 100.0  # of an accuracy in percent
SLOW, FAST, GRID = 0.03, 10.0, 25  # speeds of decay that are tried: from hardly any over the most tokens to all at once
TOGETHER = 3  # terms whose speeds are searched at one time


@dataclass(frozen=True)
class Law:
    """`ceiling` - sum of weight * rate^x. `error`: root of the mean square of what it misses the points by."""

    ceiling: float
    weights: tuple[float, ...]
    rates: tuple[float, ...]
    error: float = 0.0

    def accuracy(self, tokens: float) -> float:
        """At `tokens`, in millions."""
        return self.ceiling - sum(w * math.pow(r, tokens) for w, r in zip(self.weights, self.rates, strict=True))

    def gain(self, tokens: float, more: float) -> float:
        """What `more` million tokens beyond `tokens` add."""
        return self.accuracy(tokens + more) - self.accuracy(tokens)

    def tokens_for(self, accuracy: float) -> float | None:
        """The fewest million tokens that reach `accuracy`; None if no number of them does."""
        if accuracy >= self.ceiling or accuracy <= self.accuracy(0.0):
            return None if accuracy >= self.ceiling else 0.0
        low, high = 0.0, 1.0
        while self.accuracy(high) < accuracy:
            low, high = high, high * 2
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if self.accuracy(middle) < accuracy else (low, middle)
        return high


def fit(points: Sequence[tuple[float, float]], terms: int = 3, ceiling: float | None = None) -> Law:
    """The law of `terms` exponentials at most that misses `points` (million tokens, accuracy) by least.

    The ceiling and the weights are a least-squares problem with no negative weight once the rates are given; those are
    searched on a grid and then between. The ceiling is at most 100, or 1 where no accuracy is above 1: of
    points that still rise in a straight line it would be anywhere. `ValueError` when there are fewer points than
    unknowns, or numbers that are no tokens and accuracies.
    """
    unknown = 2 * terms + (ceiling is None)
    if len({x for x, _ in points}) < unknown:
        raise ValueError(
            f"{terms} exponentials have {unknown} unknowns, and there are {len({x for x, _ in points})} amounts of "
            "tokens: measure more, or ask for fewer terms"
        )
    x, y = (np.array(values, np.float64) for values in zip(*points, strict=True))
    if not ((x >= 0) & np.isfinite(x)).all() or not ((y >= 0) & (y <= MOST)).all():
        raise ValueError("tokens should be at least 0, and accuracies from 0 to 100 or from 0 to 1")
    top = _Top(ceiling, 1.0 if y.max() <= 1 else MOST)
    speeds = np.geomspace(SLOW / x.max(), FAST / x[x > 0].min(), GRID) if (x > 0).any() else np.ones(1)
    chosen: list[float] = []
    best = _weights(x, y, chosen, top)
    for _ in range(terms):
        law, chosen = _refined(x, y, _start(x, y, chosen, speeds, top), top, (speeds[0], speeds[-1]))
        if law.error >= best.error * (1 - 1e-9) or law.error < 1e-9:
            return law if law.error < best.error else best
        best = law
    return best


def without_each(points: Sequence[tuple[float, float]], terms: int = 3) -> list[Law]:
    """The laws without any one of `points`: how far they agree is how much a promise is worth. Empty if too few."""
    if len({x for x, _ in points}) <= 2 * terms + 1:
        return []
    return [fit([*points[:left], *points[left + 1 :]], terms) for left in range(len(points))]


class _Top(NamedTuple):
    """The ceiling, if it is given, and what it is at most."""

    fixed: float | None
    most: float


def _start(x: Floats, y: Floats, chosen: list[float], speeds: Floats, top: _Top) -> list[float]:
    """Speeds to search from, one more than `chosen`: the best of the grid, up to `TOGETHER` of them; then one more."""
    n = len(chosen) + 1
    tried: Iterator[list[float]]
    if n <= TOGETHER:  # one after the other they end in a hollow that is not the deepest
        tried = (list(some) for some in combinations(speeds.tolist(), n))
    else:
        tried = ([*chosen, speed] for speed in speeds.tolist())
    return min(tried, key=lambda some: _weights(x, y, some, top).error)


def _refined(
    x: Floats, y: Floats, speeds: list[float], top: _Top, limits: tuple[float, float]
) -> tuple[Law, list[float]]:
    """Each speed moved by ever smaller steps as long as that helps."""
    best, step = _weights(x, y, speeds, top), 10 ** (1 / 4)
    while step > 1 + 1e-6:
        moved = False
        for at in range(len(speeds)):
            for factor in (step, 1 / step):
                speed = min(max(speeds[at] * factor, limits[0]), limits[1])
                tried = [*speeds[:at], speed, *speeds[at + 1 :]]
                law = _weights(x, y, tried, top)
                if law.error < best.error * (1 - 1e-9):
                    best, speeds, moved = law, tried, True
        if not moved:
            step = math.sqrt(step)
    return best, speeds


def _weights(x: Floats, y: Floats, speeds: list[float], top: _Top) -> Law:
    """The best ceiling and weights for decays exp(-speed x)."""
    decays = -np.exp(-np.outer(x, speeds)) if speeds else np.zeros((len(x), 0))
    ceiling, weights = top.fixed, np.zeros(len(speeds))
    if ceiling is None:
        values, _ = nnls(np.column_stack([np.ones(len(x)), decays]), y)
        ceiling, weights = float(values[0]), values[1:]
        if ceiling > top.most:  # the best within the limit is on it: the problem is convex
            ceiling, weights = top.most, np.zeros(len(speeds))
    if speeds and ceiling in (top.fixed, top.most):
        weights = nnls(decays, y - ceiling)[0]
    missed = ceiling + decays @ weights - y
    error = float(np.sqrt(np.mean(missed**2)))
    return Law(ceiling, tuple(map(float, weights)), tuple(math.exp(-s) for s in speeds), error)
