"""The index behind a stream: which row has each band. One process holds it, or one shard of it by band."""

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from stages.kernels import seen as kernel

Numbers = npt.NDArray[np.uint32]
MAX_LOAD = 0.75  # of a table's slots; beyond it the table is doubled


class BandIndex:
    """Every band has at most one row. Rows are known by their ids; a row may have any bands, and claim them again.

    Memory: 12 bytes a slot of a table that is between 3/8 and 3/4 full, for each band and once for each row, and the id
    itself with 8 bytes. It holds numbers and bytes alone, no Python object a row.
    """

    def __init__(self) -> None:
        self._bands, self._rows = Slots(), Slots()
        self._names, self._ends, self._count = bytearray(), np.zeros(1024, np.int64), 0

    @property
    def nbytes(self) -> int:
        """Bytes that its tables and ids take."""
        return self._bands.nbytes + self._rows.nbytes + len(self._names) + self._ends.nbytes

    def look(self, bands: Any) -> pa.Array:
        """`bands`, uint64[n] -> the id of the row that has each, or null."""
        found = np.zeros(len(bands), np.uint32)
        kernel.look(self._bands.keys, self._bands.owners, bands, found)
        return self._ids_of(found)

    def claim(self, ids: pa.Array, starts: Any, bands: Any) -> pa.Array:
        """Row k takes bands[starts[k]:starts[k + 1]], in that order, up to the first that another row has.

        The other's id, or null where it got all. What it has got up to there stays its own.
        """
        self._bands.reserve(len(bands))
        lost_to = np.zeros(len(ids), np.uint32)
        numbers = self._numbers_of(ids)
        self._bands.used += kernel.claim(self._bands.keys, self._bands.owners, bands, starts, numbers, lost_to)
        return self._ids_of(lost_to)

    def release(self, ids: pa.Array, starts: Any, bands: Any) -> None:
        """Row k has none of bands[starts[k]:starts[k + 1]] any more."""
        kernel.release(self._bands.keys, self._bands.owners, bands, starts, self._numbers_of(ids))

    def _numbers_of(self, ids: pa.Array) -> Numbers:
        self._rows.reserve(len(ids))
        hashes = pl.Series(ids).hash().to_numpy()
        numbers, last = np.zeros(len(ids), np.uint32), self._count
        self._count = kernel.number(self._rows.keys, self._rows.owners, hashes, last, numbers)
        self._rows.used = self._count
        fresh, at = np.unique(numbers, return_index=True)  # in order of number: each id once
        new = ids.take(pa.array(at[fresh > last])).to_pylist()
        if new:
            self._keep_names([name.encode() for name in new], last)
        return numbers

    def _keep_names(self, names: list[bytes], last: int) -> None:
        while len(self._ends) <= self._count:
            self._ends = np.concatenate([self._ends, np.zeros(len(self._ends), np.int64)])
        self._ends[last + 1 : self._count + 1] = len(self._names) + np.cumsum([len(name) for name in names])
        self._names += b"".join(names)

    def _ids_of(self, numbers: Numbers) -> pa.Array:
        """The ids of rows by number; null for 0."""
        some, at = np.unique(numbers, return_inverse=True)
        names = [self._names[self._ends[n - 1] : self._ends[n]].decode() if n else None for n in some.tolist()]
        return pa.array(names, pa.string()).take(pa.array(at))


class Slots:
    """The two arrays of a table, doubled before they are full."""

    def __init__(self) -> None:
        self.keys, self.owners, self.used = np.zeros(1024, np.uint64), np.zeros(1024, np.uint32), 0

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.owners.nbytes

    def reserve(self, n: int) -> None:
        """Make room for `n` more."""
        size = len(self.keys)
        while self.used + n > size * MAX_LOAD:
            size *= 2
        if size > len(self.keys):
            keys, owners = np.zeros(size, np.uint64), np.zeros(size, np.uint32)
            kernel.refill(self.keys, self.owners, keys, owners)
            self.keys, self.owners = keys, owners
