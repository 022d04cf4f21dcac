"""Connected components of a graph that no process holds whole: the clusters of a `Linking` shuffle.

    spread    one task a shard: the links of its rows            -> shuffle/links/<shard>.parquet, by link
    link      one task a partition: rows with one link           -> shuffle/edges-00/<partition>.parquet, by node
    contract  one task a partition and round: every node of the
              edges gets the smallest node of its component
              in this partition                                  -> shuffle/edges-<round>/<partition>.parquet
    label     one task a partition, once nothing changes         -> shuffle/labels/<partition>.parquet

A node is a row: its shard's number and the row in one int64. An edge (node, label) has label < node and is in the
partitions of both. A round contracts each partition by itself; an edge to a smaller node in one partition takes all of
that node's component along in the next. It ends when every node has one label and no label has one itself: stars.
The idea is that of small-star and large-star (Kiveris et al. 2014), with a whole partition contracted at once.
"""

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cluster.barrier import Linking
from cluster.exchange.spill import FACTS, mixed, partitioned, read_between, read_partition, read_rows, write_partitions
from cluster.shards import Shard
from cluster.storage import Folder
from schemas import columns as c

ROWS = 1 << 40  # rows that a shard may have: a node is shard * ROWS + row
LABEL_ROWS = 1 << 16  # rows in a row group of labels: what a shard reads beyond its own
EDGE = pa.schema([pa.field("node", pa.int64()), pa.field("label", pa.int64())])
LABEL = pa.schema([pa.field("node", pa.int64()), c.COMPONENT, c.COMPONENT_SIZE])

Nodes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Spread:
    """The links of one shard, the step's `number`-th, by link."""

    shard: Shard
    number: int
    partitions: int

    @property
    def name(self) -> str:
        return f"shuffle/links/{self.shard.name}.parquet"

    def run(self, shuffle: Linking, folder: Folder) -> None:
        links = (shuffle.links(table) for table in read_rows(self.shard, shuffle.links_read.names))
        write_partitions(folder, self.name, links, partitioned("link", self.partitions), self.partitions)


@dataclass(frozen=True)
class Link:
    """The edges between the rows of one partition of links."""

    shards: tuple[str, ...]  # sorted
    partition: int
    partitions: int

    @property
    def name(self) -> str:
        return edges_name(0, self.partition)

    def run(self, shuffle: Linking, folder: Folder) -> None:
        links, nodes = [], []
        names = [f"shuffle/links/{shard}.parquet" for shard in self.shards]
        for number, table in enumerate(read_partition(folder, names, self.partition, self.partitions)):
            links.append(table.column("link").to_numpy())
            nodes.append(table.column("row").to_numpy() + number * ROWS)
        link, node = np.concatenate(links), np.concatenate(nodes)
        order = np.argsort(link, kind="stable")  # nodes ascend within a link, as they do over all
        link, node = link[order], node[order]
        same = np.flatnonzero(link[1:] == link[:-1])
        write_edges(folder, self.name, *contract(node[same + 1], node[same]), self.partitions, settled=False)


@dataclass(frozen=True)
class Contract:
    """One round over one partition of the edges that the round before left."""

    round: int  # from 1
    partition: int
    partitions: int

    @property
    def name(self) -> str:
        return edges_name(self.round, self.partition)

    def run(self, shuffle: Linking, folder: Folder) -> None:
        node, label = read_edges(folder, self.round - 1, self.partition, self.partitions)
        settled = is_settled(node, label, self.partition, self.partitions)
        write_edges(folder, self.name, *contract(node, label), self.partitions, settled)


