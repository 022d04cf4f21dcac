"""A RayJob that is tried again: its entrypoint on a new cluster, after the last one went, goes on by itself."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from ray.job_submission import JobStatus

from pipelines.cli import main
from tests.infra.clusters import cluster, wait_for
from tests.infra.render import INFRA, named, rendered
from tests.infra.test_prestop import hook

SAMPLE = INFRA.parent / "tests" / "data" / "sample.warc.gz"


def run_of(folder: Path, output: Path) -> str:
    """The RayJob's entrypoint and its config as they are rendered; where data is and how small its pieces is ours."""
    manifests = rendered(INFRA / "overlays" / "kind")
    settings = yaml.safe_load(named(manifests, "ConfigMap", "headrace-runs")["data"]["web.yaml"])
    settings |= {"input": str(SAMPLE), "output": str(output)}
    pieces = {"piece_bytes": SAMPLE.stat().st_size // 8}
    settings["set"] = {"ReadWarc": pieces, "ExtractText": {"engine": "resiliparse"}}
    (folder / "web.yaml").write_text(yaml.safe_dump(settings))
    entrypoint: str = named(manifests, "RayJob")["spec"]["entrypoint"]
    assert entrypoint.endswith(" --config /etc/headrace/web.yaml")
    return entrypoint.replace("/etc/headrace", str(folder))


def commits(output: Path) -> dict[str, int]:
    return {str(m): m.stat().st_mtime_ns for m in output.glob("*/manifests/[!.]*.json")}


def dataset(output: Path) -> dict[str, pa.Table]:
    files = sorted(output.glob("*/*/[!.]*.parquet"))
    return {str(file.relative_to(output)): pq.read_table(file) for file in files}


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.skipif("HEADRACE_FAULTS" not in os.environ, reason="five minutes: make faults")
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:ssl=None is deprecated")  # how Ray calls aiohttp
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_the_same_entrypoint_goes_on(tmp_path: Path, how: str) -> None:
    output, job = tmp_path / "out", "headrace-web-1"
    entrypoint = run_of(tmp_path, output)
    with cluster(tmp_path) as first:
        client = first.submit(entrypoint, job)
        wait_for(lambda: commits(output) != {} or client.get_job_status(job).is_terminal(), 400)
        assert client.get_job_status(job) == JobStatus.RUNNING, client.get_job_logs(job)
        if how == "stopped":  # the head's pod is deleted: its hook runs, and the RayJob has to see a failure
            done = hook("head", RAY_ADDRESS=first.gcs, RAY_JOB_STOP_SIGNAL="SIGINT", HEADRACE_GRACE_S="100")
            assert done.stderr.endswith(" jobs interrupted\n"), done.stderr
            wait_for(lambda: client.get_job_status(job).is_terminal())
            assert client.get_job_status(job) == JobStatus.FAILED
            assert "the same command goes on where this one stopped" in client.get_job_logs(job)
    before = commits(output)
    assert before
    assert how == "stopped" or not (output / "run.json").exists()
    with cluster(tmp_path) as second:
        client = second.submit(entrypoint, job)
        wait_for(lambda: client.get_job_status(job).is_terminal(), 400)
        assert client.get_job_status(job) == JobStatus.SUCCEEDED, client.get_job_logs(job)
    after = commits(output)
    assert {name: after[name] for name in before} == before, "a committed shard was done again"
    config = yaml.safe_load((tmp_path / "web.yaml").read_text()) | {"output": str(tmp_path / "undisturbed")}
    (tmp_path / "web.yaml").write_text(yaml.safe_dump(config))
    assert main(["run", "web", "--runner", "local", "--config", str(tmp_path / "web.yaml")]) == 0
    assert dataset(output) == dataset(tmp_path / "undisturbed")
