"""The contract: what a stage is, what a source is, and how both are checked before anything runs.

A stage is a frozen dataclass whose fields are its settings, with four class facts and one method. It has no base
class: anything of this shape is a stage.

    @dataclass(frozen=True)
    class Upper:
        reads: ClassVar[pa.Schema] = pa.schema([columns.BODY])
        adds: ClassVar[pa.Schema] = pa.schema([columns.BODY])
        rows: ClassVar[Rows] = "same"
        resources: ClassVar[Resources] = Resources()

        def open(self) -> Transform:
            return lambda table: ...
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, Literal, Protocol, runtime_checkable

import pyarrow as pa

from schemas import columns
from schemas.check import SchemaError, missing

Rows = Literal["same", "any"]
Transform = Callable[[pa.Table], pa.Table]


# Columns that stages append to, so that one of the input's own by that name is in the way.
APPENDED = (columns.EDITS.name, columns.ANSWERS.name, columns.PARENTS.name)

# Metadata of a field that says how a stage is carried out, not what it makes: it is no part of the stage's identity.
EXECUTION = {"execution": True}


@dataclass(frozen=True)
class Resources:
    """What one worker of a stage takes. Never probed from the machine: the same recipe gives the same plan anywhere.

    `tables`: how many tables a worker has in work at one time. More than one needs a transform that threads may share:
    a model server is kept busy while the last answers of a table are still on their way.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    memory_gb: float = 2.0
    tables: int = 1


@runtime_checkable
class Stage(Protocol):
    """Table in, table out. Settings are the fields; `open` runs once per worker and returns a pure function.

    `rows == "same"`: the function returns the same rows in the same order. `"any"`: new rows carry `parents`.
    A stage never deletes a row: it fills `drop_reason` (null keeps the row) and the runner moves it out.
    A stage that knows which row failed fills `error`; anything it raises is bisected to the row by the runner.
    A stage whose results changed without a setting changing sets a class fact `version` (default 1).
    """

    @property
    def reads(self) -> pa.Schema: ...  # a class fact, unless it depends on the settings

    @property
    def adds(self) -> pa.Schema: ...

    rows: ClassVar[Rows]

    @property
    def resources(self) -> Resources: ...  # a class fact, unless it depends on the engine

    def open(self) -> Transform: ...


@dataclass(frozen=True)
class Piece:
    """What a source is asked to read: a file, or the part [start, stop) of it in the source's own unit.

    The unit is bytes of the stored file for archives and JSON lines, row groups for Parquet. `stop` None is the end.
    """

    uri: str
    start: int = 0
    stop: int | None = None


def byte_ranges(uri: str, size: int, n: int) -> list[Piece]:
    """A file of `size` bytes in `n` pieces of about the same size."""
    cuts = [size * i // n for i in range(n)]
    return [Piece(uri, start, stop) for start, stop in zip(cuts, [*cuts[1:], None], strict=True)]


@dataclass(frozen=True)
class Unreadable:
    """A part of a file that could not become a row: where it was (unit of `Piece`) and why."""

    offset: int
    error: str


class StageError(RuntimeError):
    """The stage itself cannot work, whatever the row: no row is to blame, and the run ends."""


class WorkerBrokenError(RuntimeError):
    """What the stage holds in this process is dead for good (an engine, a device): only a new process helps.

    On Ray the worker ends and its table is sent to another; in one process the run fails.
    """


Read = Callable[[BinaryIO, Piece], Iterator[pa.Table | Unreadable]]


@runtime_checkable
class Source(Protocol):
    """The one variation of a stage: its opened form takes an open, seekable binary file and yields tables.

    Every record that should be a row becomes one (with `drop_reason` if the source rejects it) or an `Unreadable`.
    `split` cuts a file of `size` bytes into pieces; it may read the file's own index (a Parquet footer), not its data.
    `schema` is what its tables have; it may read the file's header (Parquet) but not its data.
    """

    resources: ClassVar[Resources]

    def split(self, file: BinaryIO, uri: str, size: int) -> list[Piece]: ...

    def schema(self, file: BinaryIO, uri: str) -> pa.Schema: ...

    def open(self) -> Read: ...


def name_of(stage: object) -> str:
    """The stage's name: its class name."""
    return type(stage).__name__


def at_least(stage: object, **least: float) -> None:
    """Raise `ValueError` that tells all settings that are less than this; null is not."""
    given = {name: getattr(stage, name) for name in least}
    low = [name for name, value in given.items() if value is not None and not value >= least[name]]
    if low:
        said = (f"{name_of(stage)}.{name} should be at least {least[name]}, got {given[name]}" for name in low)
        raise ValueError("; ".join(said))


def settings_of(stage: Any) -> dict[str, Any]:
    """The settings that a stage's results depend on, as plain data, in the order they are declared."""
    return {
        f.name: _plain(getattr(stage, f.name)) for f in dataclasses.fields(stage) if not f.metadata.get("execution")
    }


def execution_of(stage: Any) -> dict[str, Any]:
    """The settings that say how a stage is carried out, as plain data."""
    return {f.name: _plain(getattr(stage, f.name)) for f in dataclasses.fields(stage) if f.metadata.get("execution")}


def identity(stage: Any) -> dict[str, Any]:
    """What makes this stage's results what they are: class path, version, settings. Execution is not part of it."""
    cls = type(stage)
    return {
        "stage": f"{cls.__module__}.{cls.__qualname__}",
        "version": getattr(cls, "version", 1),
        "settings": settings_of(stage),
    }


def fingerprint(value: Any) -> str:
    """16 hex digits of the SHA-256 of plain data as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def walk(stages: tuple[Stage, ...], schema: pa.Schema) -> tuple[pa.Schema, list[str]]:
    """Follow `schema` through `stages`; return the schema behind the last and every fault met on the way."""
    faults: list[str] = []
    for stage in stages:
        faults += missing(schema, stage.reads, name_of(stage))
        for field in stage.adds:
            if field.name in APPENDED and field.name in schema.names and schema.field(field.name).type != field.type:
                there = schema.field(field.name).type
                faults.append(
                    f"{name_of(stage)} appends to {field.name!r}, which is {there} in the input: rename it there"
                )
            if field.name in schema.names:
                schema = schema.set(schema.get_field_index(field.name), field)
            else:
                schema = schema.append(field)
        if stage.rows == "any" and columns.PARENTS.name not in schema.names:
            faults.append(f"{name_of(stage)} makes new rows but neither it nor an earlier stage adds 'parents'")
    return schema, faults


def check(stages: tuple[Stage, ...], schema: pa.Schema) -> pa.Schema:
    """The schema behind the last stage, or one `SchemaError` with every fault."""
    result, faults = walk(stages, schema)
    if faults:
        raise SchemaError("; ".join(faults))
    return result


def set_columns(table: pa.Table, **values: pa.Array | pa.ChunkedArray) -> pa.Table:
    """`table` with each named column of `schemas.columns` set to `values` (appended, or replaced in place)."""
    for name, array in values.items():
        field = columns.ERROR if name == columns.ERROR.name else columns.ALL[name]
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), field, array)
        else:
            table = table.append_column(field, array)
    return table


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list | frozenset | set):
        items = [_plain(v) for v in value]
        return sorted(items, key=repr) if isinstance(value, frozenset | set) else items
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return settings_of(value)
    return value
