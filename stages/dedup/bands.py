"""MinHash bands: what two near-duplicates have in common, and what an index of a dataset keeps of its documents."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from schemas import columns as c
from stages.minhash_signature import MinHashSignature, Shingles, lists
from stages.stage import Resources, Rows, Transform, at_least, set_columns

MOST_HASHES = 10_000  # FineWeb takes 112; each is a pass over the shingles
KIND = b"minhash"  # metadata of the column: how it was made; only bands of one kind can be compared


@dataclass(frozen=True)
class MinHashBands:
    """Add `bands`: hashes of `num_buckets` runs of `hashes_per_bucket` values of the text's MinHash signature.

    Two texts of Jaccard similarity s share one of them with probability 1 - (1 - s^8)^14. Defaults are FineWeb's
    (arXiv 2406.17557; methods 4.9): 14 of 8, over shingles of 5 words, so that half of the pairs of similarity 0.72
    are found and 99.96 % of those of 0.9. `threshold`: datasketch's optimiser shares those 112 permutations out so that
    pairs above that similarity are found and others are not. A text of fewer than `n_grams` words has null.

    `shingles`, `seed` and `language` as in `MinHashSignature`. 112 bytes a row.
    """

    n_grams: int = 5
    num_buckets: int = 14
    hashes_per_bucket: int = 8
    threshold: float | None = None
    seed: int = 1
    shingles: Shingles = "fast"
    language: str = "en"

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise ValueError(f"MinHashBands.threshold should be between 0 and 1, got {self.threshold}")
        at_least(self, num_buckets=1, hashes_per_bucket=1)
        if self.num_buckets * self.hashes_per_bucket > MOST_HASHES:
            n = self.num_buckets * self.hashes_per_bucket
            raise ValueError(f"MinHashBands: num_buckets x hashes_per_bucket should be {MOST_HASHES} at most, got {n}")
        if not 0 <= self.seed < 1 << 32:
            raise ValueError(f"MinHashBands.seed should be from 0 to 2**32 - 1, got {self.seed}")
        _ = self.signature  # says what is wrong with the rest

    @cached_property
    def layout(self) -> tuple[int, int]:
        """(bands, values in each)."""
        if self.threshold is None:
            return self.num_buckets, self.hashes_per_bucket
        return best_layout(self.threshold, self.num_buckets * self.hashes_per_bucket)

    @cached_property
    def signature(self) -> MinHashSignature:
        """The stage that makes the signatures."""
        bands, rows = self.layout
        return MinHashSignature(self.n_grams, bands, rows, self.seed, self.shingles, self.language)

    @cached_property
    def kind(self) -> str:
        """How the bands are made: only those of one kind can be compared."""
        bands, rows = self.layout
        words = f"{self.shingles}" if self.shingles == "fast" else f"{self.shingles} ({self.language})"
        return f"{bands} bands of {rows}, shingles of {self.n_grams} words, {words}, seed {self.seed}, version 1"

    @property
    def adds(self) -> pa.Schema:
        return pa.schema([c.BANDS.with_metadata({**c.BANDS.metadata, KIND: self.kind.encode()})])

    def open(self) -> Transform:
        from stages.kernels.minhash import hash_bands  # noqa: PLC0415 - numba takes 0.4 s to import

        sign, (bands, rows) = self.signature.open(), self.layout

        def hashes(signatures: pa.Array) -> pa.Array:
            valid = signatures.is_valid().to_numpy(zero_copy_only=False)
            values = signatures.flatten().to_numpy().reshape(-1, bands * rows)
            found = np.zeros((len(signatures), bands), np.uint64)
            some = np.empty((len(values), bands), np.uint64)
            hash_bands(values, rows, some)
            found[valid] = some
            return lists(found, valid)

        def add_bands(table: pa.Table) -> pa.Table:
            signed = sign(table.select([c.BODY.name])).column(c.SIGNATURE.name)
            return set_columns(table, bands=pa.chunked_array(map(hashes, signed.chunks), c.BANDS.type))

        return add_bands


def best_layout(threshold: float, permutations: int) -> tuple[int, int]:
    """(bands, values in each) for `threshold`, by datasketch's optimiser: both kinds of error weigh the same."""
    from datasketch import MinHashLSH  # noqa: PLC0415 - only whoever wishes a threshold needs it

    chosen: Any = MinHashLSH(threshold=threshold, num_perm=permutations)
    return int(chosen.b), int(chosen.r)
