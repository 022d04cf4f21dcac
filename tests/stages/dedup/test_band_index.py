"""The index of bands: ids in, ids out, whatever the tables behind it do."""

import pickle

import numpy as np
import pyarrow as pa

from stages.dedup.band_index import BandIndex


def claim(index: BandIndex, **rows: list[int]) -> list[str | None]:
    starts = np.cumsum([0, *map(len, rows.values())])
    bands = np.array([band for row in rows.values() for band in row], np.uint64)
    return list(index.claim(pa.array(rows, pa.string()), starts, bands).to_pylist())


def look(index: BandIndex, *bands: int) -> list[str | None]:
    return list(index.look(np.array(bands, np.uint64)).to_pylist())


def test_the_first_has_the_band() -> None:
    index = BandIndex()
    assert claim(index, a=[1, 2], b=[2, 3], c=[3]) == [None, "a", None]
    assert claim(index, d=[9, 1], a=[1, 2]) == ["a", None]  # a once more: it is no duplicate of itself
    assert look(index, 9, 1, 2, 3, 4) == ["d", "a", "a", "c", None]


def test_a_released_band_is_free() -> None:
    index = BandIndex()
    claim(index, a=[1, 2], b=[5])
    index.release(pa.array(["a", "b"]), np.array([0, 2, 3]), np.array([1, 2, 2], np.uint64))
    assert look(index, 1, 2, 5) == [None, None, "b"]


def test_it_grows_with_its_rows() -> None:
    index, empty = BandIndex(), BandIndex().nbytes
    bands = np.arange(7, 7 + 14 * 3000, dtype=np.uint64)
    ids = pa.array([f"row-{i}é" for i in range(3000)])
    for first in range(0, 3000, 500):
        part = slice(14 * first, 14 * (first + 500))
        assert index.claim(ids.slice(first, 500), np.arange(0, 7001, 14), bands[part]).null_count == 500
    assert index.look(bands).to_pylist() == [f"row-{i}é" for i in range(3000) for _ in range(14)]
    assert 65536 * 12 < index.nbytes - empty < 65536 * 12 + 3000 * 60


def test_a_part_can_travel() -> None:
    index = BandIndex()
    claim(index, a=[1])
    assert look(pickle.loads(pickle.dumps(index)), 1) == ["a"]
