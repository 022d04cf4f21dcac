"""The graph of entities of a step that wrote about pairs and triples of them: as Parquet, and as a drawing.

STEP/graph/nodes.parquet and edges.parquet (schemas/entity_graph.py) hold all of it, from every row that the step kept;
names that differ in case alone are one. They are made anew with every report. The drawing has the `SHOWN` names that
most edges end in. It is laid out by springs (Fruchterman and Reingold 1991) from a circle, so it is the same each time.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from cluster.storage import Folder
from pipelines.report.account import Account, StepLine
from schemas import columns as c
from schemas.entity_graph import EDGES, NODES
from stages.synthesize.relations import count

Floats = npt.NDArray[np.float64]
NODES_FILE, EDGES_FILE = "graph/nodes.parquet", "graph/edges.parquet"
BATCH = 50_000  # rows whose edges are made at a time
SHOWN = 40
NAME = 28  # code points of a name in the drawing
WIDTH, HEIGHT, MARGIN = 1000.0, 640.0, 50.0
ROUNDS = 200
KINDS = {2: "pair", 3: "triple"}


@dataclass(frozen=True)
class Node:
    """A name in the drawing: where it is, and how large."""

    name: str
    x: float
    y: float
    radius: float
    documents: int
    relations: int
    degree: int


@dataclass(frozen=True)
class Edge:
    """Two names in the drawing that `rows` relate."""

    x1: float
    y1: float
    x2: float
    y2: float
    width: float
    rows: int


@dataclass(frozen=True)
class EntityGraph:
    """The graph. `possible`: pairs and triples of all documents' entities, whatever the budget; `pairs` and `triples`:
    the rows of each kind that were kept.
    """

    nodes: int
    edges: int
    pairs: int
    triples: int
    possible: tuple[int, int]
    shown: tuple[Node, ...]
    lines: tuple[Edge, ...]


class Names:
    """The names that were met, by their case folding: the first spelling, and what is counted of it."""

    def __init__(self) -> None:
        self.spelling: dict[str, str] = {}
        self.documents: Counter[str] = Counter()
        self.relations: Counter[str] = Counter()
        self.degree: Counter[str] = Counter()

    def key(self, name: str) -> str:
        """What stands for the name."""
        folded = name.casefold()
        self.spelling.setdefault(folded, name)
        return folded

    def table(self) -> pa.Table:
        """All of them as `NODES`, by name."""
        order = sorted(self.spelling)
        counted = [[counts[key] for key in order] for counts in (self.documents, self.relations, self.degree)]
        return pa.table([[self.spelling[key] for key in order], *counted], schema=NODES)

    def most(self) -> list[str]:
        """Those that most edges end in, at most `SHOWN`."""
        return [key for key, _ in sorted(self.degree.items(), key=lambda item: (-item[1], item[0]))[:SHOWN]]


def write_graph(folder: Folder, account: Account, step: StepLine) -> EntityGraph | None:
    """The graph of a step, also as files in it; None where no row relates entities."""
    relations = _relations(folder, step)
    if (first := next(relations, None)) is None:
        return None
    names, possible = Names(), [0, 0]
    for entities in _documents(folder, account, step):
        own = {names.key(name) for name in entities}
        names.documents.update(own)
        pairs = count(len(own), triples=False)
        possible[0] += pairs
        possible[1] += count(len(own)) - pairs
    rows: Counter[int] = Counter()
    told = bool(names.documents)  # by an earlier step; else documents are those of the rows
    seen: set[tuple[str, str]] = set()
    inside = folder.below(step.name)
    with inside.writing(EDGES_FILE) as file, pq.ParquetWriter(file, EDGES, compression="zstd") as writer:
        for some in chain([first], relations):
            edges: tuple[list[str | None], ...] = tuple([] for _ in EDGES)
            for id_, parent, entities in some:
                keys = [names.key(name) for name in entities]
                rows[len(keys)] += 1
                names.relations.update(keys)
                if not told:
                    seen.update((key, parent) for key in keys)
                for one, other in combinations(keys, 2):
                    names.degree[one] += 1
                    names.degree[other] += 1
                    edge = names.spelling[one], names.spelling[other], parent, KINDS[len(keys)], id_
                    for column, value in zip(edges, edge, strict=True):
                        column.append(value)
            writer.write_table(pa.table(list(edges), schema=EDGES))
    names.documents.update(key for key, _ in seen)
    with inside.writing(NODES_FILE) as file:
        pq.write_table(names.table(), file, compression="zstd")
    shown, lines = _drawing(names, _between(inside, names))
    return EntityGraph(
        len(names.spelling), sum(names.degree.values()) // 2, rows[2], rows[3], (possible[0], possible[1]), shown, lines
    )


def _documents(folder: Folder, account: Account, step: StepLine) -> Iterator[list[str]]:
    """Entities of every document that the step read; none when no earlier step has them."""
    before = next((other for other in account.steps if other.name == step.about.get("upstream")), None)
    for rows in _rows(folder, before, []) if before else ():
        yield from (entities for (entities,) in rows if entities)


def _relations(folder: Folder, step: StepLine) -> Iterator[list[tuple[str, str, list[str]]]]:
    """Id, document and entities of the rows that relate two or three of them, some at a time."""
    for rows in _rows(folder, step, [c.ID, c.PARENTS]):
        found = [(id_, parents[0], names) for id_, parents, names in rows if parents and names and len(names) in KINDS]
        if found:
            yield found


def _rows(folder: Folder, step: StepLine, fields: list[pa.Field]) -> Iterator[list[tuple]]:  # type: ignore[type-arg]
    """`fields` and entities of the rows that a step kept, some at a time; nothing of files that lack them."""
    fields = [*fields, c.ENTITIES]
    for _, manifest in sorted(step.manifests.items()):
        for kept in (f for f in manifest.files if f.rows and f.path.startswith("data/")):
            with folder.open(f"{step.name}/{kept.path}") as file:
                parquet = pq.ParquetFile(file)
                types = {field.name: field.type for field in parquet.schema_arrow}
                if all(types.get(field.name) == field.type for field in fields):
                    names = [field.name for field in fields]
                    for batch in parquet.iter_batches(BATCH, columns=names, use_threads=False):
                        table = batch.select(names)
                        yield list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _between(inside: Folder, names: Names) -> Counter[tuple[str, str]]:
    """How many rows relate each two of the names that are drawn."""
    chosen = {names.spelling[key]: key for key in names.most()}
    found: Counter[tuple[str, str]] = Counter()
    with inside.open(EDGES_FILE) as file:
        parquet = pq.ParquetFile(file)
        for batch in parquet.iter_batches(BATCH, columns=["source", "target"], use_threads=False):
            frame = pl.from_arrow(pa.Table.from_batches([batch]))
            assert isinstance(frame, pl.DataFrame)
            drawn = frame.filter(pl.col("source").is_in(list(chosen)), pl.col("target").is_in(list(chosen)))
            for one, other, n in drawn.group_by("source", "target").len().rows():
                first, second = sorted((chosen[one], chosen[other]))
                if first != second:
                    found[first, second] += n
    return found


def _drawing(names: Names, between: Counter[tuple[str, str]]) -> tuple[tuple[Node, ...], tuple[Edge, ...]]:
    keys = names.most()
    place = {key: number for number, key in enumerate(keys)}
    pairs = sorted(between)
    weights = np.array([between[pair] for pair in pairs], np.float64)
    ends = np.array([(place[a], place[b]) for a, b in pairs], np.int64).reshape(-1, 2)
    x, y = layout(len(keys), ends, weights).T.round(1)
    most = max((names.degree[key] for key in keys), default=1)
    shown = tuple(
        Node(
            _short(names.spelling[key]), float(x[i]), float(y[i]), round(4 + 8 * (names.degree[key] / most) ** 0.5, 1),
            names.documents[key], names.relations[key], names.degree[key],
        )
        for i, key in enumerate(keys)
    )  # fmt: skip
    heaviest = float(weights.max(initial=1.0))
    lines = tuple(
        Edge(float(x[a]), float(y[a]), float(x[b]), float(y[b]), round(0.5 + 2.5 * weight / heaviest, 2), int(weight))
        for (a, b), weight in zip(ends, weights, strict=True)
    )
    return shown, lines


def layout(n: int, ends: npt.NDArray[np.int64], weights: Floats) -> Floats:
    """Where `n` points are drawn whose edges `ends` pull by `weights`, within the margins."""
    angles = 2 * np.pi * np.arange(n) / max(n, 1)
    at = np.column_stack([np.cos(angles), np.sin(angles)])
    pull = np.zeros((n, n))
    np.add.at(pull, (ends[:, 0], ends[:, 1]), np.sqrt(weights / weights.max(initial=1.0)))
    pull += pull.T
    rest = (4.0 / max(n, 1)) ** 0.5  # the distance of points that share the space evenly
    for turn in range(ROUNDS):
        apart = at[:, None, :] - at[None, :, :]
        distance = np.maximum(np.linalg.norm(apart, axis=2), 1e-3)
        force = rest**2 / distance**2 - pull * distance / rest - 0.1 / max(n, 1)
        step = (apart * force[:, :, None]).sum(axis=1)
        length = np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-9)
        at = at + step / length * np.minimum(length, 0.1 * (1 - turn / ROUNDS))
    low, high = (at.min(axis=0), at.max(axis=0)) if n else (np.zeros(2), np.ones(2))
    room = np.array([WIDTH, HEIGHT]) - 2 * MARGIN
    return MARGIN + room * (at - low) / np.maximum(high - low, 1e-9)


def _short(name: str) -> str:
    return name if len(name) <= NAME else name[: NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"
