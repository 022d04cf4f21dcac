"""Spherical k-means on torch: the centroids that semantic dedup cuts a dataset up by.

Lloyd's iterations over vectors of length 1 with cosine similarity, as SemDeDup has them (Abbas et al. 2023, arXiv
2303.09540): a vector goes to the most similar centroid, a centroid to the mean of its vectors, scaled to length 1.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
CELLS = 1 << 24  # similarities in memory at a time: 64 MB


class Fit(NamedTuple):
    """Centroids of length 1 (k, d), how many iterations they took, and the mean similarity of vectors to theirs."""

    centroids: Floats
    iterations: int
    similarity: float


def fit(vectors: Floats, k: int, seed: int = 1, iterations: int = 25, device: str | None = None) -> Fit:
    """`k` centroids of `vectors` (n, d), whose lengths are 1; `device` None is a GPU where there is one, else the CPU.

    Begins with `k` of the vectors, drawn by `seed`, and ends early once no vector changes its centroid. A centroid
    that no vector goes to takes the one that is least similar to its own. The same vectors in the same order give the
    same centroids on one kind of machine; another may round a sum otherwise.
    """
    n = len(vectors)
    if not 1 <= k <= n:
        raise ValueError(f"k-means: {n} vectors cannot have {k} centroids; ask for 1 to {n}, or sample more rows")
    torch = load_torch()
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    start = np.sort(np.random.default_rng(seed).choice(n, k, replace=False))
    with torch.inference_mode():
        points = torch.from_numpy(np.ascontiguousarray(vectors)).to(device)
        centroids = points[torch.from_numpy(start).to(device)].clone()
        nearest, similarity = _assign(torch, points, centroids)
        done = 0
        for done in range(1, iterations + 1):  # noqa: B007 - it is how many there were
            centroids = _means(torch, points, nearest, similarity, k)
            before = nearest
            nearest, similarity = _assign(torch, points, centroids)
            if torch.equal(before, nearest):
                break
        return Fit(centroids.cpu().numpy(), done, float(similarity.double().mean()))


def load_torch() -> Any:
    """The package, imported when it is needed; `ImportError` says how to install it."""
    try:
        import torch  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ImportError("k-means runs on torch, which is not installed: pip install 'headrace[models]'") from error
    return torch


def _assign(torch: Any, points: Any, centroids: Any) -> tuple[Any, Any]:
    """(number of the most similar centroid, the similarity) of every point; of equal ones the first."""
    rows = max(CELLS // len(centroids), 1)
    found = [(points[i : i + rows] @ centroids.T).max(dim=1) for i in range(0, len(points), rows)]
    return torch.cat([best.indices for best in found]), torch.cat([best.values for best in found])


def _means(torch: Any, points: Any, nearest: Any, similarity: Any, k: int) -> Any:
    """The mean direction of each centroid's points. Points are sorted by centroid: their sums have one order."""
    order = torch.argsort(nearest, stable=True)
    counts = torch.bincount(nearest, minlength=k)
    sums = torch.zeros((k, points.shape[1]), dtype=torch.float64, device=points.device)
    rows = max(CELLS // points.shape[1], 1)
    for begin in range(0, len(points), rows):
        mine = order[begin : begin + rows]
        owners, lengths = torch.unique_consecutive(nearest[mine], return_counts=True)
        sums[owners] += torch.segment_reduce(points[mine].double(), "sum", lengths=lengths, axis=0)
    lengths = torch.linalg.vector_norm(sums, dim=1)
    empty = torch.nonzero((counts == 0) | (lengths == 0)).flatten()
    means = (sums / lengths.clamp_min(1e-300)[:, None]).float()
    if len(empty):
        means[empty] = points[torch.argsort(similarity, stable=True)[: len(empty)]]
    return means
