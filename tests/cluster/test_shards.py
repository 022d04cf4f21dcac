"""Inputs to shards: found, named by their address alone, cut as the source says."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from cluster import shards as module
from cluster.errors import ConfigError
from cluster.shards import InputFile, LazyFile, list_inputs, make_shards, shard_name
from cluster.storage import Folder
from stages.stage import Piece
from tests.fakes import ReadLines
from tests.runs import write


@dataclass(frozen=True)
class Cut(ReadLines):
    """As many pieces as `cuts` says, in whatever unit."""

    cuts: tuple[int, ...] = (0,)

    def split(self, file: Any, uri: str, size: int) -> list[Piece]:
        return [Piece(uri, a, b) for a, b in zip(self.cuts, [*self.cuts[1:], None], strict=True)]


def uris(*urls: Path | str) -> list[str]:
    return [file.uri.rpartition("/")[2] for file in list_inputs([str(url) for url in urls])]


def test_file_folder_and_glob_are_found_in_order(tmp_path: Path) -> None:
    write(tmp_path, {"b.txt": "b", "a.txt": "a", "deep/c.txt": "c", "d.md": "d"})
    assert uris(tmp_path / "b.txt") == ["b.txt"]
    assert uris(tmp_path) == ["a.txt", "b.txt", "d.md", "c.txt"]
    assert uris(tmp_path / "*.txt") == ["a.txt", "b.txt"]
    assert uris(tmp_path / "b.txt", tmp_path / "a.txt") == ["b.txt", "a.txt"]


def test_hidden_files_are_left_out_unless_they_are_named(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "a", ".b.txt": "b", "_SUCCESS": "", "_tmp/c.txt": "c", ".git/d": "d"})
    assert uris(tmp_path) == ["a.txt"]
    assert uris(tmp_path / "*") == ["a.txt"]
    assert uris(tmp_path / "_SUCCESS") == ["_SUCCESS"]


def test_hidden_folder_above_the_input_does_not_hide_it(tmp_path: Path) -> None:
    assert uris(write(tmp_path / ".cache", {"a.txt": "a"})) == ["a.txt"]


def test_every_fault_of_the_inputs_is_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "a"})
    (tmp_path / "empty").mkdir()
    wrong = [tmp_path / "nowhere", tmp_path / "empty", tmp_path / "*.warc", tmp_path, tmp_path / "a.txt", "s4://x"]
    with pytest.raises(ConfigError) as caught:
        list_inputs([str(url) for url in wrong])
    assert str(caught.value).splitlines() == [
        f"input {tmp_path}/nowhere: not there",
        f"input {tmp_path}/empty: no files",
        f"input {tmp_path}/*.warc: no files",
        "s4://x: Protocol not known: s4",
        f"input file://{tmp_path}/a.txt: given twice",
    ]


def test_one_file_by_several_spellings_is_given_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a.txt": "a"})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="given twice"):
        list_inputs(["a.txt", f"file://{tmp_path}/a.txt"])


def test_name_with_signs_of_a_glob_is_taken_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, {"a[1].txt": "a", "a1.txt": "b"})
    assert uris(tmp_path / "a[1].txt") == ["a[1].txt"]


def test_inputs_in_memory_are_found() -> None:
    Folder("memory://shards-test").put("in/a.txt", b"abc")
    (file,) = list_inputs(["memory://shards-test/in/"])
    assert (file.uri, file.size) == ("memory:///shards-test/in/a.txt", 3)
    MemoryFileSystem.store.clear()


def test_file_that_changes_has_another_etag(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "a"})
    (before,) = list_inputs([str(tmp_path)])
    os.utime(tmp_path / "a.txt", (1, 1))
    (after,) = list_inputs([str(tmp_path)])
    assert before.etag != after.etag


@pytest.mark.parametrize(
    ("piece", "start"),
    [
        (Piece("file:///in/CC-MAIN-1.warc.gz"), "CC-MAIN-1-"),
        (Piece("file:///in/a.b.c"), "a-"),
        (Piece("file:///in/größe & höhe.txt"), "gr-e-h-he-"),
        (Piece("file:///in/документ.txt"), "shard-"),
        (Piece("file:///in/.txt"), "shard-"),
        (Piece("file:///in/a.txt", 100, 200), "a-100-"),
        (Piece("file:///in/a.txt", 0, 100), "a-0-"),
        (Piece("file:///in/" + "x" * 300), "x" * 60 + "-"),
    ],
)
def test_shard_name_is_readable_and_ends_in_a_digest(piece: Piece, start: str) -> None:
    name = shard_name(piece)
    assert name.startswith(start)
    assert len(name) == len(start) + 8


def test_shard_name_is_the_same_for_ever() -> None:
    # printf 'file:///in/a.txt#0-None' | sha256sum: names of committed shards must not change with the code.
    assert shard_name(Piece("file:///in/a.txt")) == "a-e53ccf37"


def test_files_of_one_name_in_two_folders_are_two_shards(tmp_path: Path) -> None:
    write(tmp_path, {"x/part.txt": "a", "y/part.txt": "b"})
    names = [shard.name for shard in make_shards(ReadLines(), list_inputs([str(tmp_path)]))]
    assert len(set(names)) == 2
    assert all(name.startswith("part-") for name in names)


@pytest.mark.parametrize("files", [0, 1, 15, 16, 17, 1025, 2000])
def test_shards_are_in_the_order_of_the_files_however_many(files: int) -> None:
    inputs = tuple(InputFile(f"file:///in/{number}.txt", 1, "") for number in range(files))
    assert [shard.file for shard in make_shards(ReadLines(), inputs)] == list(inputs)


def test_shards_that_would_share_a_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a.txt": "a", "b.txt": "b"})
    monkeypatch.setattr(module, "shard_name", lambda piece: "same")
    with pytest.raises(ConfigError, match=r"a\.txt and .*b\.txt would both be shard same"):
        make_shards(ReadLines(), list_inputs([str(tmp_path)]))


def test_pieces_share_the_bytes_of_their_file_whatever_they_count_in() -> None:
    file = InputFile("memory:///a.parquet", 100, "")
    by_bytes = make_shards(Cut(cuts=(0, 33, 66)), (file,))
    by_row_group = make_shards(Cut(cuts=(0, 2, 4)), (file,))
    assert [s.bytes for s in by_bytes] == [s.bytes for s in by_row_group] == [33, 33, 34]
    assert [s.bytes for s in make_shards(Cut(), (file,))] == [100]


def test_file_is_opened_only_when_the_source_looks_into_it() -> None:
    (shard,) = make_shards(ReadLines(), (InputFile("file:///nowhere/a.txt", 1, ""),))
    assert shard.piece == Piece("file:///nowhere/a.txt")
    lazy = LazyFile("file:///nowhere/at/all")
    lazy.close()
    with pytest.raises(FileNotFoundError):
        lazy.read()
