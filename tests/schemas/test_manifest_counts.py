"""What a manifest counts is looked at twice, quickly and with names: both say the same of whatever JSON can hold."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.manifest import Counts, File, Manifest, StageCost, _counts_well, _no_counts

DATA: dict[str, Any] = {
    "files": [{"path": "data/a.parquet", "rows": 2, "bytes": 100}, {"path": "dead/a.parquet", "rows": 1, "bytes": 9}],
    "counts": {"rows_in": 4, "emitted": 0, "out": 2, "dropped": {"Pii.none": 1}, "dead": 1, "unreadable": 0},
    "stages": {"Pii": {"rows_in": 4, "rows_out": 2, "seconds": 0.5, "cpu_seconds": 0}},
    "seconds": 1,
    "cpu_seconds": 0.9,
}
VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just([1]) | st.just({"a": 1})
)


def places(data: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of every count and time, and of the counts by reason as a whole."""
    if at[-1:] == ("dropped",) or isinstance(data, int | float):
        yield at
    below = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in below:
        yield from places(value, (*at, key))


def with_value(place: tuple[Any, ...], value: Any) -> Manifest:
    data = deepcopy(DATA)
    holder: Any = data
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    parts = {
        "files": tuple(File(**file) for file in data["files"]),
        "counts": Counts(**data["counts"]),
        "stages": {name: StageCost(**cost) for name, cost in data["stages"].items()},
    }
    return Manifest(**{"step": "s", "shard": "a", "fingerprint": "f", "source": {}, "unreadable": (), **data, **parts})


@given(st.sampled_from([*places(DATA)]), VALUES)
def test_quick_look_at_counts_finds_what_the_other_names(place: tuple[Any, ...], value: Any) -> None:
    manifest = with_value(place, value)
    assert _counts_well(manifest) == (not [*_no_counts(manifest)])


def test_every_count_is_looked_at() -> None:
    assert all([*_no_counts(with_value(place, "3"))] for place in places(DATA))
