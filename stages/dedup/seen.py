"""Near duplicates in one pass: a row that shares a MinHash band with one seen before leaves the stream.

How rows that are judged at the same time cannot drop one another. Every band has at most one row, and a row stays only
when it has all its bands. It takes them in ascending order, gives them up in descending order, and goes at the first
that another row has: so what a row has is always the beginning of its bands. If X went because Y had band x, Y had all
that it shares with X below x; had Y gone because of X, at y, X would have had all that they share below y, and one of x
and y is the lower. In a longer circle the bands ascend from one row to the next as well, so there is none: whoever a
row went for, and whoever that one went for, the last of them stays.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas import columns as c
from schemas.signature import INDEX
from stages.drop_duplicates import drop_duplicates
from stages.stage import Resources, Rows, Transform, set_columns

Call = tuple[int, str, tuple[Any, ...]]  # shard of the index, method of BandIndex, its arguments
Ask = Callable[[list[Call]], list[Any]]  # calls, which may be carried out at once -> what each returns
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DropSeen:
    """Drop each row that shares one of its `bands` with a row that stayed before it. Reason: `duplicate`.

    `duplicate_of` is the row whose band it met first, by size of band. Read one after the other, the rows that stay are
    those that share no band with an earlier one that stays, whatever `shards` is. Which row comes first is a matter of
    the stream: by several workers, or when shards are read in another order, other rows may stay, and `duplicate_of`
    may name a row that was itself dropped at that moment for another one. Always: no two rows that stay share a band,
    and from every row that is dropped `duplicate_of` leads, in one step or several, to one that stays.

    A row without `bands` stays. Ids are unique: a row never goes for a row of the same id, so that a shard which is
    done again meets its own bands. Rows that a later stage of the step drops or that die there stay seen.
    `shards`: parts that the index is held in, by ranges of bands: actors on Ray.
    """

    shards: int = 4

    reads: ClassVar[pa.Schema] = INDEX
    adds: ClassVar[pa.Schema] = pa.schema([c.DUPLICATE_OF, c.DROP_REASON])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        if not 1 <= self.shards <= 4096:
            raise ValueError(f"DropSeen.shards should be 1 to 4096, got {self.shards}")

    def open(self) -> Transform:
        """With an index of its own, which has seen nothing."""
        parts = [self.new_part() for _ in range(self.shards)]
        return self.open_with(lambda calls: [getattr(parts[part], name)(*values) for part, name, values in calls])

    def open_with(self, ask: Ask) -> Transform:
        """With an index that others use too."""

        def drop_seen(table: pa.Table) -> pa.Table:
            ids, bands = (table.column(name).combine_chunks() for name in (c.ID.name, c.BANDS.name))
            found = pa.array(judge(ids, *bands_of(bands), self.shards, ask), pa.string())
            return drop_duplicates(set_columns(table, duplicate_of=pa.chunked_array([found])))

        return drop_seen

    def new_part(self) -> Any:
        """An empty part of the index."""
        from stages.dedup.band_index import BandIndex  # noqa: PLC0415 - numba takes 0.4 s to import

        return BandIndex()

    def remember(self, part: Any, number: int, table: pa.Table) -> None:
        """Give the `number`-th part of the index its bands of rows that have stayed (a table of `reads`)."""
        ids, bands = (table.column(name).combine_chunks() for name in (c.ID.name, c.BANDS.name))
        values, rows = bands_of(bands)
        here = part_of(values, self.shards) == number
        part.claim(*_by_row(ids, rows[here], values[here]))


def bands_of(bands: pa.Array) -> tuple[npt.NDArray[np.uint64], Ints]:
    """(bands, row of each), both by row and band; each band of a row once."""
    values, rows = pc.list_flatten(bands).to_numpy(), pc.list_parent_indices(bands).to_numpy()
    order = np.lexsort((values, rows))
    values, rows = values[order], rows[order].astype(np.int64)
    first = np.ones(len(values), np.bool_)
    first[1:] = (values[1:] != values[:-1]) | (rows[1:] != rows[:-1])
    return values[first], rows[first]


def part_of(bands: npt.NDArray[np.uint64], parts: int) -> Ints:
    """The part of the index that each band is in; parts ascend with bands."""
    return ((bands >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32)).astype(np.int64)


def judge(ids: pa.Array, bands: npt.NDArray[np.uint64], rows: Ints, parts: int, ask: Ask) -> list[str | None]:
    """The id of the row that each row goes for, or None. `bands` and `rows` as `bands_of` makes them."""
    names = ids.to_numpy(zero_copy_only=False)
    part = part_of(bands, parts)
    inside = [np.flatnonzero(part == number) for number in range(parts)]
    looks: list[Call] = [(number, "look", (bands[at],)) for number, at in enumerate(inside) if len(at)]
    had = np.full(len(bands), None, object)  # the id of whoever has a band
    for (number, _, _), found in zip(looks, ask(looks), strict=True):
        some = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
        had[inside[number][some]] = found.take(pa.array(some)).to_numpy(zero_copy_only=False)
    there = np.flatnonzero(had != np.array(None))
    own = had[there] == names[rows[there]]
    verdict = _settle(names, bands, rows, had, there[~own])
    # An attempt that was cut short may have left bands to a row that goes this time.
    going = {int(row) for row in rows[there[own]] if verdict[row] is not None}
    for number, at in enumerate(inside):
        mine = at[verdict[rows[at]] == np.array(None)]
        if not len(mine):
            continue
        claims = _by_row(ids, rows[mine], bands[mine])
        (lost_to,) = ask([(number, "claim", claims)])
        for k in np.flatnonzero(lost_to.is_valid().to_numpy(zero_copy_only=False)).tolist():
            row = int(rows[mine[claims[1][k]]])
            verdict[row] = lost_to[k].as_py()
            going.add(row)
    if going:
        gone = np.isin(rows, list(going))
        for number, at in reversed(list(enumerate(inside))):  # in descending order, one after the other
            if gone[at].any():
                ask([(number, "release", _by_row(ids, rows[at[gone[at]]], bands[at[gone[at]]]))])
    return list(verdict)


def _settle(names: Any, bands: npt.NDArray[np.uint64], rows: Ints, had: Any, taken_at: Ints) -> Any:
    """The verdict on each row by the bands that others have (`had` at `taken_at`) and by earlier rows of the table."""
    from stages.kernels import seen as kernel  # noqa: PLC0415 - numba takes 0.4 s to import

    size = 1 << max(2 * len(bands), 2).bit_length()
    taken = np.zeros(len(bands), np.bool_)
    taken[taken_at] = True
    some, number = np.unique(names.astype(str), return_inverse=True)
    lost_to, lost_at = np.zeros(len(names), np.uint32), np.full(len(names), -1, np.int64)
    starts = np.searchsorted(rows, np.arange(len(names) + 1))
    numbers = (number + 1).astype(np.uint32)
    empty = np.zeros(size, np.uint64), np.zeros(size, np.uint32)
    kernel.settle(*empty, bands, starts, taken, numbers, lost_to, lost_at)
    verdict = np.full(len(names), None, object)
    inner, outer = lost_to > 0, lost_at >= 0
    verdict[inner] = [str(name) for name in some[lost_to[inner] - 1]]
    verdict[outer] = had[lost_at[outer]]
    return verdict


def _by_row(ids: pa.Array, rows: Ints, bands: Any) -> tuple[pa.Array, Ints, Any]:
    """(ids of the rows, where the bands of each begin, bands), as `BandIndex` takes them."""
    some, starts = np.unique(rows, return_index=True)
    return ids.take(pa.array(some)), np.append(starts, len(rows)), bands
