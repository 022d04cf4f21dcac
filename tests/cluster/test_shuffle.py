"""The barrier under dedup: partitions by hash, verdicts back to their rows, the same whatever the order of input."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.errors import RunError
from cluster.exchange import phases
from cluster.exchange import shuffle as module
from cluster.exchange.phases import partitions_for
from cluster.exchange.shuffle import join_verdicts
from cluster.exchange.spill import partition_of
from cluster.local import LocalRunner
from cluster.recipe import Recipe, Step
from cluster.run import Options, run
from schemas import columns as c
from stages.drop_duplicates import DropDuplicates
from stages.keep_first import KeepFirst
from stages.read_parquet import ReadParquet
from stages.stage import Resources, Rows, Transform, set_columns
from tests.fakes import DropWith, ReadLines, Upper
from tests.runs import account, plan_over, rows, run_local, texts, two_steps, write

FILES = {
    "a.txt": "one\ntwo\none\nspam\nthree\n",
    "b.txt": "two\nfour\n!drop\none\n",
    "c.txt": "",
    "d.txt": "five\nfour\n",
}
KEPT = ["one", "two", "three", "four", "five"]


def key_bytes(rows: int) -> int:
    """How large a key has to be for a partition to have room for so many rows."""
    return (phases.DEFAULT_MEMORY - phases.AT_REST) // (phases.COPIES * rows)


@dataclass(frozen=True)
class Number:
    """A 64-bit key: the length of the text; null for an empty one."""

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.BAND_HASH])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            lengths = [len(t) if t != "null" else None for t in table.column("text").to_pylist()]
            return set_columns(table, band_hash=pa.array(lengths, pa.uint64()))

        return apply


@dataclass(frozen=True)
class ByNumber(KeepFirst):
    key: str = "band_hash"
    reads: ClassVar[pa.Schema] = pa.schema([c.ID, c.BAND_HASH])


def by_number() -> Recipe:
    shuffled = Step("dedup", ReadParquet(), (DropDuplicates(),), after="filter", shuffle=ByNumber())
    return Recipe("numbers", (Step("filter", ReadLines(), (Number(),)), shuffled))


@pytest.mark.parametrize("rows_per_partition", [4_000_000, 4, 2, 1])
def test_dedup_over_any_number_of_partitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_per_partition: int
) -> None:
    monkeypatch.setattr(phases, "KEY_BYTES", key_bytes(rows_per_partition))
    plan = plan_over(two_steps(DropWith("spam")), write(tmp_path / "in", FILES))
    result = run_local(plan, tmp_path / "out")
    assert sorted(texts(tmp_path / "out/dedup/data")) == sorted(KEPT)
    assert account(result)[1] == {
        "name": "dedup", "shards": 4, "rows_in": 9, "emitted": 0, "out": 5,
        "dropped": {"DropDuplicates.duplicate": 4}, "dead": 0, "unreadable": 0,
    }  # fmt: skip


def test_duplicates_name_the_one_of_the_smallest_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "KEY_BYTES", key_bytes(2))
    run_local(plan_over(two_steps(), write(tmp_path / "in", FILES)), tmp_path / "out")
    kept = {row["text"]: (row["id"], row["cluster_size"]) for row in rows(tmp_path / "out/dedup/data")}
    removed = rows(tmp_path / "out/dedup/removed")
    assert {text: size for text, (_, size) in kept.items()} == {
        "one": 3, "two": 2, "spam": 1, "three": 1, "four": 2, "five": 1,
    }  # fmt: skip
    assert [row["duplicate_of"] == kept[row["text"]][0] < row["id"] for row in removed] == [True] * 4
    assert {row["cluster_size"] for row in removed if row["text"] == "one"} == {3}


def test_result_does_not_depend_on_the_order_of_input(tmp_path: Path) -> None:
    folder = Path(write(tmp_path / "in", FILES))
    names = ("a.txt", "b.txt", "d.txt")
    for out, order in (("x", names), ("y", names[::-1])):
        run_local(plan_over(two_steps(), *(folder / name for name in order)), tmp_path / out)
    assert rows(tmp_path / "x/dedup/data") == rows(tmp_path / "y/dedup/data")
    assert rows(tmp_path / "x/dedup/removed") == rows(tmp_path / "y/dedup/removed")


def test_verdicts_find_their_rows_over_tables_and_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.commit.ROW_GROUP_BYTES", 1)
    lines = [f"line {i % 7} of many" for i in range(40)]
    write(tmp_path / "in", {"a.txt": "\n".join(lines), "b.txt": "\n".join(lines)})
    run_local(plan_over(two_steps(), tmp_path / "in"), tmp_path / "out")
    kept = rows(tmp_path / "out/dedup/data")
    everything = kept + rows(tmp_path / "out/dedup/removed")
    assert {row["id"] for row in kept} == {
        min(row["id"] for row in everything if row["text"] == text) for text in lines[:7]
    }
    assert {row["cluster_size"] for row in kept} == {10, 12}


def test_rows_the_second_source_rejects_keep_the_others_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True)
    class NullSome(Upper):
        def open(self) -> Transform:
            def apply(table: pa.Table) -> pa.Table:
                values = [None if t.startswith("x") else t for t in table.column("text").to_pylist()]
                return set_columns(table, text=pa.array(values, c.TEXT))

            return apply

    recipe = by_number()
    first = Step("filter", ReadLines(), (Number(), NullSome()))
    write(tmp_path / "in", {"a.txt": "xx\na\nbbb\nxxxxx\nccc\n"})
    result = run_local(plan_over(Recipe("r", (first, recipe.steps[1])), tmp_path / "in"), tmp_path / "out")
    assert sorted(map(len, texts(tmp_path / "out/dedup/data"))) == [1, 3]
    assert account(result)[1]["dropped"] == {"ReadParquet.null_text": 2, "DropDuplicates.duplicate": 1}


def test_key_may_be_a_64_bit_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "KEY_BYTES", key_bytes(2))
    run_local(plan_over(by_number(), write(tmp_path / "in", {"a.txt": "a\nbb\nc\ndd\neee\n"})), tmp_path / "out")
    assert sorted(map(len, texts(tmp_path / "out/dedup/data"))) == [1, 2, 3]


def test_rows_without_a_key_fail_the_run_with_their_place(tmp_path: Path) -> None:
    plan = plan_over(by_number(), write(tmp_path / "in", {"a.txt": "a\nnull\n"}))
    with pytest.raises(RunError, match=r"step dedup, shuffle/rows/a-.*: ValueError: 1 rows have no key to shuffle by"):
        run_local(plan, tmp_path / "out")


def test_task_that_fails_for_a_moment_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flaky(planned: Any, target: Any, task: Any) -> None:
        tried.append(task.name)
        if len(tried) == 1:
            raise OSError("connection reset")
        module.run_task(planned, target, task)

    tried: list[str] = []
    monkeypatch.setattr("cluster.local.run_task", flaky)
    monkeypatch.setattr("cluster.local.WAIT_S", 0.0)
    run_local(plan_over(two_steps(), write(tmp_path / "in", {"a.txt": "a\na\n"})), tmp_path / "out")
    assert texts(tmp_path / "out/dedup/data") == ["a"]
    assert tried[0] == tried[1]


def test_damaged_dataset_of_an_earlier_step_is_not_passed_over(tmp_path: Path) -> None:
    plan = plan_over(two_steps(), write(tmp_path / "in", {"a.txt": "a\nb\n"}))
    run_local(plan, tmp_path / "out")
    (data,) = (tmp_path / "out/filter/data").iterdir()
    table = pq.read_table(data)
    pq.write_table(table, data, compression="none", use_dictionary=False)
    at = data.read_bytes().index(b"PAR1") + 4
    columns = pq.ParquetFile(data).metadata.row_group(0)
    text = next(columns.column(i) for i in range(columns.num_columns) if columns.column(i).path_in_schema == "text")
    whole = bytearray(data.read_bytes())
    assert at <= text.data_page_offset
    whole[text.data_page_offset : text.data_page_offset + 8] = b"\xff" * 8
    data.write_bytes(bytes(whole))
    for left in (tmp_path / "out/dedup/manifests").iterdir():
        left.unlink()
    with pytest.raises(RunError, match=r"step dedup: .*/filter/data/a-.*\.parquet cannot be read: "):
        run_local(plan, tmp_path / "out")


def test_partitions_are_sized_by_rows() -> None:
    size = key_bytes(10)
    assert [partitions_for(n * size, phases.DEFAULT_MEMORY) for n in (0, 1, 10, 11, 100, 101)] == [1, 1, 1, 2, 10, 11]


def test_partition_is_the_hash_modulo_their_number() -> None:
    keys = pa.array([i.to_bytes(8, "little") + bytes(8) for i in range(6)], pa.binary(16))
    assert partition_of(keys, 4).tolist() == [0, 1, 2, 3, 0, 1]
    assert partition_of(keys.slice(2, 3), 4).tolist() == [2, 3, 0]
    assert partition_of(keys.slice(0, 0), 4).tolist() == []
    assert partition_of(pa.array([], pa.binary(16)), 4).tolist() == []
    assert partition_of(pa.array([5, 2**64 - 1], pa.uint64()), 4).tolist() == [1, 3]


def test_random_keys_spread_evenly() -> None:
    keys = pa.array(
        [r.tobytes() for r in np.random.default_rng(0).integers(0, 256, (8000, 16), np.uint8)], pa.binary(16)
    )
    assert np.bincount(partition_of(keys, 8)).min() > 900


def test_verdicts_are_joined_where_they_belong() -> None:
    table = pa.table({"id": list("abcd")})
    verdicts = pa.table(
        {
            "row": [9, 11, 13, 14],
            "duplicate_of": [None, "x", "y", "z"],
            "cluster_id": ["u", "x", "v", "w"],
            "cluster_size": pa.array([2, 3, 4, 5]),
        }
    )
    joined = join_verdicts(KeepFirst(), table, verdicts, first_row=10)
    assert joined.column("duplicate_of").to_pylist() == [None, "x", None, "y"]
    assert joined.column("cluster_id").to_pylist() == [None, "x", None, "v"]
    assert joined.column("cluster_size").to_pylist() == [1, 3, 1, 4]


def test_verdict_replaces_that_of_an_earlier_dedup() -> None:
    table = pa.table({"id": ["a"], "cluster_size": [7], "duplicate_of": ["old"]})
    joined = join_verdicts(KeepFirst(), table, pa.schema([module.ROW, *KeepFirst.adds]).empty_table(), 0)
    assert joined.to_pydict() == {"id": ["a"], "cluster_size": [1], "duplicate_of": [None], "cluster_id": [None]}


def test_a_person_is_told_of_the_barrier_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_over(two_steps(), write(tmp_path / "in", FILES))
    run(plan, str(tmp_path / "out"), LocalRunner(), Options())
    told = [said for said in capsys.readouterr().err.splitlines() if said.startswith("dedup")]
    assert told[:2] == [
        "dedup: before its shards, rows: 0 of 4 tasks",
        "dedup: shards 0/4 (0 running), 0 in, 0 kept, 0 dropped, 0/s",
    ]


def test_second_run_finds_the_shuffle_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_over(two_steps(), write(tmp_path / "in", FILES))
    run_local(plan, tmp_path / "out")
    next((tmp_path / "out/dedup/manifests").iterdir()).unlink()
    done: list[Any] = []
    monkeypatch.setattr(LocalRunner, "run_tasks", lambda self, planned, target, tasks, watch: done.extend(tasks))
    run_local(plan, tmp_path / "out")
    assert done == []
