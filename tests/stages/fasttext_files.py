"""Small fastText models with random weights, in its own file format: every loss, dense and compressed."""

import struct
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

HIERARCHICAL_SOFTMAX, NEGATIVE_SAMPLING, SOFTMAX, ONE_VS_ALL = 1, 2, 3, 4
SKIPGRAM, SUPERVISED = 2, 3
Compressed = Literal["no", "rows", "norms", "pruned", "outputs"]


def write_classifier(
    path: Path,
    words: list[str],
    labels: list[str],
    loss: int,
    *,
    dim: int = 6,
    buckets: int = 97,
    compressed: Compressed = "no",
    word_ngrams: int = 1,
    kind: int = SUPERVISED,
) -> Path:
    """A model of 2- to 4-grams of characters; `labels` without their prefix.

    `compressed`: product-quantized rows, also with their norms apart, or of every other bucket, or outputs too.
    """
    rng = np.random.default_rng(3)
    entries = [*((word, 0) for word in words), *((f"__label__{label}", 1) for label in labels)]
    kept = np.arange(0, buckets, 2) if compressed == "pruned" else None
    parts = [struct.pack("<ii", 793712314, 12)]
    parts.append(struct.pack("<12id", dim, 5, 5, 1, 5, word_ngrams, loss, kind, buckets, 2, 4, 100, 1e-4))
    parts.append(struct.pack("<iiiqq", len(entries), len(words), len(labels), 1000, -1 if kept is None else len(kept)))
    for count, (name, entry) in enumerate(entries):
        parts.append(name.encode() + b"\0" + struct.pack("<qb", 1000 - count, entry))
    if kept is not None:
        parts.append(np.stack([kept, np.arange(len(kept))], 1).astype("<i4").tobytes())
    n_rows = len(words) + (buckets if kept is None else len(kept))
    parts.append(_matrix(rng, n_rows, dim, compressed != "no", compressed == "norms"))
    parts.append(_matrix(rng, len(labels), dim, compressed == "outputs", False))
    path.write_bytes(b"".join(parts))
    return path


def _matrix(rng: np.random.Generator, n_rows: int, dim: int, quantized: bool, norms: bool) -> bytes:
    if not quantized:
        return b"\0" + struct.pack("<qq", n_rows, dim) + _floats(rng, n_rows * dim)
    width = 4
    n_parts = -(-dim // width)
    codes = _codes(rng, n_rows * n_parts)
    head = struct.pack("<??qqi", True, norms, n_rows, dim, len(codes))
    parts = [head, codes, struct.pack("<4i", dim, n_parts, width, dim - width * (n_parts - 1)), _floats(rng, dim * 256)]
    if norms:
        parts += [_codes(rng, n_rows), struct.pack("<4i", 1, 1, 1, 1), _floats(rng, 256)]
    return b"".join(parts)


def _floats(rng: np.random.Generator, n: int) -> bytes:
    values: npt.NDArray[np.float32] = rng.normal(0, 3, n).astype("<f4")
    return values.tobytes()


def _codes(rng: np.random.Generator, n: int) -> bytes:
    return rng.integers(0, 256, n, dtype=np.uint8).tobytes()
