"""A global shuffle: every row once, in one order whatever shards it came in, and however often it was interrupted."""

import contextlib
import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.errors import ConfigError, RunError
from cluster.exchange.moving import range_of
from cluster.local import LocalRunner
from cluster.recipe import Recipe, Step
from cluster.run import Options, run
from stages.read_parquet import ReadParquet
from stages.synthesize.order import DrawOrder
from stages.synthesize.shuffle_rows import ShuffleRows
from tests.runs import plan_over, rows

MEMORY = 640 << 20
RECIPE = Recipe(
    "mixed",
    (
        Step("draw", ReadParquet(), (DrawOrder(seed=7),)),
        Step("shuffle", ReadParquet(), (), after="draw", shuffle=ShuffleRows()),
    ),
)


def write(folder: Path, files: int, n: int = 300) -> list[Path]:
    """`n` rows, cut into so many files."""
    folder.mkdir(parents=True)
    names = [folder / f"{number}.parquet" for number in range(files)]
    for number, name in enumerate(names):
        mine = range(number, n, files)
        table = pa.table(
            {
                "id": [f"r{i:04d}" for i in mine],
                "text": pa.array([f"text {i} " * (i % 50 + 1) for i in mine], pa.large_string()),
                "tags": pa.array([[{"a": i}] for i in mine], pa.list_(pa.struct([pa.field("a", pa.int64())]))),
            }
        )
        pq.write_table(table, name)
    return names


def mixed(tmp_path: Path, files: int, **options: Any) -> list[dict[str, Any]]:
    inputs = write(tmp_path / f"in{files}", files)
    out = tmp_path / f"out{files}"
    result = run(plan_over(RECIPE, *inputs), str(out), LocalRunner(), Options(quiet=True, **options))
    assert [(s["rows_in"], s["out"]) for s in result["steps"]] == [(300, 300), (300, 300)]
    assert not list((out / "shuffle/shuffle").glob("*/*.parquet"))  # what was in between is gone
    found = rows(out / "shuffle/data")
    for row in found:
        del row["source"]
    return found


def test_every_row_once_in_the_order_of_the_numbers_whatever_the_shards(tmp_path: Path) -> None:
    one, many = mixed(tmp_path, 1), mixed(tmp_path, 5)
    assert one == many
    assert sorted(row["id"] for row in one) == [f"r{i:04d}" for i in range(300)]
    keys = [(row["order"], row["id"]) for row in one]
    assert keys == sorted(keys)
    assert one[0]["tags"] == [{"a": int(one[0]["id"][1:])}]


def test_neighbours_were_none_before(tmp_path: Path) -> None:
    ids = [int(row["id"][1:]) for row in mixed(tmp_path, 3)]
    assert sum(abs(a - b) == 1 for a, b in itertools.pairwise(ids)) < 10  # 2 of 300 by chance


def test_more_ranges_where_a_range_would_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.exchange.phases.AT_REST", MEMORY - 100_000)
    found = mixed(tmp_path, 3, memory=MEMORY)
    assert len(list((tmp_path / "out3/shuffle/data").glob("*.parquet"))) > 4
    assert found == mixed(tmp_path / "again", 3)


def test_ranges_are_equally_wide() -> None:
    table = pa.table({"key": pa.array([0, 2**62, 2**63 - 1, 2**63, 2**64 - 1], pa.uint64())})
    assert range_of(table, "key", 4).tolist() == [0, 1, 1, 2, 3]
    assert range_of(table, "key", 1).tolist() == [0, 0, 0, 0, 0]


