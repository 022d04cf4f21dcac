"""What carries the run is lost: a worker node of a real cluster, the GCS, this driver's own raylet.

A worker node costs the shards that were on it. A GCS that comes back costs nothing. Without its own raylet a driver
cannot go on, and would wait for ever: it ends with status 1 in a bounded time, and the same command goes on.
"""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from cluster.driver import alive
from cluster.errors import RunError
from tests.cluster.test_conformance import go as go_with
from tests.fakes import Upper
from tests.faults.differences import committed, difference, state
from tests.faults.schedules import victims
from tests.faults.test_kill_driver import ROOT
from tests.runs import write

LONG = pytest.mark.skipif(not os.environ.get("HEADRACE_FAULTS"), reason="a long form: HEADRACE_FAULTS=1")
BOUND_S = 150.0  # from the loss to the end; Ray takes 15 s on an idle machine to call a node dead
FILES, ROWS = 8, 80
ENVIRONMENT = {
    **os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT),
    "RAY_OVERRIDE_RESOURCES": '{"CPU": 4, "GPU": 1}',
}  # fmt: skip


class Fake:
    """A Ray that answers as it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.node, self.now = "a" * 56, 1000.0
        monkeypatch.setattr(alive.ray, "get_runtime_context", lambda: self)
        monkeypatch.setattr(alive.time, "monotonic", lambda: self.now)

    def get_node_id(self) -> str:
        return self.node


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> tuple[alive.Watch, Fake]:
    fake = Fake(monkeypatch)
    monkeypatch.setattr(alive.Watch, "_ask", lambda _: None)
    monkeypatch.setattr(alive.Watch, "_end", lambda _: None)
    return alive.Watch(), fake


def test_a_cluster_that_answers_is_there(watch: tuple[alive.Watch, Fake]) -> None:
    looked, fake = watch
    fake.now += alive.SILENT_S
    assert looked.lost is None
    assert looked.answers
    looked.check()


def test_silence_of_the_gcs_ends_the_run_before_ray_ends_the_process(watch: tuple[alive.Watch, Fake]) -> None:
    looked, fake = watch
    assert alive.SILENT_S + alive.GRACE_S < 60.0  # RAY_gcs_rpc_server_reconnect_timeout_s
    fake.now += alive.SILENT_S + 1
    with pytest.raises(RunError, match="its GCS has not answered for 41 s\n  the same command goes on"):
        looked.check()
    assert not looked.answers


def test_a_dead_node_ends_the_run(watch: tuple[alive.Watch, Fake]) -> None:
    looked, _ = watch
    looked._dead = True
    with pytest.raises(RunError, match="this driver's node aaaaaaaaaaaa is dead"):
        looked.check()
    assert looked.answers


def recipe(folder: Path, seconds: float, gpus: float = 0.0) -> Path:
    slow = {"stage": "tests.faults.poison.Slow", "seconds": seconds, "gpus": gpus}
    step = {"name": "only", "source": "tests.fakes.ReadLines", "stages": ["tests.fakes.Upper", slow]}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "slow.yaml").write_text(yaml.safe_dump({"name": "slow", "steps": [step]}))
    if not (folder / "in").exists():  # written again it would be another input
        write(folder / "in", {f"{f}.txt": "".join(f"line {f} {i}\n" for i in range(ROWS)) for f in range(FILES)})
    return folder / "slow.yaml"


def start(folder: Path, runner: str, output: str, gpus: float = 0.0, *more: str) -> subprocess.Popen[str]:
    file = recipe(folder, 0.3 if runner == "ray" else 0.0, gpus)
    command = [
        sys.executable, "-m", "pipelines", "run", str(file), "--input", str(folder / "in"),
        "--output", str(folder / output), "--runner", runner, *(["--workers", "2"] if runner == "ray" else []), *more,
    ]  # fmt: skip
    with (folder / "log").open("a") as log:
        return subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=log, stderr=log, text=True)


def wait_for_commit(process: subprocess.Popen[str], folder: Path) -> None:
    while not committed(folder / "killed"):
        assert process.poll() is None, (folder / "log").read_text()
        time.sleep(0.05)  # no event tells of a file of another process


@LONG
@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)
@pytest.mark.parametrize("gpus", [0.0, 0.5])
@pytest.mark.parametrize("victim", ["raylet", "gcs"])
def test_a_lost_head_ends_the_run_and_the_same_command_goes_on(tmp_path: Path, victim: str, gpus: float) -> None:
    assert start(tmp_path, "local", "whole", gpus).wait() == 0
    process = start(tmp_path, "ray", "killed", gpus)
    wait_for_commit(process, tmp_path)
    [daemon] = victims(psutil.Process(process.pid), victim)
    begun = time.monotonic()
    daemon.kill()
    status = process.wait(BOUND_S)
    log = (tmp_path / "log").read_text()
    assert status in ((1,) if victim == "raylet" else (0, 1)), log  # without a GCS, what runs may run to its end
    if status == 1:
        assert "headrace: the Ray cluster is gone: " in log
        assert "the same command goes on where this run stopped" in log
    sys.stdout.write(f"{victim}: status {status} after {time.monotonic() - begun:.0f} s\n")
    before = committed(tmp_path / "killed")
    assert start(tmp_path, "ray", "killed", gpus).wait(300) == 0, (tmp_path / "log").read_text()
    after = committed(tmp_path / "killed")
    assert {name: after[name] for name in before} == before
    assert not difference(state(tmp_path / "whole"), state(tmp_path / "killed"))


@LONG
@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)
@pytest.mark.parametrize("gpus", [0.0, 1.0])
def test_a_lost_worker_node_leaves_no_trace(tmp_path: Path, gpus: float) -> None:
    """Two raylets besides the head's, which has no room for workers; the node with a worker at a shard is killed."""
    from ray.cluster_utils import Cluster

    assert start(tmp_path, "local", "whole", gpus).wait() == 0
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=2, num_gpus=2) for _ in range(2)]
        cluster.wait_for_nodes()
        process = start(tmp_path, "ray", "killed", gpus, "--address", cluster.address)
        wait_for_commit(process, tmp_path)
        raylets = [psutil.Process(node.all_processes["raylet"][0].process.pid) for node in nodes]
        raylets[0].kill()
        assert process.wait(300) == 0, (tmp_path / "log").read_text()
    finally:
        with contextlib.suppress(Exception):  # one of its processes is dead
            cluster.shutdown()
        Path("/tmp/ray/ray_current_cluster").unlink(missing_ok=True)  # or the next Ray joins a cluster that is gone
    assert not difference(state(tmp_path / "whole"), state(tmp_path / "killed"))


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_run_on_a_ray_that_is_there_is_looked_after_and_let_go(tmp_path: Path) -> None:
    result = go_with(tmp_path, "ray", {"a.txt": "one\n"}, Upper())
    assert result["status"] == "done"
    assert alive._watch is None
    alive.check()
