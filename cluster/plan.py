"""Recipe and inputs to a checked plan. Pure but for reading the inputs' headers; nothing is written, nothing starts.

Everything that can be known to be wrong is found here and told at once.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.barrier import Linking, Moving, Particular, Shuffle, Spreading
from cluster.errors import ConfigError
from cluster.layout import VERSION as LAYOUT
from cluster.recipe import Recipe, Step
from cluster.seen.remember import Ask, Remembering
from cluster.shards import OPEN_AT_ONCE, InputFile, Shard, list_inputs, make_shards
from cluster.signals.log import TEXT, Log
from cluster.storage import open_input
from schemas import columns, document
from schemas.check import SchemaError, missing, nearest
from stages.stage import Piece, Resources, Source, Stage, Unreadable, fingerprint, identity, name_of, walk

LIGHT = Resources(cpus=2.0, memory_gb=8.0)  # what a worker may take that there are as many of as there is room for


@dataclass(frozen=True)
class Group:
    """Stages that follow one another and run in one worker, with what such a worker takes."""

    stages: tuple[Stage, ...]
    resources: Resources


@dataclass(frozen=True)
class PlannedStep:
    """A step whose schema and identity are known. Small and picklable: it is what workers get."""

    step: Step
    schema: pa.Schema  # of the rows behind the last stage, transient columns included
    groups: tuple[Group, ...]
    identity: dict[str, Any]
    known: tuple[InputFile, ...] = ()  # the index of its shuffle: rows of earlier runs
    ask: Ask | None = None  # the index that its workers share while it runs
    ledger: str | None = None  # where the answers are that its stages pay for
    log: Log = TEXT  # how its workers write theirs
    stuck_after: float | None = None  # seconds in which a worker tells nothing, until it is ended

    @property
    def name(self) -> str:
        return self.step.name

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.identity)


@dataclass(frozen=True)
class Plan:
    """A recipe over inputs: its steps, and the shards of the first; later steps follow their upstream's shards."""

    recipe: Recipe
    steps: tuple[PlannedStep, ...]
    inputs: tuple[InputFile, ...]
    shards: tuple[Shard, ...]


def make_plan(recipe: Recipe, inputs: tuple[InputFile, ...]) -> Plan:
    """Check `recipe` against `inputs`. `ConfigError` lists every fault: schema, shuffles, unreadable or empty input."""
    if recipe.steps[0].after is not None:
        raise ConfigError(
            f"recipe {recipe.name}: its first step reads step {recipe.steps[0].after!r}, which is not there"
        )
    shards, read_schema = _first_rows(recipe.steps[0].source, inputs)
    faults: list[str] = []
    steps: dict[str, PlannedStep] = {}
    for step in recipe.steps:
        if step.after is not None and step.after not in steps:
            hint = nearest(step.after, list(steps))
            raise ConfigError(f"step {step.name} reads step {step.after!r}, which does not come before it{hint}")
        upstream = steps[step.after] if step.after is not None else None
        schema = document.written(upstream.schema) if upstream else read_schema
        steps[step.name], wrong = plan_step(step, schema, upstream, inputs)
        faults += [f"step {step.name}: {fault}" for fault in wrong]
    if faults:
        raise ConfigError("\n".join(faults))
    return Plan(recipe, tuple(steps.values()), inputs, shards)


def plan_step(
    step: Step, schema: pa.Schema, upstream: PlannedStep | None, inputs: tuple[InputFile, ...]
) -> tuple[PlannedStep, list[str]]:
    """Walk the schema of one step and fix its identity; return it with every fault found."""
    faults = missing(schema, document.ROW, f"step {step.name}")
    known: tuple[InputFile, ...] = ()
    if step.shuffle is not None:
        known, wrong = _known(step.shuffle)
        faults += wrong + _shuffle_faults(step, step.shuffle, schema, known)
        for field in step.shuffle.adds:
            schema = schema.append(field) if field.name not in schema.names else schema
    behind, wrong = walk(step.stages, schema)
    wrong += _index_faults(step)
    origin = upstream.fingerprint if upstream else fingerprint(sorted((f.uri, f.size, f.etag) for f in inputs))
    what = {
        "layout": LAYOUT,
        "source": identity(step.source),
        "from": origin,
        "shuffle": identity(step.shuffle) if step.shuffle else None,
        "stages": [identity(stage) for stage in step.stages],
    }
    if known:
        what["known"] = fingerprint(sorted((f.uri, f.size, f.etag) for f in known))
    planned = PlannedStep(step, behind, _groups(step), what, known)
    return planned, faults + wrong


