"""A file is visible only when it is whole; names and addresses are the same however the folder is called."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from cluster import storage
from cluster.errors import ConfigError, LeaseLostError, StoreError, is_transient
from cluster.storage import Folder, address, locate, open_input
from tests.cluster.conftest import BUCKET


@pytest.fixture(params=["disk", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    """An empty folder, on the local disk and in fsspec's memory."""
    yield Folder(str(tmp_path / "out")) if request.param == "disk" else Folder("memory://storage-test/out")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def test_file_is_read_as_it_was_put(folder: Folder) -> None:
    folder.put("a/b.json", b"one")
    folder.put("a/b.json", b"two")
    assert folder.get("a/b.json") == b"two"
    assert folder.size("a/b.json") == 3
    with folder.open("a/b.json") as file:
        assert file.read() == b"two"


def test_absent_file_is_not_found(folder: Folder) -> None:
    assert not folder.exists("a.json")
    with pytest.raises(FileNotFoundError):
        folder.get("a.json")


def test_names_are_sorted_relative_and_without_hidden_ones(folder: Folder) -> None:
    for name in ("m/b.json", "m/a.json", "m/.hidden.json", "m/c.txt", "m/deep/d.json", "top.json"):
        folder.put(name, b"x")
    assert folder.names("m", ".json") == ["m/a.json", "m/b.json"]
    assert folder.names() == ["top.json"]
    assert folder.folders() == ["m"]
    assert folder.below("m").folders() == ["deep"]


def test_folder_that_is_not_there_is_empty(folder: Folder) -> None:
    assert (folder.names("nowhere"), folder.folders(), folder.get_many([])) == ([], [], {})


def test_many_files_are_read_at_once(folder: Folder) -> None:
    for name in ("m/a", "m/b"):
        folder.put(name, name.encode())
    assert folder.get_many(["m/a", "m/b"]) == {"m/a": b"m/a", "m/b": b"m/b"}
    assert folder.get_many(["m/b"]) == {"m/b": b"m/b"}


def test_signs_of_a_glob_in_a_folder_name_are_just_signs(tmp_path: Path) -> None:
    (tmp_path / "out1").mkdir()
    (tmp_path / "out1" / "a").write_bytes(b"wrong")
    folder = Folder(str(tmp_path / "out[1]"))
    folder.put("a", b"x")
    folder.put("b", b"y")
    assert folder.names() == ["a", "b"]
    assert folder.get_many(["a", "b"]) == {"a": b"x", "b": b"y"}


def test_written_file_appears_when_the_block_ends(folder: Folder) -> None:
    with folder.writing("data/a.parquet") as file:
        pq.write_table(pa.table({"x": [1, 2]}), file)
    with folder.open("data/a.parquet") as file:
        assert pq.read_table(file).column("x").to_pylist() == [1, 2]


def test_error_while_writing_leaves_no_file_and_is_the_one_that_is_told(folder: Folder) -> None:
    with pytest.raises(ValueError, match="in the middle"), folder.writing("data/a") as file:
        file.write(b"half")
        raise ValueError("in the middle")
    assert folder.names("data") == []


