"""A barrier carried out: its tasks in phases, each as far as its files are not there yet.

Every task's one file is its commit, so a barrier resumes at the task. `shuffle/plan.json` holds the shards it judges
and how many partitions there are. Both what a row takes and how many keys it has are guesses, made before anything is
spilled; what is spilled is counted, and where it is more, it is spilled once more into more partitions, before anything
reads it. Once all verdicts are there, the spills are taken away.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.barrier import Guarded, Linking, Shuffle, Spreading
from cluster.errors import RunError
from cluster.exchange.components import Contract, Label, Link, Spread, edges_name
from cluster.exchange.shuffle import Carrier, Reduce, Scatter, Task
from cluster.exchange.spill import all_facts
from cluster.plan import PlannedStep
from cluster.shards import Shard, shard_name
from cluster.storage import Folder, open_input
from schemas import columns as c
from stages.stage import Piece, name_of

DEFAULT_MEMORY = 2 << 30  # bytes that a process may take
LEAST_MEMORY = 640 << 20
AT_REST = 540 << 20  # bytes of a worker that does nothing: interpreter, libraries, kernels
COPIES = 7  # of a partition, at the height of a sort or join over it
KEY_BYTES = 80  # of a key with its row and id in Arrow
TEXT_BYTES = 4  # of text a row holds for each byte of its dataset's compressed file
MAX_ROUNDS = 60  # of contraction; 2^60 nodes in a row would take as many
SPILLS = {"links": "links", "partitions": "rows"}  # a number in the plan -> the folder of what has so many partitions
SLACK = 1.25  # by how much a partition may be larger than was thought
PARTS = (*SPILLS.values(), "labels")


def judged_other_rows(folder: Folder, shards: list[Shard]) -> bool:
    """True if the verdicts that are there do not know all `shards`: a replay has brought rows back since."""
    if not (folder.names("shuffle/verdicts") or folder.names("manifests")):
        return False
    return _plan(folder).get("shards") != sorted(shard.name for shard in shards)


def run_barrier(carrier: Carrier, shards: list[Shard], rows: int, memory: int) -> None:
    """All phases over `rows` rows, in processes of at most `memory` bytes."""
    planned, do = carrier.planned, carrier.do
    shuffle, folder = planned.step.shuffle, carrier.target.folder
    assert isinstance(shuffle, Shuffle)
    own, known = sorted(shards, key=lambda shard: shard.name), known_shards(planned)
    everyone = [*own, *known]  # the place in this list is a shard's number
    names = tuple(shard.name for shard in everyone)
    plan = _plan(folder)
    if plan.get("shards") != [shard.name for shard in own]:
        folder.below("shuffle").clear()  # what was spilled of other shards
        rows += sum(_rows(planned, shard) for shard in known)
        plan = {"shards": [shard.name for shard in own], **_partitions(shuffle, own, rows, memory)}
        folder.put("shuffle/plan.json", json.dumps(plan).encode())
    if "partitions" in plan and _judged(folder, plan["partitions"]):
        return _clean(folder)

    def spill(kind: str, tasks: Callable[[int], Sequence[Task]]) -> None:
        """All `tasks` into plan[kind] partitions; once more into more, where that was too few for what they wrote."""
        do(tasks(plan[kind]))
        if kind in plan.get("measured", ()):
            return
        facts = all_facts(folder, [task.name for task in tasks(plan[kind])])
        wanted = partitions_for(sum(max(fact["rows"] * KEY_BYTES, fact["bytes"]) for fact in facts), memory)
        if wanted > SLACK * plan[kind]:
            folder.below(f"shuffle/{SPILLS[kind]}").clear()  # before the plan says how many the next ones have
            plan[kind] = wanted
            folder.put("shuffle/plan.json", json.dumps(plan).encode())
            do(tasks(wanted))
        plan["measured"] = [*plan.get("measured", ()), kind]  # nothing reads a spill before this is known
        folder.put("shuffle/plan.json", json.dumps(plan).encode())

    if isinstance(shuffle, Linking):
        spill("links", lambda n: [Spread(shard, number, n) for number, shard in enumerate(everyone)])
        largest, members = _find_components(planned.name, folder, do, names, plan["links"])
        if "partitions" not in plan:
            plan["partitions"] = partitions_for(members * _row_bytes(shuffle, own, rows), memory)
            plan["largest_component"] = largest
            folder.put("shuffle/plan.json", json.dumps(plan).encode())
    spill("partitions", lambda n: [Scatter(s, i, n, i >= len(own)) for i, s in enumerate(everyone)])
    partitions = plan["partitions"]
    do([Reduce(names, p, partitions, len(known)) for p in range(partitions)])
    return _clean(folder)


def known_shards(planned: PlannedStep) -> list[Shard]:
    """The files of the shuffle's index as shards, none of whose names is one of the step's."""
    pieces = [Piece(file.uri) for file in planned.known]
    return [Shard(f"known-{shard_name(piece)}", piece, file) for piece, file in zip(pieces, planned.known, strict=True)]


def partitions_for(n_bytes: int, memory: int) -> int:
    """How many partitions `n_bytes` of rows take where a process may have `memory` bytes: from counts, not guessed."""
    room = memory - AT_REST
    if room <= 0:
        raise RunError(f"a worker at rest takes {AT_REST >> 20} MB; --memory gives it {memory >> 20} MB")
    return max(1, -(-n_bytes * COPIES // room))


def _find_components(
    step: str, folder: Folder, do: Callable[[Sequence[Task]], None], names: tuple[str, ...], partitions: int
) -> tuple[int, int]:
    """(rows of the largest component, rows that are in one), from the links of the shards of these names."""
    do([Link(names, p, partitions) for p in range(partitions)])
    for round_ in range(1, MAX_ROUNDS):
        do([Contract(round_, p, partitions) for p in range(partitions)])
        if all(fact["settled"] for fact in all_facts(folder, [edges_name(round_, p) for p in range(partitions)])):
            labels = [Label(round_, p, partitions) for p in range(partitions)]
            do(labels)
            facts = all_facts(folder, [label.name for label in labels])
            return max(fact["largest"] for fact in facts), sum(fact["rows"] for fact in facts)
    raise RunError(f"step {step}: the components are not found after {MAX_ROUNDS} rounds")


def _partitions(shuffle: Shuffle, shards: list[Shard], rows: int, memory: int) -> dict[str, int]:
    """Partitions of the first phase. Those of a `Linking` shuffle's rows are known only once it has its components."""
    if isinstance(shuffle, Linking):
        return {"links": partitions_for(rows * shuffle.fan_out * KEY_BYTES, memory)}
    if isinstance(shuffle, Spreading):
        return {"partitions": partitions_for(rows * shuffle.fan_out * KEY_BYTES, memory)}
    return {"partitions": partitions_for(rows * _row_bytes(shuffle, shards, rows), memory)}


