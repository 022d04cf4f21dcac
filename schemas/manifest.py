"""The manifest: one small JSON object per finished shard. Its existence is the commit.

A reader inside headrace reads only the files that manifests name. Every count needed to account for the rows of a
shard is in it: rows_in + emitted == out + sum(dropped) + dead, checked before it is written and again when read.
"""

import dataclasses
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

VERSION = 1
SHARD = re.compile(r"[A-Za-z0-9_-]{1,255}")  # it names files: nothing in it leads out of the step's folder
PARTS = ("data", "removed", "dead")
MAX_LISTED = 100  # unreadable pieces that a manifest lists by offset; all are counted


class ManifestError(ValueError):
    """A manifest that cannot be trusted; the message lists every fault."""


@dataclass(frozen=True)
class Counts:
    """The account of one shard, or of many added up. Unit: rows; `unreadable` counts pieces of input."""

    rows_in: int = 0
    emitted: int = 0
    out: int = 0
    dropped: dict[str, int] = field(default_factory=dict)  # "<stage>.<reason>": rows
    dead: int = 0
    unreadable: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        dropped = dict(self.dropped)
        for reason, rows in other.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + rows
        return Counts(
            self.rows_in + other.rows_in,
            self.emitted + other.emitted,
            self.out + other.out,
            dropped,
            self.dead + other.dead,
            self.unreadable + other.unreadable,
        )

    @property
    def missing(self) -> int:
        """Rows that went in and came out nowhere; 0 when the account is closed."""
        return self.rows_in + self.emitted - self.out - sum(self.dropped.values()) - self.dead


@dataclass(frozen=True)
class StageCost:
    """What one stage did on a shard. `seconds` wall, `cpu_seconds` of the worker and its child processes."""

    rows_in: int = 0
    rows_out: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __add__(self, other: "StageCost") -> "StageCost":
        return StageCost(
            self.rows_in + other.rows_in,
            self.rows_out + other.rows_out,
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
        )


@dataclass(frozen=True)
class File:
    """A file of the shard: its path below the step's folder, e.g. `data/<shard>.parquet`; rows; bytes."""

    path: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What a finished shard leaves behind."""

    step: str
    shard: str
    fingerprint: str  # of the step: source, stages, settings, versions
    source: dict[str, Any]  # the input piece: uri, start, stop, and the input's size and etag
    files: tuple[File, ...]
    counts: Counts
    unreadable: tuple[tuple[int, str], ...]  # (offset, error) of the first MAX_LISTED unreadable pieces
    stages: dict[str, StageCost]  # by stage name, in the order of the step
    seconds: float
    cpu_seconds: float
    version: int = VERSION

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, indent=1)


Plain = TypeVar("Plain", File, Counts, StageCost)
FIELDS: dict[Any, frozenset[str]] = {
    kind: frozenset(field.name for field in dataclasses.fields(kind)) for kind in (File, Counts, StageCost)
}
NAMES = frozenset(field.name for field in dataclasses.fields(Manifest))


def from_json(text: str | bytes, where: str) -> Manifest:
    """Read a manifest; raise `ManifestError` that names `where` and every fault."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{where}: not JSON: {error}") from error
    return from_data(data, where)


def from_data(data: Any, where: str) -> Manifest:
    """The manifest that JSON has been parsed to; raise `ManifestError` that names `where` and every fault."""
    faults = [] if isinstance(data, dict) else ["not an object"]
    if not faults and (data.get("version") != VERSION or data.keys() != NAMES):
        if data.get("version") != VERSION:
            faults.append(f"version {data.get('version')!r}, expected {VERSION}")
        faults += [f"field {name!r} is missing" for name in sorted(NAMES - data.keys())]
        faults += [f"unknown field {name!r}" for name in sorted(data.keys() - NAMES)]
    if faults:
        raise ManifestError(f"{where}: " + "; ".join(faults))
    try:
        manifest = Manifest(
            **{
                **data,
                "files": tuple(_made(File, file) for file in data["files"]),
                "counts": _made(Counts, data["counts"]),
                "unreadable": tuple((int(offset), str(error)) for offset, error in data["unreadable"]),
                "stages": {name: _made(StageCost, cost) for name, cost in data["stages"].items()},
            }
        )
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise ManifestError(f"{where}: {error}") from error
    if faults := [*_out_of_place(manifest), *([] if _counts_well(manifest) else _no_counts(manifest))]:
        raise ManifestError(f"{where}: " + "; ".join(faults))
    if manifest.counts.missing:
        raise ManifestError(f"{where}: {manifest.counts.missing} rows went in and came out nowhere")
    return manifest


def _made(kind: type[Plain], said: Any) -> Plain:
    """`kind(**said)` in a third of its time: what is frozen sets each field by a call, of a million at times."""
    if type(said) is not dict or said.keys() != FIELDS[kind]:
        return kind(**said)
    made = object.__new__(kind)
    vars(made).update(said)
    return made


def _out_of_place(manifest: Manifest) -> Iterator[str]:
    """Names that are not those of this shard's files: readers open what a manifest names, a replay deletes it."""
    shard: Any = manifest.shard  # whatever JSON can hold
    source: Any = manifest.source
    if not isinstance(shard, str) or not SHARD.fullmatch(shard):
        yield f"shard {shard!r} is no name of a shard"
        return
    own = [f"{part}/{shard}.parquet" for part in PARTS]
    yield from (f"file {f.path!r} is none of {', '.join(own)}" for f in manifest.files if f.path not in own)
    if not isinstance(source, dict):
        yield f"source {source!r} is not an object"
    elif "replays" in source and not (isinstance(source["replays"], str) and SHARD.fullmatch(source["replays"])):
        yield f"source.replays {source['replays']!r} is no name of a shard"


def _counts_well(manifest: Manifest) -> bool:
    """Whether `_no_counts` would find nothing, at a tenth of its time: a run may begin with 90,000."""
    counts, dropped = vars(manifest.counts), manifest.counts.dropped
    if type(dropped) is not dict:
        return False
    whole = [n for name, n in counts.items() if name != "dropped"]
    whole += dropped.values()
    times = [manifest.seconds, manifest.cpu_seconds]
    for file in manifest.files:
        whole += (file.rows, file.bytes)
    for cost in manifest.stages.values():
        times += vars(cost).values()
    return {*map(type, whole)} == {int} and {*map(type, times)} <= {int, float}


def _no_counts(manifest: Manifest) -> Iterator[str]:
    """What should be a number and is none."""
    counts = {f"counts.{name}": n for name, n in vars(manifest.counts).items() if name != "dropped"}
    dropped: Any = manifest.counts.dropped
    if not isinstance(dropped, dict):
        yield f"counts.dropped {dropped!r} is not an object"
    else:
        counts |= {f"counts.dropped.{name}": n for name, n in dropped.items()}
    for file in manifest.files:
        counts |= {f"rows of {file.path}": file.rows, f"bytes of {file.path}": file.bytes}
    yield from (f"{name} {n!r} is no whole number" for name, n in counts.items() if type(n) is not int)
    times = {"seconds": manifest.seconds, "cpu_seconds": manifest.cpu_seconds}
    for stage, cost in manifest.stages.items():
        times |= {f"stages.{stage}.{name}": n for name, n in vars(cost).items()}
    yield from (f"{name} {n!r} is no number" for name, n in times.items() if type(n) not in (int, float))
