"""Which object of a ledger holds the answer of a key: 16 bytes a call, whatever the answers weigh.

Of a key its first 8 bytes are kept, sorted; whoever reads an answer sees the whole key beside it. The arrays of new
objects are merged into older ones of about their size, so that there are few to search.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

KEY_BYTES = 16
ROW_BITS = 32  # of a place; the bits above number the object

Numbers = npt.NDArray[np.uint64]
Place = tuple[int, int]  # object, row in it


class Index:
    """Places by key. A key that was written twice has two."""

    def __init__(self) -> None:
        self._segments: list[tuple[Numbers, Numbers]] = []  # (first half of keys, sorted; their places), large to small

    def __len__(self) -> int:
        return sum(len(heads) for heads, _ in self._segments)

    @property
    def nbytes(self) -> int:
        return sum(heads.nbytes + places.nbytes for heads, places in self._segments)

    def add(self, keys: dict[int, Numbers]) -> None:
        """The keys of objects by number, as `heads_of` gives them."""
        parts = [(heads, number) for number, heads in keys.items() if len(heads)]
        if not parts:
            return
        heads = np.concatenate([heads for heads, _ in parts])
        places = np.concatenate(
            [np.arange(len(part), dtype=np.uint64) | np.uint64(number << ROW_BITS) for part, number in parts]
        )
        while self._segments and len(self._segments[-1][0]) <= 2 * len(heads):
            before, theirs = self._segments.pop()
            heads, places = np.concatenate([before, heads]), np.concatenate([theirs, places])
        order = np.argsort(heads, kind="stable")
        self._segments.append((heads[order], places[order]))

    def find(self, keys: Sequence[bytes]) -> list[list[Place]]:
        """Where the answer of each key may be: objects and rows, the first written first."""
        found: list[list[Place]] = [[] for _ in keys]
        asked = heads_of(keys)
        for heads, places in self._segments:
            first, last = np.searchsorted(heads, asked, "left"), np.searchsorted(heads, asked, "right")
            for number in np.flatnonzero(last > first).tolist():
                for place in places[first[number] : last[number]].tolist():
                    found[number].append((place >> ROW_BITS, place & ((1 << ROW_BITS) - 1)))
        return found


def heads_of(keys: Iterable[bytes]) -> Numbers:
    """What the index keeps of keys: the first 8 bytes of each as a number."""
    return np.frombuffer(b"".join(keys), ">u8")[::2].astype(np.uint64)


def heads_of_column(keys: pa.ChunkedArray) -> Numbers:
    """The same of a column. `ValueError` if it has no keys of a ledger."""
    if keys.type != pa.binary(KEY_BYTES) or keys.null_count:
        raise ValueError(f"its keys are {keys.type} with {keys.null_count} nulls, a ledger's are {KEY_BYTES} bytes")
    parts = [
        np.frombuffer(chunk.buffers()[1], ">u8")[2 * chunk.offset : 2 * (chunk.offset + len(chunk)) : 2]
        for chunk in keys.chunks
        if len(chunk)
    ]
    return np.concatenate(parts).astype(np.uint64) if parts else np.empty(0, np.uint64)