def _row_bytes(shuffle: Shuffle, shards: list[Shard], rows: int) -> int:
    """About how many bytes of Arrow a row takes on its way."""
    if c.BODY.name not in shuffle.reads.names:
        return KEY_BYTES
    return KEY_BYTES + TEXT_BYTES * sum(shard.file.size for shard in shards) // max(rows, 1)


def _plan(folder: Folder) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(folder.get("shuffle/plan.json"))
    except FileNotFoundError:
        return {}
    return found


def _judged(folder: Folder, partitions: int) -> bool:
    return {Reduce((), p, partitions).name for p in range(partitions)} <= set(folder.names("shuffle/verdicts"))


def _rows(planned: PlannedStep, shard: Shard) -> int:
    """Of a file of the index."""
    try:
        with open_input(shard.file.uri) as file:
            return int(pq.read_metadata(file).num_rows)
    except (OSError, pa.ArrowInvalid) as error:
        where = f"step {planned.name}: {name_of(planned.step.shuffle)}.index: {shard.file.uri}"
        raise RunError(f"{where}: was there when the run began, and cannot be read: {error}") from error


def alarm(planned: PlannedStep, folder: Folder) -> str | None:
    """What to tell of a component that is larger than the shuffle's guard allows; None where there is none."""
    shuffle: Any = planned.step.shuffle
    largest: int = _plan(folder).get("largest_component", 0)
    if not isinstance(shuffle, Guarded) or largest <= shuffle.max_cluster:
        return None
    return (
        f"{planned.name}: {largest:,} rows hang together, more than {name_of(shuffle)}.max_cluster "
        f"{shuffle.max_cluster:,}: they are cut up and verified; see the largest clusters in the report"
    )


def _clean(folder: Folder) -> None:
    """Take the spills away: the verdicts stand for them."""
    shuffle = folder.below("shuffle")
    for part in shuffle.folders():
        if part in PARTS or part.startswith("edges-"):
            shuffle.below(part).clear()
