"""`headrace submit` against a real Ray head with its job server, started for this test and taken down with it."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cluster.jobs import entrypoint, stage_code
from pipelines.cli import DEFAULTS, main
from tests.infra.clusters import cluster
from tests.ports import free_port

RECIPE = """
name: lines
steps:
  - name: only
    source: {stage: stages.read_jsonl.ReadJsonl}
    stages: [stages.content_hash.ContentHash]
"""


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the job server of a Ray head."""
    with cluster(tmp_path_factory.mktemp("head")) as started:
        started.submit("true", "first")  # so that the head is known to take jobs
        yield started.dashboard


def test_only_the_project_travels(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(RECIPE)
    (tmp_path / "code").mkdir()
    assert stage_code(tmp_path / "code", str(recipe)) == "mine.yaml"
    assert {p.name for p in (tmp_path / "code").iterdir()} == {
        "pipelines", "stages", "cluster", "schemas", "mine.yaml",
    }  # fmt: skip
    assert not list((tmp_path / "code").rglob("__pycache__"))


def test_entrypoint_spells_the_run_out() -> None:
    options = {
        **DEFAULTS, "recipe": "web", "input": ["a", "b"], "output": "o", "workers": 3, "fresh": True, "memory": "4GB",
        "set": {"Language": {"languages": ["en", "de"], "threshold": 0.5}},
    }  # fmt: skip
    assert entrypoint(options) == [
        "python", "-m", "pipelines", "run", "web", "--runner", "ray", "--output", "o", "--input", "a", "--input", "b",
        "--set", "Language.languages=['en', 'de']", "--set", "Language.threshold=0.5", "--workers", "3",
        "--max-dead", "0.001", "--memory", "4GB", "--stuck-after", "1800.0", "--fresh",
    ]  # fmt: skip
    assert entrypoint({**options, "redo": ["a", "b"]})[-4:] == ["--redo", "a", "--redo", "b"]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:ssl=None is deprecated")  # how Ray calls aiohttp
def test_submitted_run_ends_with_the_status_of_the_run(
    head: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text(RECIPE)
    (tmp_path / "in.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    command = ["submit", str(tmp_path / "mine.yaml"), "--address", head, "--input", str(tmp_path / "in.jsonl")]
    assert main([*command, "--output", str(tmp_path / "out")]) == 0
    (data,) = (tmp_path / "out" / "only" / "data").glob("*.parquet")
    assert pq.read_table(data).column("text").to_pylist() == ["one", "two"]
    assert "= kept" in capfd.readouterr().out
    command[-1] = str(tmp_path / "not-there.jsonl")
    assert main([*command, "--output", str(tmp_path / "out2")]) == 2
    assert "not-there.jsonl: not there" in capfd.readouterr().out


def test_no_job_server_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    status = main(["submit", "web", "--address", address, "--input", "x", "--output", str(tmp_path / "out")])
    assert status == 2
    assert f"headrace: no Ray job server at {address}" in capsys.readouterr().err
