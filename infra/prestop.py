"""What a pod does before it is stopped: the preStop hook of the head's and the workers' containers.

    prestop.py worker   tells the cluster that this node is about to go: Ray puts no new worker here, and the autoscaler
                        may replace the node, while the tables in work get what is left of the grace period.
    prestop.py head     interrupts the drivers of Ray jobs: KubeRay deletes a cluster without stopping its job. A driver
                        that is interrupted ends as after Ctrl-C, and its job as FAILED, so that a RayJob is tried
                        again; `ray job stop` would end it as STOPPED, which a RayJob takes for its end.

Nothing is lost for good by a pod that goes: what was committed stays, and the next run goes on from there. The variable
HEADRACE_GRACE_S says how long the hook may take: less than the pod's terminationGracePeriodSeconds.
"""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # Ray's job server sets it for an entrypoint and whatever that starts
POLL_S = 0.5


def main(arguments: list[str]) -> int:
    """Exit status 1 makes Kubernetes note an event at the pod; the pod goes either way."""
    begun, grace = time.monotonic(), float(os.environ.get("HEADRACE_GRACE_S", "20"))
    what = {"worker": drain, "head": interrupt}.get(arguments[0] if len(arguments) == 1 else "")
    if what is None:
        tell(f"expected worker or head, got {arguments}")
        return 2
    try:
        still = what(lambda: grace - (time.monotonic() - begun))
    except Exception as error:
        tell(f"{type(error).__name__}: {error}")
        return 1
    tell(f"{arguments[0]} after {time.monotonic() - begun:.1f} s: {still}")
    return 0


def tell(what: str) -> None:
    """One line where the hook's output goes; Kubernetes shows it in the event of a hook that failed."""
    sys.stderr.write(f"prestop: {what}\n")


def drain(left: Callable[[], float]) -> str:
    """Ask the cluster to take this node out; wait until it is out, or there is no time left."""
    from ray._raylet import GcsClient  # noqa: PLC0415 - what `ray drain-node` does, without its second of start-up
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason  # noqa: PLC0415

    host, _, port = os.environ["RAY_ADDRESS"].rpartition(":")
    socket.create_connection((host, int(port)), timeout=5).close()  # where the head is gone, Ray would try for 40 s
    gcs = GcsClient(address=os.environ["RAY_ADDRESS"])
    pod = os.environ["RAY_CLOUD_INSTANCE_ID"]  # KubeRay gives every node its pod's name
    node = next((node for node in alive(gcs) if node.instance_id == pod), None)
    if node is None:
        return f"the cluster has no node {pod}"
    until = time.time_ns() // 1_000_000 + int(left() * 1000)
    reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    accepted, why = gcs.drain_node(node.node_id.hex(), reason, "the pod is being stopped", until)
    if not accepted:
        raise RuntimeError(f"the drain was not accepted: {why}")
    while any(other.instance_id == pod for other in alive(gcs)):
        if left() < POLL_S:
            return "workers were still busy"
        time.sleep(POLL_S)
    return "drained"


def alive(gcs: Any) -> list[Any]:
    """The cluster's nodes that live."""
    from ray.core.generated.gcs_pb2 import GcsNodeInfo  # noqa: PLC0415

    return [node for node in gcs.get_all_node_info(timeout=5).values() if node.state == GcsNodeInfo.ALIVE]


def interrupt(left: Callable[[], float]) -> str:
    """Interrupt the driver of every job of this head; wait until they have ended, or there is no time left."""
    # Ray blocks SIGINT in what it starts, unless the head was started with this.
    number = signal.SIGINT if os.environ.get("RAY_JOB_STOP_SIGNAL") == "SIGINT" else signal.SIGTERM
    port = os.environ["RAY_ADDRESS"].rpartition(":")[2]
    found = first = drivers(port)
    for pid in found:
        os.kill(pid, number)
    while found:
        if left() < POLL_S:
            return f"{len(found)} of {len(first)} jobs were still running"
        time.sleep(POLL_S)
        found = [pid for pid in drivers(port) if pid in first]
    return f"{len(first)} jobs interrupted"


def drivers(port: str, processes: Path = Path("/proc")) -> list[int]:
    """What runs of the jobs of the head at `port`: the processes of an entrypoint, without what Ray has beside them."""
    found = []
    for folder in processes.glob("[0-9]*"):
        try:
            pairs = (pair.partition("=") for pair in (folder / "environ").read_text(errors="replace").split("\0"))
        except OSError:  # it has ended, or is another's
            continue
        environment = {name: value for name, _, value in pairs}
        metadata = json.loads(environment.get(JOB, "{}")).get("metadata", {})
        if "job_submission_id" in metadata and environment.get("RAY_ADDRESS", "").endswith(f":{port}"):
            found.append(int(folder.name))
    return sorted(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
