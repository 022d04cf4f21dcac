"""The simplest rivals of a refiner: one number of a line and a threshold, fitted as honestly as the refiner is.

A rule removes the lines on one side of a threshold. Feature, side and threshold are those with the best F1 for noise on
the documents given, which are those that the refiner was trained on; then the rule is judged on others.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.refine.labels import Document

Values = npt.NDArray[np.float64]
STOPS = tuple('.!?"”“»\u3002\uff01\uff1f\u2026')
LINKS = ("|", "»", "©", "http", "www.", "@", ">", "#", "*", "•", "[", "/")
QUANTILES = 200


def _per_line(measure: Callable[[str], float]) -> Callable[[Sequence[str]], list[float]]:
    return lambda lines: [measure(line) for line in lines]


def _share(line: str, test: Callable[[str], bool]) -> float:
    return sum(map(test, line)) / max(len(line), 1)


def _position(lines: Sequence[str]) -> list[float]:
    return [i / max(len(lines) - 1, 1) for i in range(len(lines))]


def _around(lines: Sequence[str]) -> list[float]:
    """Mean length of a line and the two on each side of it."""
    sizes = [len(line) for line in lines]
    return [float(np.mean(sizes[max(0, i - 2) : i + 3])) for i in range(len(sizes))]


FEATURES: dict[str, Callable[[Sequence[str]], list[float]]] = {
    "characters": _per_line(len),
    "words": _per_line(lambda line: len(line.split())),
    "ends a sentence": _per_line(lambda line: float(line.endswith(STOPS))),
    "sentence ends": _per_line(lambda line: sum(line.count(stop) for stop in (". ", "? ", "! ", "。"))),
    "commas": _per_line(lambda line: sum(line.count(comma) for comma in ",\uff0c\u3001")),
    "signs of links": _per_line(lambda line: sum(line.count(sign) for sign in LINKS)),
    "digits": _per_line(lambda line: _share(line, str.isdigit)),
    "capitals": _per_line(lambda line: _share(line, str.isupper)),
    "lower case": _per_line(lambda line: _share(line, str.islower)),
    "position": _position,
    "from the middle": lambda lines: [abs(p - 0.5) for p in _position(lines)],
    "line number": lambda lines: [float(i) for i in range(len(lines))],
    "characters around": _around,
}


class Rule(NamedTuple):
    """Removes a line whose `feature` is below `threshold`, or not below it. `f1`: on what it was fitted to."""

    feature: str
    below: bool
    threshold: float
    f1: float

    def removed(self, document: Document) -> frozenset[int]:
        values = FEATURES[self.feature](document.lines)
        return frozenset(i for i, value in enumerate(values) if (value < self.threshold) == self.below)

    def __str__(self) -> str:
        return f"{self.feature} {'<' if self.below else '>='} {self.threshold:g}"


def best_rule(documents: Sequence[Document]) -> Rule:
    """The rule with the best F1 for noise over all lines of `documents`."""
    noise = np.array([not keep for d in documents for line, keep in zip(d.lines, d.keep, strict=True) if line])
    if not len(noise):
        raise ValueError("rules: no line to fit a rule to")
    rules = []
    for name, feature in FEATURES.items():
        values = np.array(
            [v for d in documents for line, v in zip(d.lines, feature(d.lines), strict=True) if line], dtype=np.float64
        )
        for threshold in np.unique(np.quantile(values, np.linspace(0, 1, QUANTILES))):
            low = values < threshold
            for below, gone in ((True, low), (False, ~low)):
                hit = int((gone & noise).sum())
                f1 = 2 * hit / max(int(gone.sum() + noise.sum()), 1)
                rules.append(Rule(name, below, float(threshold), round(f1, 4)))
    return max(rules, key=lambda rule: rule.f1)
