"""A run on a cluster of three raylets, one of which is drained in the middle: `python -m tests.faults.drained FOLDER`.

Prints a JSON object: when the node was drained, which shards began where and when, how many were tried again.
"""

import json
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import ray
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated.autoscaler_pb2 import DrainNodeReason

from cluster.driver import nodes
from cluster.run import Options, run
from cluster.signals.events import Event, ShardFailed
from cluster.stream import RayRunner
from stages.stage import Resources
from tests.fakes import ReadLines, Upper
from tests.runs import one_step, plan_over, write

SHARDS, WORK_S = 60, 0.5
ENOUGH = 10  # shards that have begun before the node is drained


@dataclass(frozen=True)
class Noting:
    """A source that takes its time, and notes where and when each of its shards began."""

    log: str
    resources: ClassVar[Resources] = Resources(memory_gb=0.1)
    lines: ClassVar[ReadLines] = ReadLines()

    def split(self, file: Any, uri: str, size: int) -> Any:
        return self.lines.split(file, uri, size)

    def schema(self, file: Any, uri: str) -> pa.Schema:
        return self.lines.schema(file, uri)

    def open(self) -> Any:
        def read(file: Any, piece: Any) -> Any:
            if ray.is_initialized():
                with Path(self.log).open("a") as log:
                    log.write(f"{ray.get_runtime_context().get_node_id()} {time.time()}\n")
                time.sleep(WORK_S)
            yield from self.lines.open()(file, piece)

        return read


def drain_later(log: Path, node: str, address: str, told: dict[str, float]) -> None:
    """As infra/prestop.py does, once the run is well under way."""
    while not log.exists() or len(log.read_text().splitlines()) < ENOUGH:
        time.sleep(0.05)
    reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    until = time.time_ns() // 1_000_000 + 600_000
    accepted, why = GcsClient(address=address).drain_node(node, reason, "the pod is being stopped", until)
    assert accepted, why
    told["at"] = time.time()


def main(folder: Path) -> None:
    nodes.LOOK_EVERY_S = 0.2
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        cluster.add_node(num_cpus=2)
        going = cluster.add_node(num_cpus=2).node_id
        cluster.wait_for_nodes()
        plan = plan_over(
            one_step(Upper(), source=Noting(str(folder / "log"))),
            write(folder / "in", {f"{n:02}.txt": f"line {n}\n" for n in range(SHARDS)}),
        )
        told: dict[str, float] = {}
        failed: list[str] = []

        def hear(event: Event) -> None:
            if isinstance(event, ShardFailed):
                failed.append(event.why)

        drainer = threading.Thread(target=drain_later, args=(folder / "log", going, cluster.address, told))
        drainer.start()
        options = Options(quiet=True, hear=hear)
        result = run(plan, str(folder / "out"), RayRunner(4, address=cluster.address), options)
        drainer.join()
        began = [line.split() for line in (folder / "log").read_text().splitlines()]
        here = {node: [float(at) for other, at in began if other == node] for node in {node for node, _ in began}}
        found = {"going": going, "at": told["at"], "began": here, "failed": failed, "result": result}
        sys.stdout.write(json.dumps(found) + "\n")
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
