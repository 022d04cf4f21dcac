"""A shard's files appear whole, and the manifest last; rows that do not add up are never committed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from cluster import commit
from cluster.chain import Batch, Chain
from cluster.commit import ShardWriter, Target, committed_files, discard, read_manifests, tidy
from cluster.errors import AccountError
from cluster.storage import Folder
from schemas import columns as c
from schemas.manifest import Counts, File, ManifestError, StageCost
from stages.stage import Unreadable
from tests.fakes import CrashOn, DropWith

SCHEMA = pa.schema([c.ID, c.BODY, c.HTML, c.DROP_REASON])


@pytest.fixture(params=["disk", "memory"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    yield Target(str(tmp_path / "out") if request.param == "disk" else "memory://commit-test/out")
    MemoryFileSystem.store.clear()


def batch(*texts: str, start: int = 0) -> Batch:
    """Rows that passed, were dropped (spam) or died (bad), as a chain gives them."""
    table = pa.table({"id": [f"{start + i}" for i in range(len(texts))], "text": texts}, pa.schema([c.ID, c.BODY]))
    chain = Chain((DropWith("spam"), CrashOn("bad")))
    return chain.admit(table, "source").join(chain.apply(table))


def finish(writer: ShardWriter, **source: Any) -> Any:
    return writer.commit("only", "f" * 16, source, seconds=1.5, cpu=0.5)


def read(target: Target, name: str) -> pa.Table:
    with target.folder.open(name) as file:
        return pq.read_table(file)


def visible(target: Target) -> list[str]:
    return [name for part in (*commit.PARTS, "manifests") for name in target.folder.names(part)]


def test_shard_is_written_with_its_account(target: Target) -> None:
    writer = ShardWriter(target, "s", SCHEMA)
    writer.add(batch("a", "spam", "bad"))
    writer.note(Unreadable(17, "bad line"))
    manifest = finish(writer, uri="file:///größe.txt", start=0)
    assert visible(target) == ["data/s.parquet", "removed/s.parquet", "dead/s.parquet", "manifests/s.json"]
    assert manifest.counts == Counts(3, 0, 1, {"DropWith.spam": 1}, 1, 1)
    assert manifest.unreadable == ((17, "bad line"),)
    assert read_manifests(target.folder) == {"s": manifest}


def test_files_have_the_columns_of_their_part(target: Target) -> None:
    writer = ShardWriter(target, "s", SCHEMA)
    writer.add(batch("a", "spam", "bad"))
    finish(writer)
    assert read(target, "data/s.parquet").to_pydict() == {"id": ["0"], "text": ["a"]}
    assert read(target, "removed/s.parquet").column_names == ["drop_stage", "drop_reason", "id", "text"]
    assert read(target, "dead/s.parquet").column_names == [
        "stage", "error", "traceback", "attempt", "id", "text", "html",
    ]  # fmt: skip


def test_removed_rows_can_be_without_text(target: Target) -> None:
    writer = ShardWriter(Target(target.url, removed_text=False), "s", SCHEMA)
    writer.add(batch("spam"))
    finish(writer)
    assert read(target, "removed/s.parquet").column_names == ["drop_stage", "drop_reason", "id"]


def test_manifest_lists_files_with_rows_and_bytes(target: Target) -> None:
    writer = ShardWriter(target, "s", SCHEMA)
    writer.add(batch("a", "b", "spam"))
    manifest = finish(writer)
    size = target.folder.size
    assert manifest.files == (
        File("data/s.parquet", 2, size("data/s.parquet")), File("removed/s.parquet", 1, size("removed/s.parquet")),
    )  # fmt: skip


def test_shard_without_rows_has_a_data_file_with_its_schema(target: Target) -> None:
    manifest = finish(ShardWriter(target, "s", SCHEMA))
    assert visible(target) == ["data/s.parquet", "manifests/s.json"]
    assert read(target, "data/s.parquet").schema.names == ["id", "text"]
    assert manifest.counts == Counts()


def test_columns_that_no_stage_has_reached_yet_are_null(target: Target) -> None:
    writer = ShardWriter(target, "s", pa.schema([c.ID, c.BODY, c.LANG]))
    writer.add(batch("a"))
    finish(writer)
    assert read(target, "data/s.parquet").to_pydict() == {"id": ["0"], "text": ["a"], "lang": [None]}


def test_batches_are_gathered_in_order_over_row_groups(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "ROW_GROUP_BYTES", 1)
    writer = ShardWriter(target, "s", SCHEMA)
    for i in range(3):
        writer.add(batch("a", "b", start=2 * i))
    finish(writer)
    with target.folder.open("data/s.parquet") as file:
        parquet = pq.ParquetFile(file)
        assert parquet.num_row_groups == 3
        assert parquet.read().column("id").to_pylist() == list("012345")


def test_costs_add_up_over_batches(target: Target) -> None:
    writer = ShardWriter(target, "s", SCHEMA)
    for _ in range(2):
        writer.add(Batch(batch("a").kept, counts=Counts(rows_in=1), costs={"A": StageCost(1, 1, 0.5, 0.25)}))
    assert finish(writer).stages == {"A": StageCost(2, 2, 1.0, 0.5)}


def test_rows_that_do_not_add_up_are_not_committed(target: Target) -> None:
    writer = ShardWriter(target, "s", SCHEMA)
    writer.add(Batch(batch("a").kept, counts=Counts(rows_in=2)))
    with pytest.raises(AccountError, match="step only, shard s: 1 rows unaccounted: Counts"):
        finish(writer)
    assert visible(target) == []


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (Counts(rows_in=2, dropped={"A.x": 1}), "0 rows in removed, 1 in the account"),
        (Counts(rows_in=2, dead=1), "0 rows in dead, 1 in the account"),
    ],
)
def test_rows_that_are_only_counted_are_not_committed(target: Target, counts: Counts, message: str) -> None:
    writer = ShardWriter(target, "s", SCHEMA)
    writer.add(Batch(batch("a").kept, counts=counts))
    with pytest.raises(AccountError, match=message):
        finish(writer)
    assert visible(target) == []


def test_what_an_earlier_attempt_left_is_taken_away(target: Target) -> None:
    target.folder.put("dead/s.parquet", b"left by an attempt that was killed")
    target.folder.put("removed/s.parquet", b"left too")
    target.folder.put("dead/other.parquet", b"another shard's")
    finish(ShardWriter(target, "s", SCHEMA))
    assert visible(target) == ["data/s.parquet", "dead/other.parquet", "manifests/s.json"]


def test_abandoned_shard_leaves_nothing(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "ROW_GROUP_BYTES", 1)
    writer = ShardWriter(target, "s", SCHEMA)
    writer.add(batch("a", "spam", "bad"))
    writer.abandon(ValueError("in the middle"))
    del writer  # a Parquet writer that is open would complain here
    assert visible(target) == []


def test_abandoned_shard_leaves_what_was_committed_before(target: Target) -> None:
    first = ShardWriter(target, "s", SCHEMA)
    first.add(batch("a"))
    manifest = finish(first)
    again = ShardWriter(target, "s", SCHEMA)
    again.add(batch("b"))
    again.abandon(KeyboardInterrupt())
    assert read_manifests(target.folder) == {"s": manifest}
    assert read(target, "data/s.parquet").column("text").to_pylist() == ["a"]


def test_manifest_is_put_behind_all_files(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    def put(folder: Folder, name: str, data: bytes) -> None:
        seen.append((name, visible(target)))

    seen: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(Folder, "put", put)
    writer = ShardWriter(target, "s", SCHEMA)
    writer.add(batch("a", "spam", "bad"))
    finish(writer)
    assert seen == [("manifests/s.json", ["data/s.parquet", "removed/s.parquet", "dead/s.parquet"])]


def test_all_unreadable_pieces_are_counted_and_the_first_listed(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "MAX_LISTED", 2)
    writer = ShardWriter(target, "s", SCHEMA)
    for offset in range(5):
        writer.note(Unreadable(offset, "x" * 2000))
    manifest = finish(writer)
    assert (manifest.counts.unreadable, [offset for offset, _ in manifest.unreadable]) == (5, [0, 1])
    assert len(manifest.unreadable[0][1]) == 500


def test_rows_that_were_dead_are_so_no_more(target: Target) -> None:
    first = ShardWriter(target, "s", SCHEMA)
    first.add(batch("a", "bad", "bad"))
    finish(first)
    again = ShardWriter(target, "s-replay-1", SCHEMA)
    again.take_from_dead(2)
    again.add(Batch(batch("b").kept, dead=batch("bad").dead, counts=Counts(dead=1)))
    manifest = finish(again, replays="s")
    assert manifest.counts == Counts(out=1, dead=-1)
    total = sum((m.counts for m in read_manifests(target.folder).values()), Counts())
    assert total == Counts(rows_in=3, out=2, dead=1)
    assert list(committed_files(target.folder, "dead")) == ["dead/s-replay-1.parquet"]
    assert list(committed_files(target.folder, "data")) == ["data/s.parquet", "data/s-replay-1.parquet"]


def test_files_without_a_manifest_are_not_committed(target: Target) -> None:
    for shard in "ba":
        writer = ShardWriter(target, shard, SCHEMA)
        writer.add(batch("x"))
        finish(writer)
    target.folder.put("data/c.parquet", b"without a manifest")
    assert list(committed_files(target.folder, "data")) == ["data/a.parquet", "data/b.parquet"]
    assert list(committed_files(target.folder, "removed")) == []


def test_step_that_is_not_there_has_no_manifests(target: Target) -> None:
    assert read_manifests(target.folder) == {}


def test_broken_manifest_is_named_with_its_place(target: Target) -> None:
    target.folder.put("manifests/s.json", json.dumps({"version": 1}).encode()[:9])
    with pytest.raises(ManifestError, match=r"out/manifests/s\.json: not JSON"):
        read_manifests(target.folder)


def test_discarded_step_loses_its_commits_first(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(ShardWriter(target, "s", SCHEMA))
    target.folder.put("step.json", b"{}")
    target.folder.put("shuffle/rows/s.parquet", b"x")
    order: list[list[str]] = []
    clear = Folder.clear
    monkeypatch.setattr(Folder, "clear", lambda folder: (clear(folder), order.append(target.folder.folders()))[0])
    discard(target.folder)
    assert order[0] == ["data", "shuffle"]
    assert (target.folder.folders(), target.folder.names()) == ([], [])


def test_tidy_leaves_what_manifests_stand_for(target: Target) -> None:
    first = ShardWriter(target, "a-replay-b", SCHEMA)  # a name that only looks like a replay's
    first.add(batch("x", "spam", "bad"))
    finish(first)
    again = ShardWriter(target, "a-replay-b-replay-1", SCHEMA)
    again.take_from_dead(1)
    again.add(batch("y"))
    again.counts += Counts(rows_in=-1)
    finish(again, replays="a-replay-b")
    target.folder.put("data/c.parquet", b"left")
    tidy(target.folder)
    assert [name for name in visible(target) if not name.startswith("manifests")] == [
        "data/a-replay-b-replay-1.parquet", "data/a-replay-b.parquet", "removed/a-replay-b.parquet",
    ]  # fmt: skip
