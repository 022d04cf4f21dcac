"""The preStop hook against real nodes: an idle one leaves, a busy one gets no more, drivers are interrupted."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infra.clusters import Cluster, cluster, environment
from tests.infra.render import INFRA
from tests.ports import free_port

# A worker that is at something on the node, and what the cluster says of its node afterwards.
BUSY = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
class Worker:
    def node(self): return ray.get_runtime_context().get_node_id()
worker = ray.remote(Worker).options(num_cpus=0, resources={sys.argv[2]: 1}).remote()
node = ray.get(worker.node.remote())
print("placed", flush=True)
sys.stdin.readline()
draining = ray._private.state.state.get_draining_nodes()
print("draining" if list(draining) == [node] and ray.get(worker.node.remote()) == node else draining, flush=True)
"""


@contextlib.contextmanager
def killed(process: "subprocess.Popen[str]") -> Iterator[None]:
    """A test that fails does not wait for it."""
    try:
        yield
    finally:
        process.kill()


def hook(role: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(INFRA / "prestop.py"), role]
    env = environment(**variables)
    return subprocess.run(command, check=False, capture_output=True, text=True, env=env, timeout=120)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("nodes")) as started:
        for pod in ("idle", "busy"):
            started.add_worker(f"pod-{pod}", "--num-cpus=1", "--resources", json.dumps({pod: 2}))
        yield started


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.skipif("HEADRACE_FAULTS" not in os.environ, reason="a minute each: make faults")
def test_an_idle_node_leaves_the_cluster(nodes: Cluster) -> None:
    done = hook("worker", RAY_ADDRESS=nodes.gcs, RAY_CLOUD_INSTANCE_ID="pod-idle", HEADRACE_GRACE_S="60")
    assert (done.returncode, done.stderr.rpartition(": ")[2]) == (0, "drained\n"), done.stderr
    again = hook("worker", RAY_ADDRESS=nodes.gcs, RAY_CLOUD_INSTANCE_ID="pod-idle", HEADRACE_GRACE_S="60")
    assert (again.returncode, again.stderr.rpartition(": ")[2]) == (0, "the cluster has no node pod-idle\n")


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.skipif("HEADRACE_FAULTS" not in os.environ, reason="a minute each: make faults")
def test_a_busy_node_goes_on_and_is_to_get_no_more(nodes: Cluster) -> None:
    command = [sys.executable, "-c", BUSY, nodes.gcs, "busy"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment(), **pipes) as driver, killed(driver):  # type: ignore[call-overload]
        assert driver.stdout.readline() == "placed\n"
        done = hook("worker", RAY_ADDRESS=nodes.gcs, RAY_CLOUD_INSTANCE_ID="pod-busy", HEADRACE_GRACE_S="8")
        assert (done.returncode, done.stderr.rpartition(": ")[2]) == (0, "workers were still busy\n"), done.stderr
        driver.stdin.write("\n")
        driver.stdin.flush()
        assert driver.stdout.readline() == "draining\n"


def test_no_cluster_is_told_and_does_not_take_the_grace_period() -> None:
    address = f"127.0.0.1:{free_port()}"
    done = hook("worker", RAY_ADDRESS=address, RAY_CLOUD_INSTANCE_ID="pod", HEADRACE_GRACE_S="100")
    assert done.returncode == 1
    assert done.stderr == "prestop: ConnectionRefusedError: [Errno 111] Connection refused\n"


def test_a_head_without_jobs_has_nothing_to_wait_for() -> None:
    done = hook("head", RAY_ADDRESS=f"127.0.0.1:{free_port()}")
    assert (done.returncode, done.stderr.rpartition(": ")[2]) == (0, "0 jobs interrupted\n")


def test_a_wrong_role_is_told() -> None:
    assert hook("tail").stderr == "prestop: expected worker or head, got ['tail']\n"


def test_drivers_are_those_of_this_head(tmp_path: Path) -> None:
    sys.path.insert(0, str(INFRA))
    try:
        from prestop import drivers  # type: ignore[import-not-found]  # infra/ is no package
    finally:
        sys.path.remove(str(INFRA))
    job, none = json.dumps({"metadata": {"job_submission_id": "a"}}), json.dumps({"metadata": {}})
    processes = {
        "11": f"RAY_ADDRESS=10.0.0.3:6379\0RAY_JOB_CONFIG_JSON_ENV_VAR={job}\0A=b=c",
        "12": f"RAY_ADDRESS=10.0.0.3:6380\0RAY_JOB_CONFIG_JSON_ENV_VAR={job}",
        "13": f"RAY_ADDRESS=10.0.0.3:6379\0RAY_JOB_CONFIG_JSON_ENV_VAR={none}",
        "14": "PATH=/bin",
    }
    for pid, environ in processes.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "environ").write_text(environ)
    (tmp_path / "15").mkdir()  # it has ended
    assert drivers("6379", tmp_path) == [11]
