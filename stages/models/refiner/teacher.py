"""A teacher for the refiner: boosted trees over the looks of a line and those around it, and a linear model of words.

A model of a million parameters that reads tokens learns slowly that a short line between short lines is a menu; trees
over lengths and stops of the lines around see it at once, but they write no programs. So they teach: how likely noise
each line is, of documents with labels by trees that were not fitted to their site, and of any text without labels. Soft
targets also say where labels are a matter of taste (Hinton, Vinyals, Dean 2015, arXiv 1503.02531).

Needs scikit-learn (extra `train`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.models.refiner.corpus import OTHER, STOPS
from stages.refine.labels import Document

Numbers = npt.NDArray[np.float64]

LINKS = "|»©@>#*•[/"
BULLETS = "-•*·\u2013"
AROUND = (-3, -2, -1, 1, 2, 3)  # lines whose own figures a line gets too
OF_AROUND = (0, 1, 2, 4, 5, 7, 9, 12)  # which of them
WINDOWS = (2, 5, 10, 20)  # lines on each side over which length and stops are averaged
FOLDS = 5
TRUST = 0.5  # what the teacher weighs where there is a label, which weighs the rest


@dataclass(frozen=True)
class Lines:
    """The lines with text of some documents: figures, texts, and where each document's begin and end."""

    figures: Numbers
    texts: list[str]
    ends: list[int]


def teach(
    labelled: Sequence[Document], texts: Sequence[Document], weights: Mapping[str, float], seed: int = 0
) -> tuple[list[Document], list[Document]]:
    """Both with `noise`, how likely noise each line is; `texts` are labelled by it. `weights`: of the sources."""
    from sklearn.model_selection import GroupKFold  # noqa: PLC0415 - an extra

    ours, theirs = lines_of(labelled), lines_of(texts)
    noise = np.array([not k for d in labelled for line, k in zip(d.lines, d.keep, strict=True) if line])
    sites = np.array([d.site for d in labelled for line in d.lines if line])
    sources = [d.source for d in labelled for line in d.lines if line]
    counts = Counter(sources)
    weight = np.array([weights.get(source, OTHER) / counts[source] for source in sources])
    weight *= len(weight) / weight.sum()
    words = _words()
    seen, unseen = words.transform(ours.texts), words.transform(theirs.texts) if theirs.texts else None
    folds = list(GroupKFold(FOLDS).split(seen, noise, sites))
    said = np.zeros(len(noise))  # by words alone
    for learnt, other in folds:
        said[other] = _fitted(_linear(seed), seen, noise, weight, learnt).decision_function(seen[other])
    figures = np.hstack([ours.figures, _with_neighbours(said, ours.ends)])
    likely = np.zeros(len(noise))
    for learnt, other in folds:
        trees = _fitted(_trees(seed), figures, noise, weight, learnt)
        likely[other] = trees.predict_proba(figures[other])[:, 1]
    taught = _with_noise(labelled, TRUST * likely + (1 - TRUST) * noise)
    if unseen is None:
        return taught, []
    said_of_texts = _fitted(_linear(seed), seen, noise, weight).decision_function(unseen)
    others = np.hstack([theirs.figures, _with_neighbours(said_of_texts, theirs.ends)])
    found = _with_noise(texts, _fitted(_trees(seed), figures, noise, weight).predict_proba(others)[:, 1])
    return taught, [d._replace(keep=tuple(n < 0.5 for n in d.noise)) for d in found]


def lines_of(documents: Sequence[Document]) -> Lines:
    figures, texts, ends = [], [], []
    for document in documents:
        lines = [line for line in document.lines if line]
        texts += lines
        ends.append(len(texts))
        if lines:
            figures.append(_figures(document, lines))
    return Lines(np.vstack(figures) if figures else np.zeros((0, 0)), texts, ends)


