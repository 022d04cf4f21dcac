"""How accuracy grows with synthetic tokens: a mixture of exponentials, and what more of them is worth.

acc(x) = a - sum_k b_k r_k^x with 0 < r_k < 1, x in million tokens (EntiGraph, arXiv 2409.07431, section 6; their fit
of QuALITY: 64.55 - 13.84 * 0.9989^x - 8.47 * 0.8961^x - 3.93 * 0.0546^x).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

DECADES = 10  # of rates that are tried, from 1e-6 to 1e4 per million tokens


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
    searched on a grid of decades and then between. `ValueError` when there are fewer points than unknowns.
    """
    unknown = 2 * terms + (ceiling is None)
    if len({x for x, _ in points}) < unknown:
        raise ValueError(
            f"{terms} exponentials have {unknown} unknowns, and there are {len({x for x, _ in points})} amounts of "
            "tokens: measure more, or ask for fewer terms"
        )
    x, y = (np.array(values, np.float64) for values in zip(*points, strict=True))
    if (x < 0).any() or not np.isfinite(y).all():
        raise ValueError("tokens should be at least 0 and accuracies finite")
    speeds = np.logspace(-6, 4, DECADES * 4 + 1)
    chosen: list[float] = []
    best = _weights(x, y, chosen, ceiling)
    for _ in range(terms):  # the one that helps most, then all once more between their neighbours
        tried = [(_weights(x, y, [*chosen, s], ceiling), s) for s in speeds]
        law, speed = min(tried, key=lambda pair: pair[0].error)
        if law.error >= best.error - 1e-12:
            break
        best, chosen = law, [*chosen, float(speed)]
        best, chosen = _refined(x, y, chosen, ceiling, best)
    return best


def _refined(
    x: np.ndarray, y: np.ndarray, speeds: list[float], ceiling: float | None, best: Law
) -> tuple[Law, list[float]]:
    """Each rate moved by ever smaller steps as long as that helps."""
    step = 10 ** (1 / 4)
    while step > 1 + 1e-6:
        moved = False
        for at in range(len(speeds)):
            for factor in (step, 1 / step):
                tried = [*speeds[:at], speeds[at] * factor, *speeds[at + 1 :]]
                law = _weights(x, y, tried, ceiling)
                if law.error < best.error * (1 - 1e-9):
                    best, speeds, moved = law, tried, True
        if not moved:
            step = math.sqrt(step)
    return best, speeds


def _weights(x: np.ndarray, y: np.ndarray, speeds: list[float], ceiling: float | None) -> Law:
    """The best ceiling and weights for decays exp(-speed x)."""
    decays = -np.exp(-np.outer(x, speeds)) if speeds else np.zeros((len(x), 0))
    if ceiling is None:
        values, _ = nnls(np.column_stack([np.ones(len(x)), decays]), y)
        top, weights = float(values[0]), values[1:]
    else:
        top = ceiling
        weights = nnls(decays, y - ceiling)[0] if speeds else np.zeros(0)
    missed = top + decays @ weights - y
    error = float(np.sqrt(np.mean(missed**2)))
    return Law(top, tuple(map(float, weights)), tuple(math.exp(-s) for s in speeds), error)
