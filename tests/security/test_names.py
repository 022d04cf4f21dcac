"""Names from outside lead nowhere: not out of an output, not to code, not to another's files."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cluster.commit import read_manifests, tidy
from cluster.errors import ConfigError
from cluster.shards import list_inputs, shard_name
from cluster.storage import Folder
from pipelines.cli import main
from pipelines.report.account import StepLine
from pipelines.report.refinement import inputs_of
from schemas.manifest import Counts, Manifest, ManifestError, from_json
from stages.model_file import locate as locate_model
from stages.stage import Piece
from tests.fakes import DropWith
from tests.runs import manifests, one_step, plan_over, run_local, texts, two_steps, write

OUTSIDE = [
    "../../../etc/passwd",
    "/etc/passwd",
    "data/../../secret.parquet",
    "data/other.parquet",
    "data//s.parquet",
    "s3://bucket/x",
    "manifests/x.json",
    "",
    7,
    None,
]


def manifest(**changed: Any) -> str:
    files = [{"path": "data/s.parquet", "rows": 1, "bytes": 1}]
    whole = {**json.loads(Manifest("only", "s", "f", {"uri": "x"}, (), Counts(), (), {}, 0.0, 0.0).to_json())}
    return json.dumps({**whole, "files": files, **changed})


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_manifest_names_its_own_files(path: Any) -> None:
    with pytest.raises(ManifestError, match=r"here: file .* is none of data/s\.parquet, removed/s\.parquet"):
        from_json(manifest(files=[{"path": path, "rows": 1, "bytes": 1}]), "here")


@pytest.mark.parametrize("shard", ["../s", "/etc/passwd", "a/b", "", ".", "a\0b", "x" * 256, 7, None])
def test_a_shard_has_a_plain_name(shard: Any) -> None:
    with pytest.raises(ManifestError, match="is no name of a shard"):
        from_json(manifest(shard=shard, files=[]), "here")
    with pytest.raises(ManifestError, match=r"source\.replays .* is no name of a shard"):
        from_json(manifest(source={"replays": shard}), "here")


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"counts": {"rows_in": "1"}}, "counts.rows_in '1' is no whole number"),
        ({"counts": {"dropped": [1]}}, r"counts.dropped \[1\] is not an object"),
        ({"counts": {"dropped": {"a": "<b>"}}}, "counts.dropped.a '<b>' is no whole number"),
        ({"files": [{"path": "data/s.parquet", "rows": True, "bytes": 1}]}, "rows of data/s.parquet True is no whole"),
        ({"seconds": "<script>"}, "seconds '<script>' is no number"),
        ({"stages": {"A": {"rows_in": None}}}, "stages.A.rows_in None is no number"),
        ({"source": "x"}, "source 'x' is not an object"),
        ({"unreadable": [[1]]}, "here: "),
        ({"files": {"a": 1}}, "here: "),
    ],
)
def test_what_should_be_a_number_is_one(changed: dict[str, Any], fault: str) -> None:
    with pytest.raises(ManifestError, match=fault):
        from_json(manifest(**changed), "here")


def test_json_without_end_is_refused() -> None:
    with pytest.raises(ManifestError, match="here: not JSON"):
        from_json("[" * 100_000, "here")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A finished run of two steps, and a file beside it that nobody may touch."""
    write(tmp_path / "in", {"a.txt": "a\nspam\nb\n"})
    run_local(plan_over(two_steps(DropWith("spam")), tmp_path / "in"), tmp_path / "out")
    (tmp_path / "secret.parquet").write_bytes(b"mine")
    return tmp_path / "out"


def tamper(output: Path, step: str, **changed: Any) -> Path:
    file = next((output / step / "manifests").glob("*.json"))
    data = json.loads(file.read_text())
    file.write_text(json.dumps({**data, **changed}))
    return file


