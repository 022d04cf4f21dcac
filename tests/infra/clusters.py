"""Ray clusters as KubeRay starts them, each node of its own, that a test can kill: for tests of hooks and retries."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from ray.job_submission import JobSubmissionClient

from tests.ports import free_port

BIN = Path(sys.executable).parent


def environment(**more: str) -> dict[str, str]:
    """Of a node, a hook or a driver: the venv's programs first, no token, one thread."""
    path = f"{BIN}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1", **more}


def wait_for(what: Callable[[], bool], seconds: float = 120) -> None:
    """Until `what` is so; other processes can only be asked again and again."""
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, f"not in {seconds} s"
        time.sleep(0.1)


class Cluster:
    """A head with its job server, and workers by the names of their pods."""

    def __init__(self, folder: Path) -> None:
        self.gcs, self.dashboard = f"127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
        self._log = (folder / f"ray-{self.gcs.rpartition(':')[2]}.log").open("w")
        self._temp = Path(f"/tmp/hr-{os.getpid()}-{self.gcs.rpartition(':')[2]}")  # sockets of Ray need a short path
        self._nodes: list[subprocess.Popen[bytes]] = []
        self._head = (
            "head-0", "--head", "--num-cpus=4", f"--port={self.gcs.rpartition(':')[2]}", "--dashboard-host=127.0.0.1",
            f"--dashboard-port={self.dashboard.rpartition(':')[2]}", f"--temp-dir={self._temp}",
            f"--dashboard-agent-listen-port={free_port()}", f"--ray-client-server-port={free_port()}",
        )  # fmt: skip

    def start(self) -> None:
        """The head, until its job server answers."""
        self._start(*self._head)
        wait_for(self._answers, 300)

    def add_worker(self, pod: str, *arguments: str) -> None:
        """A node more. Ray gives it 30 s to come up, on a busy machine too few: then it is started again."""
        for _ in range(3):
            self._start(pod, f"--address={self.gcs}", f"--dashboard-agent-listen-port={free_port()}", *arguments)
            log, node = Path(self._log.name), self._nodes[-1]
            started, size = b"Ray runtime started", log.stat().st_size
            wait_for(lambda: node.poll() is not None or started in log.read_bytes()[size:])  # noqa: B023 - called here
            if node.poll() is None:
                return
        raise RuntimeError(f"{pod} did not start three times: {log}")

    def submit(self, entrypoint: str, job: str) -> JobSubmissionClient:
        """As KubeRay's submitter does it, once the head is ready for jobs: its job server answers before that."""
        client = JobSubmissionClient(self.dashboard)

        def accepted() -> bool:
            try:
                client.submit_job(entrypoint=entrypoint, submission_id=job)
            except RuntimeError as error:
                assert "No available agent" in str(error), error
                return False
            return True

        wait_for(accepted)
        return client

    def kill(self) -> None:
        """Every process of every node, at once: what deleting the cluster comes to in the worst case."""
        for node in self._nodes:
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in [*psutil.Process(node.pid).children(recursive=True), psutil.Process(node.pid)]:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
            node.wait(30)
        self._log.close()
        shutil.rmtree(self._temp, ignore_errors=True)

    def _start(self, pod: str, *arguments: str) -> None:
        command = [str(BIN / "ray"), "start", "--block", "--disable-usage-stats", *arguments]
        env = environment(RAY_CLOUD_INSTANCE_ID=pod, RAY_JOB_STOP_SIGNAL="SIGINT")
        node = subprocess.Popen(command, stdout=self._log, stderr=self._log, env=env, start_new_session=True)
        self._nodes.append(node)

    def _answers(self) -> bool:
        if self._nodes[-1].poll() is not None:  # Ray gives a head 30 s to start, on a busy machine too few
            assert len(self._nodes) < 3, "three heads ended"
            self._start(*self._head)
        try:
            urllib.request.urlopen(f"{self.dashboard}/api/version", timeout=1).close()
        except OSError:
            return False
        return True


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    started = Cluster(folder)
    try:
        started.start()
        yield started
    finally:
        started.kill()