def _index_faults(step: Step) -> list[str]:
    """What is wrong with the index that a stage shares with others: there are two."""
    names = [name_of(stage) for stage in step.stages if isinstance(stage, Remembering)]
    return [f"{' and '.join(names)} need an index each; a step has one: make them two steps"] if len(names) > 1 else []


def _known(shuffle: Shuffle | Moving) -> tuple[tuple[InputFile, ...], list[str]]:
    """The files of the shuffle's index, and what is wrong with it."""
    if not isinstance(shuffle, Linking) or shuffle.index is None:
        return (), []
    try:
        return list_inputs([shuffle.index]), []
    except ConfigError as error:
        return (), [f"{name_of(shuffle)}.index: {line}" for line in str(error).splitlines()]


def _known_faults(shuffle: Linking, schema: pa.Schema, known: tuple[InputFile, ...]) -> list[str]:
    """Why rows of `schema` cannot be linked with those of the index: every file of it is asked."""
    who = f"{name_of(shuffle)}.index"

    def faults_of(file: InputFile) -> list[str]:
        try:
            with open_input(file.uri) as opened:
                theirs = pq.read_schema(opened)
        except (OSError, pa.ArrowInvalid) as error:
            return [f"{who}: {file.uri}: no Parquet file: {error}"]
        faults = missing(theirs, pa.schema([columns.ID, *shuffle.links_read]), who)
        return [f"{file.uri}: {fault}" for fault in faults or shuffle.index_faults(schema, theirs)]

    with ThreadPoolExecutor(OPEN_AT_ONCE) as threads:
        return [fault for faults in threads.map(faults_of, known) for fault in faults]


def _shuffle_faults(
    step: Step, shuffle: Shuffle | Moving, schema: pa.Schema, known: tuple[InputFile, ...]
) -> list[str]:
    """What is wrong with the shuffle of `step` over rows of `schema`, and with its index."""
    who = name_of(shuffle)
    faults = missing(schema, shuffle.reads, who)
    if step.after is None:
        faults.append(f"{who} shuffles the rows of an earlier step, but 'after' names none")
    if isinstance(shuffle, Linking):
        reads = {field.name for field in shuffle.reads}
        faults += missing(schema, pa.schema([f for f in shuffle.links_read if f.name not in reads]), who)
    elif not isinstance(shuffle, Spreading):
        faults += _key_faults(shuffle, schema)
    if not faults and isinstance(shuffle, Particular):
        faults = [f"{who}: {fault}" for fault in shuffle.faults(schema)]
    if not faults and isinstance(shuffle, Linking):
        faults = _known_faults(shuffle, schema, known)
    return faults


def _key_faults(shuffle: Shuffle | Moving, schema: pa.Schema) -> list[str]:
    """What is wrong with the key column: it is not there, or no hash."""
    who, key = name_of(shuffle), shuffle.key
    if key not in schema.names:
        if key in shuffle.reads.names:  # it is told already
            return []
        return [f"{who}.key is {key!r}, which no earlier stage adds{nearest(key, schema.names)}"]
    type_ = schema.field(key).type
    if type_ != pa.uint64() and not (pa.types.is_fixed_size_binary(type_) and type_.byte_width >= 8):
        return [f"{who}.key is {key!r}, a {type_}; a key is a hash: uint64 or binary of 8 bytes or more"]
    return []


