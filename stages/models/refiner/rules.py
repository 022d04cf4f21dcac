"""The simplest rivals of a refiner: one number of a line and a threshold, fitted as honestly as the refiner is.

A rule removes the lines on one side of a threshold. Feature, side and threshold are those that do best on the documents
given, which are those that the refiner was trained on; then the rule is judged on others.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from stages.models.refiner.corpus import STOPS
from stages.models.refiner.evaluate import Flags, f1, macro_f1
from stages.refine.labels import Document

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
    """Removes a line whose `feature` is below `threshold`, or not below it.

    `score`, of what it was fitted to: F1 of noise by `best_rule`, the mean of the sources' macro F1 by `one_rule`.
    """

    feature: str
    below: bool
    threshold: float
    score: float

    def removed(self, document: Document) -> frozenset[int]:
        values = FEATURES[self.feature](document.lines)
        return frozenset(i for i, value in enumerate(values) if (value < self.threshold) == self.below)

    def __str__(self) -> str:
        return f"{self.feature} {'<' if self.below else '>='} {self.threshold:g}"


def best_rule(documents: Sequence[Document]) -> Rule:
    """The rule with the best F1 for noise over all lines of `documents`."""
    return max(_rules([documents], f1), key=lambda rule: rule.score)


def one_rule(sources: Sequence[Sequence[Document]]) -> Rule:
    """The rule with the best macro F1 in the mean over `sources`, by which the refiner's line is drawn too."""
    return max(_rules(sources, macro_f1), key=lambda rule: rule.score)


def _rules(sources: Sequence[Sequence[Document]], score: Callable[[Flags, Flags], float]) -> Iterator[Rule]:
    """Every rule, with its score in the mean over `sources`."""
    noise = [_noise(documents) for documents in sources]
    if not any(map(len, noise)):
        raise ValueError("rules: no line to fit a rule to")
    for name, feature in FEATURES.items():
        values = [
            np.array([v for d in documents for l, v in zip(d.lines, feature(d.lines), strict=True) if l], np.float64)
            for documents in sources
        ]
        for threshold in np.unique(np.quantile(np.concatenate(values), np.linspace(0, 1, QUANTILES))):
            for below in (True, False):
                scores = [score((v < threshold) == below, n) for v, n in zip(values, noise, strict=True)]
                yield Rule(name, below, float(threshold), round(float(np.mean(scores)), 4))


def _noise(documents: Sequence[Document]) -> Flags:
    return np.array([not keep for d in documents for line, keep in zip(d.lines, d.keep, strict=True) if line], bool)