def _figures(document: Document, lines: Sequence[str]) -> Numbers:
    """Of each line with text of a document: itself, its neighbours, averages around it, its place, the whole."""
    own = np.array([_own(line) for line in lines], np.float64)
    n, reach = len(lines), max(AROUND)
    padded = np.zeros((n + 2 * reach, own.shape[1]))
    padded[reach : reach + n] = own
    around = [padded[reach + at : reach + at + n][:, list(OF_AROUND)] for at in AROUND]
    place = np.arange(n)
    size, stops = (np.concatenate([[0.0], np.cumsum(own[:, i])]) for i in (0, 2))
    averages = []
    for width in WINDOWS:
        low, high = np.maximum(place - width, 0), np.minimum(place + width + 1, n)
        averages += [(total[high] - total[low]) / (high - low) for total in (size, stops)]
    at = [i for i, line in enumerate(document.lines) if line]
    last = len(document.lines) - 1
    blank = [(i > 0 and not document.lines[i - 1]) + 2 * (i < last and not document.lines[i + 1]) for i in at]
    copies = Counter(lines)
    whole = [
        place, n - place, place / max(n - 1, 1), np.full(n, n), np.full(n, np.log1p(own[:, 0]).mean()),
        np.full(n, np.median(own[:, 0])), np.full(n, own[:, 2].mean()), blank, [copies[line] for line in lines],
        size[:-1], size[-1] - size[:-1],
    ]  # fmt: skip
    return np.hstack([own, *around, np.stack([*averages, *whole], axis=1)])


def _own(line: str) -> list[float]:
    n, words = max(len(line), 1), line.split()
    many = max(len(words), 1)
    return [
        len(line), len(words), line.endswith(STOPS), line.endswith((":", "\uff1a")),
        sum(line.count(stop) for stop in (". ", "? ", "! ", "\u3002")),
        sum(line.count(comma) for comma in ",\uff0c\u3001"),
        sum(line.count(sign) for sign in LINKS), sum(map(str.isdigit, line)) / n, sum(map(str.isupper, line)) / n,
        sum(map(str.islower, line)) / n, sum(word[:1].isupper() for word in words) / many, n / many,
        "http" in line or "www." in line, line[:1].islower(), line[:1].isdigit(), line[:1] in BULLETS, "(" in line,
        '"' in line or "“" in line,
    ]  # fmt: skip


def _with_neighbours(values: Numbers, ends: Sequence[int]) -> Numbers:
    """What is said of a line, and of the three before and behind it in its document."""
    reach, begin, found = max(AROUND), 0, []
    for end in ends:
        padded = np.concatenate([np.zeros(reach), values[begin:end], np.zeros(reach)])
        found.append(np.stack([padded[reach + at : reach + at + end - begin] for at in (0, *AROUND)], axis=1))
        begin = end
    return np.vstack(found)


def _with_noise(documents: Sequence[Document], likely: Numbers) -> list[Document]:
    """Blank lines are left at 0: what becomes of them hangs on those around."""
    left = iter(likely.tolist())
    return [d._replace(noise=tuple(next(left) if line else 0.0 for line in d.lines)) for d in documents]


def _fitted(model: Any, rows: Any, noise: Any, weight: Any, which: Any = slice(None)) -> Any:
    return model.fit(rows[which], noise[which], sample_weight=weight[which])


def _words() -> Any:
    from sklearn.feature_extraction.text import HashingVectorizer  # noqa: PLC0415

    words = r"\w+|[^\w\s]"
    return HashingVectorizer(token_pattern=words, ngram_range=(1, 2), n_features=1 << 18)


def _linear(seed: int) -> Any:
    from sklearn.linear_model import SGDClassifier  # noqa: PLC0415

    return SGDClassifier(loss="log_loss", alpha=2e-6, max_iter=6, tol=None, random_state=seed)


def _trees(seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415

    return HistGradientBoostingClassifier(
        max_iter=250, learning_rate=0.08, max_leaf_nodes=31, min_samples_leaf=60, l2_regularization=1.0,
        random_state=seed,
    )  # fmt: skip
