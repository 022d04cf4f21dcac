"""Cosine similarity of many vectors, whose verdicts do not depend on how rows are cut into blocks.

Products of matrices round differently in blocks of another size or shape. What is closer to a border than such a
product can err is computed once more in double precision, pair by pair, where nothing but the two vectors counts.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
BLOCK = 1024  # rows compared with as many at a time
CELLS = 1 << 24  # similarities in memory at a time: 64 MB


def is_vector(type_: pa.DataType) -> bool:
    """True for lists of numbers, of fixed size or not."""
    listed = pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_)
    return bool(listed and (pa.types.is_floating(type_.value_type) or pa.types.is_integer(type_.value_type)))


def matrix(column: pa.ChunkedArray, size: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """(vectors (n, size), whether the row has one of that size): zeros where it has not. A null in one is NaN."""
    values, fits = np.zeros((len(column), size), np.float32), np.zeros(len(column), bool)
    begin = 0
    for chunk in column.chunks:
        mine = pc.equal(pc.list_value_length(chunk), size).fill_null(False)
        numbers = pc.list_flatten(chunk.filter(mine)).cast(pa.float32(), safe=False).fill_null(float("nan"))
        at = mine.to_numpy(zero_copy_only=False)
        values[begin : begin + len(chunk)][at] = numbers.to_numpy(zero_copy_only=False).reshape(-1, size)
        fits[begin : begin + len(chunk)] = at
        begin += len(chunk)
    return values, fits


def unit(vectors: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """(vectors (n, d) scaled to length 1, whether they could be): not if they are zero, or not finite; then zeros."""
    scaled, good = np.zeros_like(vectors), np.zeros(len(vectors), bool)
    for begin in range(0, len(vectors), BLOCK):
        some = slice(begin, begin + BLOCK)
        exact = vectors[some].astype(np.float64)
        length = np.sqrt((exact * exact).sum(axis=1))
        good[some] = np.isfinite(length) & (length > 0)
        np.divide(exact, length[:, None], out=scaled[some], where=good[some][:, None], casting="same_kind")
    return scaled, good


def cosine(a: Floats, b: Floats) -> Doubles:
    """Similarity of each row of `a` (n, d) with the same row of `b`, both of length 1, in double precision."""
    found = np.empty(len(a))
    for begin in range(0, len(a), BLOCK):
        some = slice(begin, begin + BLOCK)
        found[some] = (a[some].astype(np.float64) * b[some].astype(np.float64)).sum(axis=1)
    return found


def nearest(vectors: Floats, centroids: Floats) -> Places:
    """The number of the most similar of `centroids` (k, d) for each of `vectors` (n, d); of equal ones the first."""
    found = np.empty(len(vectors), np.int64)
    rows = max(CELLS // len(centroids), 1)
    for begin in range(0, len(vectors), rows):
        some = vectors[begin : begin + rows]
        products = some @ centroids.T
        best = products.argmax(axis=1)
        close = products >= products[np.arange(len(some)), best][:, None] - 2 * slack(vectors.shape[1])
        unsure = np.flatnonzero(close.sum(axis=1) > 1)
        row, number = np.nonzero(close[unsure])
        exact = np.concatenate([cosine(some[unsure[row[i]]], centroids[number[i]]) for i in _blocks(len(row))])
        order = np.lexsort((number, -exact, row))
        _, first = np.unique(row[order], return_index=True)
        best[unsure] = number[order][first]
        found[begin : begin + rows] = best
    return found


def leaders(vectors: Floats, least: float) -> Places:
    """For each of `vectors` (n, d), the dearest first, the one it is a duplicate of: itself if it stays.

    A vector stays unless its similarity to one before it that stays is above `least`; it is a duplicate of the first
    such. Takes n^2 products at most, BLOCK^2 of them at a time.
    """
    leader = np.full(len(vectors), -1, np.int64)
    kept = np.empty(len(vectors), np.int64)
    n_kept = 0
    for begin in range(0, len(vectors), BLOCK):
        rows = np.arange(begin, min(begin + BLOCK, len(vectors)))
        for first in range(0, n_kept, BLOCK):
            some = kept[first : min(first + BLOCK, n_kept)]
            row, other = _above(vectors[rows], vectors[some], least)
            gone, at = np.unique(row, return_index=True)
            leader[rows[gone]] = some[other[at]]
            rows = np.delete(rows, gone)
        row, other = _above(vectors[rows], vectors[rows], least)
        row, other = row[row < other], other[row < other]
        for group in np.split(np.arange(len(row)), np.flatnonzero(np.diff(row)) + 1) if len(row) else ():
            one = rows[row[group[0]]]
            if leader[one] < 0:
                like = rows[other[group]]
                leader[like[leader[like] < 0]] = one
        rows = rows[leader[rows] < 0]
        leader[rows] = rows
        kept[n_kept : n_kept + len(rows)] = rows
        n_kept += len(rows)
    return leader


def slack(d: int) -> float:
    """What a product of two vectors of length 1 may err in single precision, in whatever order its `d` terms are added.

    d u / (1 - d u) with u = 2^-24 (Higham 2002, 3.1), with room for lengths that are rounded themselves.
    """
    return 2 * d * 2.0**-24


def _above(a: Floats, b: Floats, least: float) -> tuple[Places, Places]:
    """(row of `a`, row of `b`) of the pairs whose similarity is above `least`, in order."""
    products, margin = a @ b.T, slack(a.shape[1])
    row, other = np.nonzero(products > least - margin)
    close = np.flatnonzero(products[row, other] <= least + margin)
    good = np.ones(len(row), bool)
    for i in _blocks(len(close)):
        good[close[i]] = cosine(a[row[close[i]]], b[other[close[i]]]) > least
    return row[good], other[good]


def _blocks(n: int) -> list[Any]:
    """Slices of 0..n, one at least: as many pairs as are gathered at a time."""
    return [slice(begin, begin + BLOCK) for begin in range(0, max(n, 1), BLOCK)]
