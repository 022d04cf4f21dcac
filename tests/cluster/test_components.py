"""Clusters by linked rows: the components of a graph, whatever its shape, partitions, order and interruptions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import xxhash

from cluster.barrier import COMPONENT, COMPONENT_SIZE, Linking
from cluster.errors import ConfigError, RunError
from cluster.exchange import phases
from cluster.exchange.components import contract, is_settled, owned
from cluster.local import LocalRunner
from cluster.recipe import Recipe, Step
from cluster.storage import Folder
from schemas import columns as c
from stages.drop_duplicates import DropDuplicates
from stages.read_parquet import ReadParquet
from tests.fakes import ReadLines
from tests.runs import account, plan_over, rows, run_local, write


@dataclass(frozen=True)
class ShareWord:
    """Rows that share a word are one cluster; the smallest id of it stays."""

    key: ClassVar[str] = COMPONENT
    fan_out: ClassVar[int] = 3
    index: ClassVar[None] = None
    reads: ClassVar[pa.Schema] = pa.schema([c.ID])
    links_read: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.DUPLICATE_OF, c.CLUSTER_SIZE])
    alone: ClassVar[dict[str, Any]] = {c.CLUSTER_SIZE.name: 1}

    def links(self, table: pa.Table) -> pa.Table:
        found = [
            (row, xxhash.xxh64_intdigest(word.encode()))
            for row, text in zip(table["row"].to_pylist(), table["text"].to_pylist(), strict=True)
            for word in text.split()
        ]
        return pa.table(
            {"row": pa.array([f[0] for f in found], pa.int64()), "link": pa.array([f[1] for f in found], pa.uint64())}
        )

    def index_faults(self, schema: pa.Schema, known: pa.Schema) -> list[str]:
        return []

    def members(self, table: pa.Table) -> pa.Table:
        return table

    def reduce(self, table: pa.Table) -> pa.Table:
        first = table.group_by(COMPONENT).aggregate([("id", "min"), ("id", "count")])
        table = table.join(first, COMPONENT)
        assert table["id_count"].to_pylist() == table[COMPONENT_SIZE].to_pylist()
        of = pc.if_else(pc.equal(table["id"], table["id_min"]), pa.scalar(None, pa.string()), table["id_min"])
        return pa.table(
            {"shard": table["shard"], "row": table["row"], "duplicate_of": of, "cluster_size": table["id_count"]}
        )


FILES = {
    "a.txt": "red green\nblue\nwhite black\nalone\n",
    "b.txt": "green blue\ngrey\nblack grey\n",
    "c.txt": "",
    "d.txt": "red pink\nonly\n",
}
CLUSTERS = {
    frozenset({"red green", "blue", "green blue", "red pink"}),
    frozenset({"white black", "grey", "black grey"}),
}


def linked() -> Recipe:
    shuffled = Step("dedup", ReadParquet(), (DropDuplicates(),), after="filter", shuffle=ShareWord())
    return Recipe("linked", (Step("filter", ReadLines(), ()), shuffled))


def clusters(out: Path) -> set[frozenset[str]]:
    """The texts of each cluster of two rows or more."""
    kept = {row["id"]: row for row in rows(out / "dedup/data")}
    found = {id_: {row["text"]} for id_, row in kept.items()}
    for row in rows(out / "dedup/removed"):
        found[row["duplicate_of"]].add(row["text"])
        assert row["cluster_size"] == kept[row["duplicate_of"]]["cluster_size"]
    assert all(len(found[id_]) == row["cluster_size"] for id_, row in kept.items())
    return {frozenset(texts) for texts in found.values() if len(texts) > 1}


def few_keys(monkeypatch: pytest.MonkeyPatch, keys: int) -> None:
    """Make partitions so small that each has room for so many keys."""
    monkeypatch.setattr(phases, "KEY_BYTES", (phases.DEFAULT_MEMORY - phases.AT_REST) // (phases.COPIES * keys))


@pytest.mark.parametrize("keys", [1000, 8, 3, 1])
def test_clusters_over_any_number_of_partitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: int) -> None:
    few_keys(monkeypatch, keys)
    result = run_local(plan_over(linked(), write(tmp_path / "in", FILES)), tmp_path / "out")
    assert clusters(tmp_path / "out") == CLUSTERS
    assert account(result)[1]["dropped"] == {"DropDuplicates.duplicate": 5}
    assert Folder(str(tmp_path / "out/dedup/shuffle")).folders() == ["verdicts"]


def test_clusters_do_not_depend_on_the_order_of_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few_keys(monkeypatch, 4)
    folder = Path(write(tmp_path / "in", FILES))
    for run, order in (("x", sorted(FILES)), ("y", sorted(FILES, reverse=True))):
        run_local(plan_over(linked(), *(folder / name for name in order)), tmp_path / run)
    assert rows(tmp_path / "x/dedup/data") == rows(tmp_path / "y/dedup/data")
    assert rows(tmp_path / "x/dedup/removed") == rows(tmp_path / "y/dedup/removed")


def test_a_long_chain_is_one_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few_keys(monkeypatch, 100)
    order = np.random.default_rng(0).permutation(600).tolist()
    lines = [f"w{i} w{i + 1}" for i in order]
    write(tmp_path / "in", {f"{n}.txt": "\n".join(lines[n::3]) for n in range(3)})
    run_local(plan_over(linked(), tmp_path / "in"), tmp_path / "out")
    assert [row["cluster_size"] for row in rows(tmp_path / "out/dedup/data")] == [600]


def test_chain_of_20_000_takes_few_rounds() -> None:
    """The worst shape there is, over 16 partitions, without the files."""
    n, partitions = 20_000, 16
    order = np.random.default_rng(1).permutation(n)
    node, label = np.maximum(order[1:], order[:-1]), np.minimum(order[1:], order[:-1])
    rounds = 0
    while True:
        parts = [owned(node, p, partitions) | owned(label, p, partitions) for p in range(partitions)]
        if all(is_settled(node[part], label[part], p, partitions) for p, part in enumerate(parts)):
            break
        rounds += 1
        stars = [contract(node[part], label[part]) for part in parts]
        edges = np.unique(np.concatenate([np.stack(star, axis=1) for star in stars]), axis=0)
        node, label = edges[:, 0], edges[:, 1]
    assert (label == 0).all()
    assert len(node) == n - 1
    assert rounds <= 12


def test_contraction_makes_stars() -> None:
    node, label = np.array([5, 9, 7, 4, 9]), np.array([2, 5, 3, 3, 2])
    assert [ends.tolist() for ends in contract(node, label)] == [[4, 5, 7, 9], [3, 2, 3, 2]]
    assert [ends.tolist() for ends in contract(node[:0], label[:0])] == [[], []]


@pytest.mark.parametrize(
    ("edges", "settled"),
    [
        ([], True),
        ([(5, 1), (6, 1), (7, 2)], True),
        ([(5, 1), (5, 2)], False),
        ([(5, 3), (3, 1)], False),
    ],
)
def test_it_is_over_when_nodes_have_one_label_that_has_none(edges: list[tuple[int, int]], settled: bool) -> None:
    pairs = np.array(edges, np.int64).reshape(-1, 2)
    assert is_settled(pairs[:, 0], pairs[:, 1], 0, 1) is settled


def test_spoiled_phase_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every task of a barrier may be the last before a crash."""
    few_keys(monkeypatch, 4)
    plan = plan_over(linked(), write(tmp_path / "in", FILES))
    run_local(plan, tmp_path / "whole")
    expected = rows(tmp_path / "whole/dedup/data"), rows(tmp_path / "whole/dedup/removed")
    done: list[str] = []
    carry_out = LocalRunner._run_task
    for _ in range(200):
        begun = len(done)

        def counted(self: LocalRunner, planned: Any, target: Any, task: Any, begun: int = begun) -> None:
            if len(done) - begun >= 3:
                raise RunError("crash")
            carry_out(self, planned, target, task)
            done.append(task.name)

        monkeypatch.setattr(LocalRunner, "_run_task", counted)
        try:
            run_local(plan, tmp_path / "out")
            break
        except RunError:
            continue
    assert (rows(tmp_path / "out/dedup/data"), rows(tmp_path / "out/dedup/removed")) == expected
    assert len(done) == len(set(done)) > 20


def test_a_linking_shuffle_is_known_by_its_methods() -> None:
    assert isinstance(ShareWord(), Linking)


def test_what_its_links_read_has_to_be_there(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class ByBand(ShareWord):
        links_read: ClassVar[pa.Schema] = pa.schema([c.SIGNATURE])

    shuffled = Step("dedup", ReadParquet(), (DropDuplicates(),), after="filter", shuffle=ByBand())
    recipe = Recipe("linked", (Step("filter", ReadLines(), ()), shuffled))
    with pytest.raises(ConfigError, match="step dedup: ByBand reads 'signature'"):
        plan_over(recipe, write(tmp_path / "in", {"a.txt": "a\n"}))
