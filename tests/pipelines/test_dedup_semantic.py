"""The recipe over files: the same rows go whatever the files, their order, the partitions and the runner."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.exchange import phases
from cluster.local import LocalRunner
from cluster.run import Options, run
from pipelines.config import configure
from pipelines.dedup_semantic import dedup_semantic
from stages.dedup.vectors import unit
from tests.runs import plan_over, rows

N, D, K, EPSILON = 600, 16, 12, 0.02


def documents() -> pa.Table:
    """600 rows in random order: 400 vectors, and copies of some of them that differ a little; ten have none."""
    draw = np.random.default_rng(11)
    own = draw.normal(size=(400, D))
    copies = own[draw.integers(0, 60, 200)] * draw.uniform(0.5, 2, (200, 1)) + draw.normal(0, 0.07, (200, D))
    order = draw.permutation(N)
    vectors = np.concatenate([own, copies]).astype(np.float32)[order].tolist()
    for row in range(0, N, 60):
        vectors[row] = None
    ids = [f"{value:016x}" for value in draw.integers(0, 2**63, N)]
    return pa.table(
        {"id": ids, "text": [f"document {i}" for i in range(N)], "embedding": pa.array(vectors, pa.list_(pa.float32()))}
    )


def centroids(folder: Path) -> Path:
    path = folder / "centroids.npy"
    np.save(path, np.random.default_rng(12).normal(size=(K, D)).astype(np.float32))
    return path


def reference(table: pa.Table, path: Path) -> dict[str, str]:
    """SemDeDup by its definition, row by row: who goes, and for whom."""
    middle = unit(np.load(path))[0].astype(np.float64)
    found: list[tuple[int, float, str, Any]] = []
    for row in table.to_pylist():
        if row["embedding"] is not None:
            vector = unit(np.array([row["embedding"]], np.float32))[0][0].astype(np.float64)
            likes = (middle * vector).sum(axis=1)
            found.append((int(likes.argmax()), float(np.float32(likes.max())), row["id"], vector))
    kept: list[tuple[int, float, str, Any]] = []
    gone = {}
    for one in sorted(found, key=lambda one: one[:3]):
        like = [of for number, _, of, vector in kept if number == one[0] and (vector * one[3]).sum() > 1 - EPSILON]
        if like:
            gone[one[2]] = like[0]
        else:
            kept.append(one)
    return gone


def parquet(folder: Path, table: pa.Table, files: int) -> Path:
    folder.mkdir()
    for number in range(files):
        part = table.take(pa.array(range(number, table.num_rows, files)))
        pq.write_table(part, folder / f"{number}.parquet", row_group_size=50)
    return folder


def go(folder: Path, output: Path, path: Path, runner: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
    settings = {"AssignCentroid": {"centroids": str(path)}, "SemanticDuplicates": {"epsilon": EPSILON}}
    plan = plan_over(configure(dedup_semantic(), settings), folder)
    run(plan, str(output), runner or LocalRunner(), Options(quiet=True))
    kept, removed = ({row["id"]: row for row in rows(output / "dedup" / part)} for part in ("data", "removed"))
    return kept, removed


def test_recipe_finds_what_the_definition_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, path = documents(), centroids(tmp_path)
    expected = reference(table, path)
    assert 100 < len(expected) < 200
    results = []
    for name, files, order, memory in (("a", 1, 1, 0), ("b", 3, 1, 10_000), ("c", 7, -1, 3000)):
        if memory:  # room for so many bytes of a partition
            monkeypatch.setattr(phases, "AT_REST", phases.DEFAULT_MEMORY - memory * phases.COPIES)
        folder = parquet(tmp_path / name, table.take(pa.array(range(N)[::order])), files)
        kept, removed = go(folder, tmp_path / f"{name}-out", path)
        assert {id_: row["duplicate_of"] for id_, row in removed.items()} == expected
        assert {row["drop_reason"] for row in removed.values()} == {"duplicate"}
        assert all(row["similarity"] > 1 - EPSILON for row in removed.values())
        assert len(kept) + len(removed) == N
        assert all(kept[of] for of in expected.values())
        sizes = {id_: 1 + sum(of == id_ for of in expected.values()) for id_ in kept}
        assert {id_: row["cluster_size"] for id_, row in kept.items()} == sizes
        results.append({id_: (row["cluster_id"], row["similarity"]) for id_, row in (kept | removed).items()})
        partitions = len(list((tmp_path / f"{name}-out/dedup/shuffle/verdicts").glob("*.parquet")))
        assert (partitions > 2) == bool(memory)
    assert results[0] == results[1] == results[2]


def test_both_runners_agree(tmp_path: Path, runner_name: str) -> None:
    table, path = documents(), centroids(tmp_path)
    runner: Any = LocalRunner()
    if runner_name == "ray":
        from cluster.stream import RayRunner

        runner = RayRunner(workers=2)
    _, removed = go(parquet(tmp_path / "in", table, 3), tmp_path / "out", path, runner)
    assert {id_: row["duplicate_of"] for id_, row in removed.items()} == reference(table, path)


def test_recipe_is_written_down() -> None:
    assign, dedup = dedup_semantic().steps
    assert [type(stage).__name__ for stage in (*assign.stages, *dedup.stages)] == ["AssignCentroid", "DropDuplicates"]
    assert type(dedup.shuffle).__name__ == "SemanticDuplicates"
