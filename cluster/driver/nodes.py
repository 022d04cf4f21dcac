"""Which nodes the cluster has: some are lost or about to go, others come, and pools follow them.

Pools of one step share the cluster. Were they as large as it once was, workers of one kind, which stay, could take
the room that those of another wait for, on a cluster that has lost a node: then nothing would ever move again.
"""

import time

import ray
from ray.exceptions import RayError

from cluster.driver.pool import SHARED, Pool

LOOK_EVERY_S = 5.0  # a look takes 0.8 ms with one node; a node that drains has 12 s on GKE, 110 s on EKS


class Nodes:
    """Looks every few seconds. `room` is what the nodes that stay have together, by Ray's names of resources."""

    def __init__(self) -> None:
        self._looked = float("-inf")
        self.room: dict[str, float] = {}

    def look(self, *pools: Pool) -> bool:
        """Have `pools` leave nodes that are dead or about to go. True if there is other room than at the look before.

        At the first look there is: what Ray says that a cluster has counts nodes that are about to go.
        """
        if (now := time.monotonic()) - self._looked < LOOK_EVERY_S:
            return False
        self._looked = now
        try:
            nodes = ray.nodes()
            going = set(ray._private.state.state.get_draining_nodes())
        except (RayError, RuntimeError, OSError):  # the head restarts: there is another look
            return False
        if not any(node["Alive"] for node in nodes):  # it has just come back: the driver's own node is alive
            return False
        going |= {node["NodeID"] for node in nodes if not node["Alive"]}
        for pool in pools if going else ():
            pool.leave(going)
        before = self.room
        self.room = {
            name: sum(node["Resources"].get(name, 0.0) for node in nodes if node["NodeID"] not in going)
            for name in SHARED
        }
        return self.room != before
