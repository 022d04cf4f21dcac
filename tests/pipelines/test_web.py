"""The web recipe from the command line, over the bundled sample and over real pages: every runner, every store."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from cluster import storage
from cluster.storage import Folder
from pipelines.cli import main

LONG = pytest.mark.skipif("HEADRACE_FAULTS" not in os.environ, reason="the long form: make faults")
SAMPLE = str(Path(__file__).resolve().parents[1] / "data" / "sample.warc.gz")
FAST = ["--set", "ExtractText.engine=resiliparse", "--max-dead", "0.01"]


def headrace(*arguments: str, **environment: str) -> dict[str, Any]:
    """`headrace run web ... --json` in a process of its own; the object of its last line."""
    command = [sys.executable, "-m", "pipelines", "run", "web", "--json", *arguments]
    env = {**os.environ, "RAY_AUTH_MODE": "disabled", **environment}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def rows(output: str, step: str = "dedup") -> list[tuple[str, str]]:
    """(id, text) of the rows that a step kept, in order of shard and row."""
    folder = Folder(output).below(step)
    tables = [pq.read_table(folder.open(name), columns=["id", "text"]) for name in folder.names("data", ".parquet")]
    table = pa.concat_tables(tables)
    return list(zip(table.column("id").to_pylist(), table.column("text").to_pylist(), strict=True))


def account(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [{k: v for k, v in step.items() if not k.endswith("seconds")} for step in result["steps"]]


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """The environment of an S3 server with a bucket `water`."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    patch = pytest.MonkeyPatch()
    for name, value in environment.items():
        patch.setenv(name, value)
    storage._filesystem.cache_clear()
    boto3.client("s3").create_bucket(Bucket="water")
    yield environment
    patch.undo()
    storage._filesystem.cache_clear()
    moto.stop()


@pytest.mark.slow
@pytest.mark.ray
def test_runners_and_stores_make_the_same_rows(tmp_path: Path, s3: dict[str, str]) -> None:
    small = ["--set", "ReadWarc.piece_bytes=50000", "--input", SAMPLE, *FAST]
    outputs = [str(tmp_path / "local"), str(tmp_path / "ray"), "s3://water/out"]
    results = [
        headrace(*small, "--output", outputs[0]),
        headrace(*small, "--output", outputs[1], "--runner", "ray", "--workers", "2"),
        headrace(*small, "--output", outputs[2], "--runner", "ray", "--workers", "2", **s3),
    ]
    expected = rows(outputs[0])
    assert len(expected) > 20
    assert rows(outputs[1]) == expected
    assert rows(outputs[2]) == expected
    assert account(results[0]) == account(results[1]) == account(results[2])
    # Split or not, the same rows: ids come from the record's place in the file.
    headrace("--input", SAMPLE, *FAST, "--output", str(tmp_path / "whole"))
    assert sorted(rows(str(tmp_path / "whole"))) == sorted(expected)


def test_demo_account_is_closed_and_every_reason_is_the_papers(tmp_path: Path) -> None:
    result = headrace("--input", SAMPLE, "--max-dead", "0.01", "--output", str(tmp_path / "out"))
    filtered, deduped = result["steps"]
    assert result["status"] == "done"
    assert filtered["rows_in"] == filtered["out"] + sum(filtered["dropped"].values()) + filtered["dead"]
    assert deduped["rows_in"] == filtered["out"]
    for reason in (
        "ReadWarc.http_status",
        "ReadWarc.mime",
        "UrlFilter.domain",
        "Screen.screen_language",
        "ExtractText.timeout",
        "GopherQuality.gopher_short_doc",
    ):
        assert filtered["dropped"].get(reason, 0) > 0, reason
    assert deduped["dropped"]["DropDuplicates.duplicate"] > 0
    assert filtered["unreadable"] > 0


def test_screening_loses_no_row_of_the_demo(tmp_path: Path) -> None:
    off = [f"Screen.{test}=null" for test in ("language_bound", "min_words", "min_stop_words")]
    outputs = [str(tmp_path / "with"), str(tmp_path / "without")]
    results = [
        headrace("--input", SAMPLE, *FAST, "--output", outputs[0]),
        headrace("--input", SAMPLE, *FAST, "--output", outputs[1], *(x for test in off for x in ("--set", test))),
    ]
    assert len(rows(outputs[1])) > 20
    assert rows(outputs[0]) == rows(outputs[1])
    screened, unscreened = (result["steps"][0]["dropped"] for result in results)
    assert not any(reason.startswith("Screen.") for reason in unscreened)
    assert screened["Screen.screen_language"] > 30
    assert sum(screened.values()) == sum(unscreened.values())


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize(("archive", "responses"), [("pages-dev", 1709), pytest.param("crawl-dev", 324, marks=LONG)])
def test_real_archives_are_accounted_for(tmp_path: Path, shared: Path, archive: str, responses: int) -> None:
    source = ["--input", str(shared / f"{archive}.warc.gz"), "--set", "ReadWarc.piece_bytes=4000000", *FAST]
    result = headrace(*source, "--output", str(tmp_path / "local"))
    assert result["steps"][0]["rows_in"] == responses
    assert result["steps"][0]["unreadable"] == 0
    assert account(headrace(*source, "--output", str(tmp_path / "ray"), "--runner", "ray")) == account(result)
    assert rows(str(tmp_path / "ray")) == rows(str(tmp_path / "local"))


def test_broken_archives_are_accounted_for(tmp_path: Path, shared: Path) -> None:
    result = headrace("--input", str(shared / "warc-originals"), "--output", str(tmp_path / "out"), *FAST)
    step = result["steps"][0]
    assert step["shards"] == 31
    assert step["rows_in"] >= 263  # what the best reader gets of each, added up
    assert step["unreadable"] > 0


def test_plain_parquet_reader_sees_the_dataset(tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert main(["run", "web", "--input", SAMPLE, "--output", str(output), *FAST]) == 0
    table = pq.read_table(output / "dedup" / "data")
    assert table.num_rows == len(rows(str(output)))
    assert table.schema.field("text").type == pa.large_string()
    assert "html" not in table.column_names
