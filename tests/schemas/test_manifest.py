"""The commit: rows add up, and a manifest that cannot be trusted says why."""

import dataclasses
import json
from typing import Any

import pytest

from schemas.manifest import Counts, File, Manifest, ManifestError, StageCost, from_json

MANIFEST = Manifest(
    step="filter",
    shard="crawl-1a2b3c4d",
    fingerprint="0123456789abcdef",
    source={"uri": "file:///größe.warc", "start": 0, "stop": None, "size": 7, "etag": "x"},
    files=(File("data/crawl-1a2b3c4d.parquet", 2, 100),),
    counts=Counts(rows_in=4, out=2, dropped={"Pii.none": 1}, dead=1, unreadable=1),
    unreadable=((17, "bad line"),),
    stages={"Pii": StageCost(4, 2, 0.5, 0.4)},
    seconds=1.0,
    cpu_seconds=0.9,
)


def changed(**fields: Any) -> str:
    data = {**json.loads(MANIFEST.to_json()), **fields}
    return json.dumps({name: value for name, value in data.items() if value != "absent"})


def test_counts_add_up_by_reason() -> None:
    a = Counts(rows_in=3, emitted=1, out=2, dropped={"A.x": 1, "B.y": 1}, unreadable=2)
    b = Counts(rows_in=2, dropped={"B.y": 1}, dead=1)
    assert a + b == Counts(5, 1, 2, {"A.x": 1, "B.y": 2}, 1, 2)
    assert a.dropped == {"A.x": 1, "B.y": 1}


def test_missing_rows_are_those_that_came_out_nowhere() -> None:
    assert Counts(rows_in=5, emitted=2, out=3, dropped={"A.x": 2}, dead=1).missing == 1
    assert Counts(rows_in=1, out=2).missing == -1
    assert MANIFEST.counts.missing == 0


def test_costs_add_up() -> None:
    assert StageCost(1, 2, 0.5, 0.25) + StageCost(10, 20, 1.0, 2.0) == StageCost(11, 22, 1.5, 2.25)


def test_manifest_is_read_as_it_was_written() -> None:
    assert from_json(MANIFEST.to_json(), "here") == MANIFEST
    assert from_json(MANIFEST.to_json().encode(), "here") == MANIFEST


def test_what_a_manifest_leaves_out_of_a_count_is_none() -> None:
    counts = {"rows_in": 3, "out": 3, "dropped": {}}
    read = from_json(changed(counts=counts, stages={"Upper": {"rows_in": 3}}), "here")
    assert (read.counts, read.stages) == (Counts(3, 0, 3), {"Upper": StageCost(3)})


def test_what_is_read_is_frozen() -> None:
    read = from_json(MANIFEST.to_json(), "here")
    for part in (read, read.counts, read.files[0], *read.stages.values()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            part.rows_in = 7  # type: ignore[misc,union-attr]


def test_rows_that_do_not_add_up_are_refused_when_read() -> None:
    counts = dataclasses.asdict(dataclasses.replace(MANIFEST.counts, out=1))
    with pytest.raises(ManifestError, match=r"^here: 1 rows went in and came out nowhere$"):
        from_json(changed(counts=counts), "here")


@pytest.mark.parametrize("text", ["", "{", "\x00", "[]", '"x"', "null"])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ManifestError, match=r"^here: not (JSON|an object)"):
        from_json(text, "here")


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(ManifestError) as caught:
        from_json(changed(version=2, shard="absent", colour="red"), "here")
    assert str(caught.value) == ("here: version 2, expected 1; field 'shard' is missing; unknown field 'colour'")


@pytest.mark.parametrize("field", [{"files": [{"name": "x"}]}, {"counts": {"in": 1}}, {"stages": []}, {"files": None}])
def test_fields_of_another_shape_are_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ManifestError, match=r"^here: "):
        from_json(changed(**field), "here")