@pytest.mark.parametrize("command", [("report",), ("status",), ("explain", "id"), ("replay",)])
@pytest.mark.parametrize("path", ["../../../secret.parquet", "/etc/passwd"])
def test_readers_refuse_a_manifest_that_leads_out(
    output: Path, command: tuple[str, ...], path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tamper(output, "filter", files=[{"path": path, "rows": 3, "bytes": 4}])
    assert main([command[0], str(output), *command[1:]]) == 2
    assert "is none of data/" in capsys.readouterr().err
    assert (output.parent / "secret.parquet").read_bytes() == b"mine"


def test_the_next_step_refuses_it_too(output: Path) -> None:
    tamper(output, "filter", files=[{"path": "../../../secret.parquet", "rows": 2, "bytes": 4}])
    for file in (output / "dedup" / "manifests").iterdir():
        file.unlink()
    with pytest.raises(ManifestError, match="is none of data/"):
        run_local(plan_over(two_steps(DropWith("spam")), output.parent / "in"), output)


def test_a_replay_that_is_none_deletes_nothing(output: Path) -> None:
    file = tamper(output, "filter", source={"replays": "../../../secret"})
    replay = file.with_name(file.stem + "-replay-1.json")
    data = json.loads(file.read_text())
    replay.write_text(json.dumps({**data, "shard": replay.stem, "files": []}))
    with pytest.raises(ManifestError, match=r"source\.replays"):
        tidy(Folder(str(output / "filter")))
    assert (output.parent / "secret.parquet").exists()


def test_a_manifest_under_another_name_is_refused(output: Path) -> None:
    file = next(manifests(output))
    file.rename(file.with_name("other.json"))
    with pytest.raises(ManifestError, match=r"other\.json: is of shard a-"):
        read_manifests(Folder(str(file.parents[1])))


@pytest.mark.parametrize(
    "uri", ["file:///in/../../../x.warc.gz", "s3://b/..", "https://h/%2e%2e/a b?x=/../y", "f:///\0"]
)
def test_names_of_inputs_become_plain_names(uri: str) -> None:
    assert set(shard_name(Piece(uri))) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def test_a_folder_with_a_strange_name_stays_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "in", {"..hidden/../x [1]*?\n.txt": "a\n", "a/../b.txt": "b\n"})
    run_local(plan_over(one_step(DropWith("spam")), tmp_path / "in"), tmp_path / "out [x]*")
    assert sorted(texts(tmp_path / "out [x]*" / "only" / "data")) == ["a", "b"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out [x]*"]


@pytest.mark.parametrize("fresh", [False, True])
def test_an_output_with_a_link_in_it_is_left_alone(output: Path, tmp_path: Path, fresh: bool) -> None:
    """A listing shows no folder there: what is behind the link would be neither checked nor cleared, but written to."""
    (output / "filter").rename(tmp_path / "mine")
    (output / "filter").symlink_to(tmp_path / "mine")
    with pytest.raises(ConfigError, match="holds files that are not headrace's: filter, a link"):
        run_local(plan_over(two_steps(DropWith("spam")), output.parent / "in"), output, fresh=fresh)
    assert (tmp_path / "mine" / "step.json").exists()


def test_links_to_files_are_inputs_and_none_is_passed_over(tmp_path: Path) -> None:
    """Hugging Face's cache is a folder of links."""
    write(tmp_path / "real", {"a.txt": "a\n"})
    write(tmp_path / "in", {"b.txt": "b\n"})
    (tmp_path / "in" / "a.txt").symlink_to("../real/a.txt")
    (tmp_path / "in" / ".hidden").symlink_to("nowhere")
    assert [Path(f.uri).name for f in list_inputs([str(tmp_path / "in")])] == ["a.txt", "b.txt"]
    assert [f.size for f in list_inputs([str(tmp_path / "in" / "*.txt")])] == [2, 2]
    (tmp_path / "in" / "loop").symlink_to("../in")
    with pytest.raises(ConfigError, match="loop is a link to a folder: give that as an --input of its own"):
        list_inputs([str(tmp_path / "in")])
    assert len(list_inputs([str(tmp_path / "in" / "loop" / "a.txt")])) == 1
    (tmp_path / "in" / "loop").unlink()
    (tmp_path / "in" / "gone.txt").symlink_to("nowhere")
    with pytest.raises(ConfigError, match=r"gone\.txt is a link to nothing that can be read"):
        list_inputs([str(tmp_path / "in")])


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / os.fsdecode(b"a\xff.txt")).write_text("a\n")
    with pytest.raises(ConfigError, match="is not UTF-8, which every row of it would carry"):
        list_inputs([str(tmp_path / "in")])


def test_a_models_address_names_a_file_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("stages.model_file._fetch", lambda url, path, sha256, who: fetched.append(path))
    for url in ("https://h/../../../etc/passwd", "https://h/..", "https://h/", "https://h/a?b=/../c"):
        locate_model(url, "0" * 64, "T")
    assert {path.parent for path in fetched} == {tmp_path / "headrace"}


def test_a_report_runs_no_code_that_an_output_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "planted.py").write_text(f"open({str(tmp_path / 'made')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    about = {"identity": {"source": {"stage": "planted.Source", "version": 1, "settings": {}}}}
    step = StepLine("s", {}, Counts(), (), 0.0, None, about)
    read = Manifest("s", "s", "f", {"uri": "x", "start": 0, "stop": None}, (), Counts(), (), {}, 0.0, 0.0)
    assert inputs_of(step, read, {"id"}) == {}
    assert not (tmp_path / "made").exists()