@dataclass
class Interrupted(LocalRunner):
    """Ends after so many tasks or shards, as a killed driver would."""

    left: int

    def __post_init__(self) -> None:
        super().__init__()

    def run_tasks(self, planned: Any, target: Any, tasks: Any, watch: Any) -> None:
        for task in tasks:
            self._count()
            super().run_tasks(planned, target, [task], watch)

    def run_shards(self, planned: Any, target: Any, shards: Any, progress: Any) -> None:
        for shard in shards:
            self._count()
            super().run_shards(planned, target, [shard], progress)

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def test_an_interruption_anywhere_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.exchange.phases.AT_REST", MEMORY - 2_000_000)
    expected = mixed(tmp_path / "undisturbed", 3, memory=MEMORY)
    inputs = write(tmp_path / "in", 3)
    for after in range(40):
        out = tmp_path / f"out-{after}"
        for left in (after, 10**6):
            try:
                run(plan_over(RECIPE, *inputs), str(out), Interrupted(left), Options(quiet=True, memory=MEMORY))
            except KeyboardInterrupt:
                assert left == after
        assert [r["id"] for r in rows(out / "shuffle/data")] == [r["id"] for r in expected]
        if after > 3 + 3 + 2 * len(list((out / "shuffle/data").glob("*.parquet"))):
            return
    raise AssertionError("the run never came through")


@pytest.mark.parametrize("memory", [MEMORY, MEMORY - 60_000])
def test_a_shard_whose_manifest_is_deleted_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: int
) -> None:
    """What is moved and arranged has gone by then; the ranges stay as they are, whatever memory there is now."""
    monkeypatch.setattr("cluster.exchange.phases.AT_REST", MEMORY - 100_000)
    expected = mixed(tmp_path, 3, memory=MEMORY)
    shuffled = tmp_path / "out3/shuffle"
    before = {file.name: file.read_bytes() for file in (shuffled / "data").glob("*.parquet")}
    manifest = shuffled / "manifests/00002.json"
    (shuffled / "data/00002.parquet").write_bytes(b"broken")
    manifest.unlink()
    for left in (1, 3, 10**6):  # the first two are killed: behind one move, and between the others and the shard
        with contextlib.suppress(KeyboardInterrupt):
            plan = plan_over(RECIPE, *sorted((tmp_path / "in3").iterdir()))
            run(plan, str(tmp_path / "out3"), Interrupted(left), Options(quiet=True, memory=memory))
        assert manifest.exists() == (left == 10**6)
    assert {file.name: file.read_bytes() for file in (shuffled / "data").glob("*.parquet")} == before
    assert [row["id"] for row in rows(shuffled / "data")] == [row["id"] for row in expected]
    assert not list((shuffled / "shuffle").glob("*/*.parquet"))


def test_rows_that_cannot_be_read_are_told_with_what_to_delete(tmp_path: Path) -> None:
    """... and once that is deleted, a run makes them again: what was arranged, and what a step behind reads."""
    last = Step("last", ReadParquet(), (), after="shuffle")
    plan = plan_over(replace(RECIPE, steps=(*RECIPE.steps, last)), *write(tmp_path / "in", 2))
    out = tmp_path / "out"

    def go(left: int = 10**6) -> None:
        run(plan, str(out), Interrupted(left), Options(quiet=True))

    with pytest.raises(KeyboardInterrupt):
        go(left=2 + 2 + 1)  # drawn, moved, arranged
    (arranged,) = (out / "shuffle/shuffle/arranged").glob("*.parquet")
    arranged.write_bytes(b"broken")
    with pytest.raises(RunError, match=rf"step shuffle: .*{arranged}.*\n  this step wrote it: delete it, and a run"):
        go()
    arranged.unlink()
    with pytest.raises(KeyboardInterrupt):
        go(left=2 + 1 + 1)  # moved once more, arranged; its shard
    data, manifest = out / "shuffle/data/00000.parquet", out / "shuffle/manifests/00000.json"
    data.write_bytes(b"broken")
    with pytest.raises(RunError, match=rf"\n  step shuffle wrote it: delete .*{manifest}, and a run makes it again"):
        go()
    manifest.unlink()
    go()
    assert sorted(row["id"] for row in rows(out / "last/data")) == [f"r{i:04d}" for i in range(300)]


def test_a_key_that_is_not_there_is_told(tmp_path: Path) -> None:
    recipe = Recipe("mixed", (RECIPE.steps[0], Step("s", ReadParquet(), (), after="draw", shuffle=ShuffleRows())))
    bare = Recipe("mixed", (Step("draw", ReadParquet(), ()), recipe.steps[1]))
    with pytest.raises(ConfigError, match="ShuffleRows reads 'order'"):
        plan_over(bare, *write(tmp_path / "in", 1))
