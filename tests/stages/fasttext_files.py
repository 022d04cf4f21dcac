"""Small fastText classifiers with random weights, in its own file format."""

import struct
from pathlib import Path

import numpy as np

HIERARCHICAL_SOFTMAX, SOFTMAX = 1, 3


def write_classifier(
    path: Path, words: list[str], labels: list[str], loss: int, *, dim: int = 6, buckets: int = 97
) -> Path:
    """A dense supervised model of 2- to 4-grams of characters; `labels` without their prefix."""
    rng = np.random.default_rng(3)
    entries = [*((word, 0) for word in words), *((f"__label__{label}", 1) for label in labels)]
    parts = [struct.pack("<ii", 793712314, 12)]
    parts.append(struct.pack("<12id", dim, 5, 5, 1, 5, 1, loss, 3, buckets, 2, 4, 100, 1e-4))
    parts.append(struct.pack("<iiiqq", len(entries), len(words), len(labels), 1000, -1))
    for count, (name, kind) in enumerate(entries):
        parts.append(name.encode() + b"\0" + struct.pack("<qb", 1000 - count, kind))
    for n_rows in (len(words) + buckets, len(labels)):
        rows = rng.normal(0, 3, (n_rows, dim)).astype("<f4")
        parts.append(b"\0" + struct.pack("<qq", n_rows, dim) + rows.tobytes())
    path.write_bytes(b"".join(parts))
    return path
