"""How varied texts are among themselves: AgoraBench's diversity (arXiv 2412.03679), by words and by vectors.

It is a measure over rows, so it is no stage: the report takes it of the rows it reads. A document here is what rows
were made from; texts made from one of them share more than texts made from two.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.text.scripts import UNSPACED

Ints = npt.NDArray[np.int64]
LENGTHS = (1, 2, 3, 4)  # of the n-grams
WORD = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])\w)+")


@dataclass(frozen=True)
class NGrams:
    """N-grams of words, whatever their case, over some rows.

    `distinct` of `total`: Distinct-n (Li et al. 2016, arXiv 1510.03055). `overlap`: of a row's different n-grams, those
    that another row has too; `overlap_document`: that another row of the same document has. Both are means over rows
    that have n-grams, and another row to share them with; None where there is none.
    """

    n: int
    total: int
    distinct: int
    overlap: float | None
    overlap_document: float | None

    @property
    def share(self) -> float | None:
        return self.distinct / self.total if self.total else None


@dataclass(frozen=True)
class Spread:
    """Mean cosine similarity of two rows' vectors: of any two, and of two of the same document; None without such."""

    rows: int
    similarity: float | None
    similarity_document: float | None


def ngrams(texts: Sequence[str], documents: Sequence[str]) -> tuple[NGrams, ...]:
    """The n-grams of every one of `LENGTHS`; `documents` names the document of each text."""
    row, codes = _words(texts)
    document = _numbered(documents)
    words, vocabulary = codes, int(codes.max(initial=-1)) + 1
    found = [_measured(1, row, codes, document)]
    for n in LENGTHS[1:]:
        inside = row[n - 1 :] == row[: len(row) - n + 1]  # the n-gram that begins here does not leave its row
        # Codes of n - 1 words and one word more, as one number; then numbered anew, so that they stay small.
        longer = codes[: len(inside)] * vocabulary + words[n - 1 :]
        _, codes = np.unique(longer, return_inverse=True)
        starts = row[: len(inside)]
        found.append(_measured(n, starts[inside], codes[inside], document))
    return tuple(found)


def spread(vectors: npt.NDArray[np.float32], documents: Sequence[str]) -> Spread:
    """Of one vector a row; they are brought to length 1, zeros and what is no number do not count."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1) if len(vectors) else np.zeros(0)
    good = np.isfinite(lengths) & (lengths > 0)
    units = vectors[good].astype(np.float64) / lengths[good, None]
    groups = _numbered([name for name, use in zip(documents, good, strict=True) if use])
    sums = np.zeros((int(groups.max(initial=-1)) + 1, vectors.shape[1] if vectors.ndim == 2 else 0))
    np.add.at(sums, groups, units)
    sizes = np.bincount(groups).astype(np.float64)
    return Spread(
        len(units),
        _pairwise(units.sum(axis=0, keepdims=True), np.array([float(len(units))])),
        _pairwise(sums, sizes),
    )


def _pairwise(sums: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64]) -> float | None:
    """The mean product of two vectors of one group, by the groups' sums: the squared sum has each pair twice."""
    pairs = float((sizes * (sizes - 1)).sum())
    return float(((sums**2).sum() - sizes.sum()) / pairs) if pairs else None


def _words(texts: Sequence[str]) -> tuple[Ints, Ints]:
    """The row and the number of each word of all texts, one after the other."""
    numbers: dict[str, int] = {}
    codes: list[int] = []
    sizes: list[int] = []
    for text in texts:
        words = WORD.findall(text.casefold())
        codes.extend(numbers.setdefault(word, len(numbers)) for word in words)
        sizes.append(len(words))
    return np.repeat(np.arange(len(sizes)), sizes), np.array(codes, np.int64)


def _numbered(names: Sequence[str]) -> Ints:
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)


def _measured(n: int, row: Ints, code: Ints, document: Ints) -> NGrams:
    """Of the n-grams `code` in rows `row`."""
    most = int(code.max(initial=-1)) + 1
    once = np.unique(row * most + code) if most else np.zeros(0, np.int64)  # each n-gram once a row
    rows, codes = (once // most, once % most) if most else (once, once)
    everywhere = _shared(rows, codes, np.zeros(len(document), np.int64), most)
    at_home = _shared(rows, codes, document, most)
    return NGrams(n, len(code), len(np.unique(codes)), everywhere, at_home)


def _shared(rows: Ints, codes: Ints, group: Ints, most: int) -> float | None:
    """The mean over rows of the share of n-grams that another row of the row's group has."""
    of_group = group[rows] * most + codes
    _, place, times = np.unique(of_group, return_inverse=True, return_counts=True)
    sizes = np.bincount(rows, minlength=len(group))
    company = np.bincount(group, minlength=1)[group] > 1 if len(group) else np.zeros(0, bool)
    shares = np.bincount(rows, weights=times[place] > 1, minlength=len(group))[company & (sizes > 0)]
    return float((shares / sizes[company & (sizes > 0)]).mean()) if len(shares) else None
