"""MinHash signatures: what near-duplicate detection compares instead of texts."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from schemas import columns as c
from stages.stage import Resources, Rows, Transform, at_least, set_columns
from stages.text.buffers import text_buffers
from stages.text.simplify import simplify
from stages.text.words import splitter

MERSENNE = (1 << 61) - 1  # the largest prime below 2^61
LARGEST = (1 << 64) - 1

Numbers = npt.NDArray[np.uint64]
Shingles = Literal["fast", "datatrove_sha1", "datatrove_xxhash"]
HASHES: dict[str, Callable[[bytes], int]] = {
    "datatrove_sha1": lambda shingle: int.from_bytes(hashlib.sha1(shingle).digest()[:8], "little"),
    "datatrove_xxhash": xxhash.xxh64_intdigest,
}


@dataclass(frozen=True)
class MinHashSignature:
    """Add `signature`: for each of num_buckets * hashes_per_bucket permutations, the smallest shingle hash of the text.

    Defaults are FineWeb's (arXiv 2406.17557, appendix; methods 4.9): 14 buckets of 8 over shingles of 5 words; two
    texts of Jaccard similarity s share a bucket with probability 1 - (1 - s^8)^14. The values of bucket k are
    signature[8 * k : 8 * k + 8]. A text of fewer than `n_grams` words has a null signature, as a null text has.

    Permutations are datatrove's: ((x * a + b) mod 2^64) mod (2^61 - 1), a and b drawn by numpy's RandomState(seed).

    `shingles`, how a text becomes the numbers x:

    - `fast`: in one pass over Arrow's bytes. Words are runs of letters, digits and marks, in lower case, each number as
      0, without combining marks; a letter of a script without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) is
      a word by itself. See stages/kernels/fold.py. x is a 64-bit hash of the words.
    - `datatrove_sha1`: as datatrove 0.10.1 with sha1, which FineWeb used: signatures are equal to its own. `simplify`,
      words by the rules of `language`, the first 8 bytes of the SHA-1 of each shingle. About 50 times slower.
    - `datatrove_xxhash`: the same with xxh64, datatrove's default.

    Signatures of different settings cannot be compared.
    """

    n_grams: int = 5
    num_buckets: int = 14
    hashes_per_bucket: int = 8
    seed: int = 1
    shingles: Shingles = "fast"
    language: str = "en"

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.SIGNATURE])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        at_least(self, n_grams=1, num_buckets=1, hashes_per_bucket=1)
        if self.shingles not in get_args(Shingles):
            known = ", ".join(get_args(Shingles))
            raise ValueError(f"MinHashSignature: shingles should be one of {known}, got {self.shingles!r}")

    def open(self) -> Transform:
        sign = self._fast() if self.shingles == "fast" else self._as_datatrove(HASHES[self.shingles])

        def add_signatures(table: pa.Table) -> pa.Table:
            chunks = table.column(c.BODY.name).cast(pa.large_string()).chunks
            return set_columns(table, signature=pa.chunked_array([sign(t) for t in chunks], c.SIGNATURE.type))

        return add_signatures

    def parameters(self) -> tuple[Numbers, Numbers]:
        """The factors a in [1, 2^61 - 1) and the summands b in [0, 2^61 - 1) of the permutations."""
        draw = np.random.RandomState(self.seed)  # datatrove's generator: another would give other signatures
        n = self.num_buckets * self.hashes_per_bucket
        return draw.randint(1, MERSENNE, size=n, dtype=np.uint64), draw.randint(0, MERSENNE, size=n, dtype=np.uint64)

    def _fast(self) -> Callable[[pa.LargeStringArray], pa.ListArray]:
        from stages.kernels.fold import table  # noqa: PLC0415 - numba takes 0.4 s to import
        from stages.kernels.minhash import sign_all  # noqa: PLC0415

        fold, (a, b) = table(), self.parameters()

        def sign(texts: pa.LargeStringArray) -> pa.ListArray:
            data, offsets = text_buffers(texts)
            valid = np.asarray(texts.is_valid())
            signatures = np.empty((len(texts), len(a)), np.uint64)
            sign_all(data, offsets, valid, fold, self.n_grams, a, b, signatures)
            return lists(signatures, valid)

        return sign

    def _as_datatrove(self, hash_of: Callable[[bytes], int]) -> Callable[[pa.LargeStringArray], pa.ListArray]:
        from stages.kernels.minhash import permute  # noqa: PLC0415 - numba takes 0.4 s to import

        (a, b), words_of, n = self.parameters(), splitter(self.language).words, self.n_grams

        def sign(texts: pa.LargeStringArray) -> pa.ListArray:
            valid = np.zeros(len(texts), np.bool_)
            signatures = np.full((len(texts), len(a)), LARGEST, np.uint64)
            for row, text in enumerate(texts.to_pylist()):
                words = [] if text is None else words_of(simplify(text))
                valid[row] = len(words) >= n
                if valid[row]:
                    shingles = (" ".join(words[i : i + n]).encode() for i in range(len(words) - n + 1))
                    hashes = np.fromiter(map(hash_of, shingles), np.uint64)
                    permute(hashes, len(hashes), a, b, signatures[row])
            return lists(signatures, valid)

        return sign


def lists(rows: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> pa.ListArray:
    """The rows of a matrix as lists; null where not `valid`."""
    n = rows.shape[1]
    offsets = np.concatenate(([0], np.cumsum(valid * n))).astype(np.int32)
    values = pa.array(rows[valid].reshape(-1))
    return pa.ListArray.from_arrays(pa.array(offsets), values, type=c.SIGNATURE.type, mask=pa.array(~valid))