def _groups(step: Step) -> tuple[Group, ...]:
    """Stages join the worker before them, but where one of the two holds a GPU or takes much more than the other."""
    groups = [Group((), step.source.resources)]
    for stage in step.stages:
        last = groups[-1].resources
        here = stage.resources
        if here.gpus or last.gpus or _heavy(here) != _heavy(last):
            groups.append(Group((stage,), here))
        else:
            groups[-1] = Group((*groups[-1].stages, stage), _larger(last, here))
    return tuple(groups)


def _heavy(resources: Resources) -> bool:
    """A model on several CPUs, or in much memory: readers beside it should not take as much."""
    return resources.cpus > LIGHT.cpus or resources.memory_gb > LIGHT.memory_gb


def fused(groups: tuple[Group, ...]) -> tuple[Group, ...]:
    """`groups` with those that follow one another without a GPU in one worker: for a small cluster."""
    joined = [groups[0]]
    for group in groups[1:]:
        last = joined[-1]
        if group.resources.gpus or last.resources.gpus:
            joined.append(group)
        else:
            joined[-1] = Group((*last.stages, *group.stages), _larger(last.resources, group.resources))
    return tuple(joined)


def _larger(a: Resources, b: Resources) -> Resources:
    """What a worker of both takes."""
    return Resources(max(a.cpus, b.cpus), max(a.gpus, b.gpus), max(a.memory_gb, b.memory_gb), max(a.tables, b.tables))


def _first_rows(source: Source, inputs: tuple[InputFile, ...]) -> tuple[tuple[Shard, ...], pa.Schema]:
    """The shards and the schema of their rows. Reads until the first row; raises `ConfigError` when there is none."""
    if not inputs:
        raise ConfigError("no input: give --input")
    shards = make_shards(source, inputs)
    schema = _schema(source, inputs)
    read = source.open()
    unreadable: list[str] = []
    for shard in shards:
        with open_input(shard.file.uri) as file:
            for item in read(file, Piece(shard.piece.uri, shard.piece.start, shard.piece.stop)):
                if isinstance(item, Unreadable):
                    unreadable.append(f"  {shard.file.uri} at {item.offset}: {item.error}")
                elif item.num_rows:
                    return shards, schema
    where = inputs[0].uri if len(inputs) == 1 else f"{len(inputs)} input files"
    detail = f", {len(unreadable)} unreadable pieces:\n" + "\n".join(unreadable[:10]) if unreadable else ""
    raise ConfigError(f"input without rows: {name_of(source)} found none in {where}{detail}")


def _schema(source: Source, inputs: tuple[InputFile, ...]) -> pa.Schema:
    """The one schema of all inputs; `ConfigError` names the files that differ from the first readable one."""
    known: dict[str, pa.Schema] = {}
    problems, faults = [], []
    for file in inputs:
        with open_input(file.uri) as opened:
            try:
                known[file.uri] = source.schema(opened, file.uri)
            except SchemaError as error:  # it can be read, and does not have what is asked for
                faults.append(str(error))
            except (ValueError, KeyError, OSError) as error:
                problems.append(f"{file.uri}: {error}")
        if not getattr(source, "schema_differs", False):
            break  # archives and JSON lines have one schema whatever is in them
    if not known:
        raise ConfigError("\n".join(faults + problems))
    first_uri, first = next(iter(known.items()))
    for uri, schema in known.items():
        if not schema.equals(first):
            diff = sorted({str(f) for f in schema} ^ {str(f) for f in first})
            faults.append(f"input {uri} has other columns than {first_uri}: {', '.join(diff)}")
    if faults:
        raise ConfigError("\n".join(faults))
    return first


def columns_of(schema: pa.Schema) -> list[str]:
    """One line a column: name, type, meaning, for `headrace plan`."""
    lines = []
    for field in schema:
        meaning = (field.metadata or {}).get(b"meaning", b"").decode()
        passing = " (not written)" if columns.is_transient(field) else ""
        lines.append(f"{field.name}: {field.type}  {meaning}{passing}")
    return lines
