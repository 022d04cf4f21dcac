"""The entrypoint of the RayCronJob: which crawl it takes and what it makes of the command."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra.render import INFRA, named, rendered


def monthly(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(INFRA / "monthly.py"), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.fixture
def crawls(tmp_path: Path) -> Path:
    for name, complete in {"CC-MAIN-2025-51": True, "CC-MAIN-2026-05": True, "CC-MAIN-2026-09": False}.items():
        (tmp_path / "crawls" / name).mkdir(parents=True)
        if complete:
            (tmp_path / "crawls" / name / "warc.paths.gz").write_bytes(b"")
    (tmp_path / "crawls" / "CC-MAIN-2026-05-index").mkdir()
    (tmp_path / "monthly.yaml").write_text("output: s3://bucket/crawls/\n")
    return tmp_path


def test_the_newest_complete_crawl_becomes_a_run(crawls: Path) -> None:
    done = monthly(str(crawls / "crawls"), "echo", "run", "web", "--config", str(crawls / "monthly.yaml"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "run", "web", "--config", str(crawls / "monthly.yaml"),
        "--input", f"{crawls}/crawls/CC-MAIN-2026-05/segments/*/warc/*.warc.gz",
        "--output", "s3://bucket/crawls/CC-MAIN-2026-05",
    ]  # fmt: skip


def test_its_exit_status_is_the_runs(crawls: Path) -> None:
    assert monthly(str(crawls / "crawls"), "false", "--config", str(crawls / "monthly.yaml")).returncode == 1


def test_what_is_missing_is_told(crawls: Path) -> None:
    config = str(crawls / "monthly.yaml")
    assert monthly("a").stderr.startswith("monthly: usage: ")
    assert "without one: none" in monthly(str(crawls), "echo", "--config", config).stderr
    (crawls / "monthly.yaml").write_text("workers: 3\n")
    told = monthly(str(crawls / "crawls"), "echo", "--config", config).stderr
    assert told == f"monthly: {config} should say 'output', the folder of all crawls; found None\n"


def test_the_cron_job_says_it_so(tmp_path: Path) -> None:
    manifests = rendered(INFRA / "overlays" / "eks")
    python, script, folder, *command = named(manifests, "RayCronJob")["spec"]["jobTemplate"]["entrypoint"].split()
    assert (python, script, folder) == ("python", "/opt/headrace/monthly.py", "s3://commoncrawl/crawl-data")
    assert command == ["headrace", "run", "web", "--runner", "ray", "--config", "/etc/headrace/monthly.yaml"]
    assert "output: s3://" in named(manifests, "ConfigMap")["data"]["monthly.yaml"]