def test_error_while_writing_leaves_the_earlier_file(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    folder.put("a", b"whole")
    with pytest.raises(ValueError, match="in the middle"), folder.writing("a") as file:
        file.write(b"half")
        raise ValueError("in the middle")
    assert (folder.get("a"), os.listdir(tmp_path)) == (b"whole", ["a"])


def test_deleting_what_is_not_there_is_no_error(folder: Folder) -> None:
    folder.put("a", b"x")
    folder.delete("a", "b")
    assert not folder.exists("a")


def test_clear_takes_the_folder_away(folder: Folder) -> None:
    folder.put("a/b", b"x")
    folder.below("a").clear()
    folder.below("a").clear()
    assert folder.folders() == []


def test_sweep_takes_away_only_what_killed_writers_left(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    for name in ("d/.a.parquet.writing-12-0a1b2c3d", "d/.keep", "d/a.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    folder.sweep("d")
    folder.sweep("nowhere")
    assert sorted(os.listdir(tmp_path / "d")) == [".keep", "a.parquet"]


def test_writable_folder_is_left_as_it_was(folder: Folder) -> None:
    folder.check_writable()
    assert folder.names() == []


def test_unwritable_folder_is_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot write to .*file/out: "):
        Folder(str(tmp_path / "file" / "out")).check_writable()


def test_disk_that_refuses_a_file_is_told_with_its_name_and_the_cause(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for name, cause in (("file/a", "File exists"), ("folder", "Is a directory")):
        with pytest.raises(StoreError, match=rf"cannot write /.*{name}: {cause}\n  mend that, or give another place"):
            Folder(str(tmp_path)).put(name, b"x")


def test_error_of_a_disk_behind_a_network_may_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(file: int) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(os, "fsync", stale)
    with pytest.raises(OSError, match="Stale") as caught:
        Folder(str(tmp_path)).put("a", b"x")
    assert is_transient(caught.value)
    assert os.listdir(tmp_path) == []


def test_name_is_on_the_disk_before_the_next_file_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a power cut may leave a manifest, which is put last, without the data that it names."""
    done: list[tuple[str, str]] = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(descriptor: int) -> None:
        done.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink().name.partition(".writing")[0]))
        real_sync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        done.append(("name", Path(target).name))
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    folder = Folder(str(tmp_path / "out"))
    folder.put("data/a", b"rows")
    new = [("sync", tmp_path.name), ("sync", "out")]  # that `out` is in it, and that `data` is
    assert done == [*new, ("sync", ".a"), ("name", "a"), ("sync", "data")]
    done.clear()
    folder.put("data/b", b"more")
    assert done == [("sync", ".b"), ("name", "b"), ("sync", "data")]


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_disk_that_knows_no_sync_of_folders_is_written_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    Folder(str(tmp_path / "out")).put("a", b"x")
    assert (tmp_path / "out/a").read_bytes() == b"x"


def test_folder_whose_disk_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StoreError, match=r"cannot write .*/a: No space left on device\n  make room"):
        Folder(str(tmp_path)).put("a", b"x")


def test_a_long_delete_asks_again_and_again_whether_the_folder_is_still_ours(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes it over meanwhile loses no more than a few files."""
    monkeypatch.setattr(storage, "DELETED_AT_A_TIME", 3)
    names = [f"m/deep/{n}" for n in range(10)]
    asked = 0

    def sure() -> None:
        nonlocal asked
        asked += 1
        if asked > 2:
            raise LeaseLostError("another run has it")

    ours = Folder(folder.url, sure)
    for take_away in (lambda: ours.delete(*names), lambda: ours.below("m").clear()):
        for name in names:
            folder.put(name, b"x")
        asked = 0
        with pytest.raises(LeaseLostError):
            take_away()
        assert len(folder.names("m/deep")) == 10 - 2 * 3
    asked = -10
    ours.below("m").clear()
    assert not folder.exists("m")
    assert asked == -10 + 2  # of the four files that were left


def test_clearing_in_parts_does_not_follow_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "DELETED_AT_A_TIME", 1)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/kept").touch()
    ours = Folder(str(tmp_path / "out"), lambda: None)
    ours.put("m/a", b"x")
    ours.put("m/z", b"x")
    (tmp_path / "out/m/folder").symlink_to(tmp_path / "other")
    (tmp_path / "out/m/file").symlink_to(tmp_path / "other/kept")
    ours.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
    assert (tmp_path / "other/kept").exists()


def test_objects_are_cleared_in_parts(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "DELETED_AT_A_TIME", 2)
    asked: list[int] = []
    ours = Folder(f"s3://{BUCKET}/out", lambda: asked.append(len(Folder(f"s3://{BUCKET}/out").names("m"))))
    for n in range(5):
        Folder(f"s3://{BUCKET}/out").put(f"m/{n}", b"x")
    ours.clear()
    assert asked == [5, 3, 1]
    assert not ours.exists()


def test_one_place_has_one_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spellings = ("out", "./out", "out/", str(tmp_path / "out"), f"file://{tmp_path}/out", f"file://{tmp_path}/out/")
    assert {address(*locate(url)) for url in spellings} == {f"file://{tmp_path}/out"}
    assert {address(*locate(url)) for url in ("memory://a/b", "memory:///a/b", "memory://a/b/")} == {"memory:///a/b"}


def test_scheme_that_nobody_knows_is_told() -> None:
    with pytest.raises(ConfigError, match=r"s4://bucket: Protocol not known: s4"):
        locate("s4://bucket")


@pytest.mark.parametrize("url", ["memory://", "s3://"])
def test_scheme_without_a_place_is_no_local_folder(url: str) -> None:
    assert "file" not in locate(url)[0].protocol


def test_input_is_opened_seekable(folder: Folder) -> None:
    folder.put("größe #1?.txt", b"0123456789")
    with open_input(f"{folder.url}/größe #1?.txt") as file:
        file.seek(4)
        assert file.read(2) == b"45"