@dataclass(frozen=True)
class Label:
    """The components whose label is in one partition: every node of them, with their size."""

    round: int  # the last one
    partition: int
    partitions: int

    @property
    def name(self) -> str:
        return f"shuffle/labels/{self.partition:05d}.parquet"

    def run(self, shuffle: Linking, folder: Folder) -> None:
        node, label = read_edges(folder, self.round, self.partition, self.partitions)
        mine = owned(label, self.partition, self.partitions)
        roots, of, sizes = np.unique(label[mine], return_inverse=True, return_counts=True)
        nodes, labels = np.concatenate([node[mine], roots]), np.concatenate([label[mine], roots])
        counted = np.concatenate([sizes[of], sizes]) + 1
        order = np.argsort(nodes)
        facts = {"rows": len(nodes), "largest": int(counted.max(initial=0))}
        schema = LABEL.with_metadata({FACTS: json.dumps(facts).encode()})
        table = pa.Table.from_arrays([pa.array(v[order]) for v in (nodes, labels, counted)], schema=schema)
        with folder.writing(self.name) as out:
            pq.write_table(table, out, row_group_size=LABEL_ROWS, compression="zstd")


def edges_name(round_: int, partition: int) -> str:
    return f"shuffle/edges-{round_:02d}/{partition:05d}.parquet"


def contract(node: Nodes, label: Nodes) -> tuple[Nodes, Nodes]:
    """The edges of a graph as stars: (every node but the smallest of its component, that smallest one)."""
    if not len(node):
        return node, label
    nodes, ends = np.unique(np.concatenate([node, label]), return_inverse=True)
    n, m = len(nodes), len(node)
    from scipy.sparse import coo_array  # noqa: PLC0415 - a quarter of a second, in every worker
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    graph = coo_array((np.ones(m, np.bool_), (ends[:m], ends[m:])), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    _, first = np.unique(component, return_index=True)  # nodes ascend, so the first of a component is its smallest
    smallest = nodes[first[component]]
    others = nodes != smallest
    return nodes[others], smallest[others]


def owned(node: Nodes, partition: int, partitions: int) -> npt.NDArray[np.bool_]:
    """Which of the nodes this partition is answerable for."""
    return np.asarray(mixed(node) % np.uint64(partitions) == partition)


def is_settled(node: Nodes, label: Nodes, partition: int, partitions: int) -> bool:
    """Whether all nodes of this partition have one label at most, and those that are labels have none.

    Each edge is given once.
    """
    mine = node[owned(node, partition, partitions)]
    labels = label[owned(label, partition, partitions)]
    return len(np.unique(mine)) == len(mine) and not np.isin(labels, mine).any()


def read_edges(folder: Folder, round_: int, partition: int, partitions: int) -> tuple[Nodes, Nodes]:
    """The edges of a round with an end in `partition`, each once: both ends' partitions may have told it."""
    names = [edges_name(round_, p) for p in range(partitions)]
    table = pa.concat_tables(read_partition(folder, names, partition, partitions))
    node, label = table.column("node").to_numpy(), table.column("label").to_numpy()
    order = np.lexsort((label, node))
    node, label = node[order], label[order]
    first = np.ones(len(node), np.bool_)
    first[1:] = (node[1:] != node[:-1]) | (label[1:] != label[:-1])
    return node[first], label[first]


def write_edges(folder: Folder, name: str, node: Nodes, label: Nodes, partitions: int, settled: bool) -> None:
    """Write each edge to the partitions of both its ends."""
    of_node, of_label = (mixed(ends) % np.uint64(partitions) for ends in (node, label))
    twice = of_node != of_label
    table = pa.Table.from_arrays([pa.array(np.concatenate([ends, ends[twice]])) for ends in (node, label)], schema=EDGE)
    part = np.concatenate([of_node, of_label[twice]])
    write_partitions(folder, name, [table], lambda _: part, partitions, settled=settled)


def labels_of(folder: Folder, shard: int) -> pa.Table:
    """(row, COMPONENT, COMPONENT_SIZE) of the rows of a shard that are linked to others, by row."""
    found = [
        read_between(folder, name, "node", shard * ROWS, (shard + 1) * ROWS - 1)
        for name in folder.names("shuffle/labels", ".parquet")
    ]
    table = pa.concat_tables(found).sort_by("node")
    rows = pc.subtract(table.column("node"), shard * ROWS)
    return table.set_column(0, "row", rows)
