"""A pool of actors of one kind: grown while there is work and room, shrunk when there is not, mended when one dies."""

import os
from collections.abc import Callable
from typing import Any

import ray

from cluster.errors import ConfigError
from stages.stage import Resources


def start_ray(address: str | None) -> None:
    """Join the cluster at `address` (or RAY_ADDRESS), or start one on this machine for this process alone."""
    if ray.is_initialized():
        return
    if address or os.environ.get("RAY_ADDRESS"):
        try:
            ray.init(address=address or "auto", log_to_driver=False, logging_level="ERROR")
        except Exception as error:
            raise ConfigError(f"no Ray cluster at {address or os.environ['RAY_ADDRESS']}: {error}") from error
    else:
        # Ray runs workers at niceness 15, so that whatever else a machine does comes first: here they are the work.
        os.environ.setdefault("RAY_worker_niceness", "0")
        ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")


def room_for(resources: Resources) -> int:
    """How many workers of this kind the cluster as it is could hold, were it empty. At least 1 may be asked for."""
    have = ray.cluster_resources()
    need = demand(resources)
    room = min((int(have.get(name, 0.0) // amount) for name, amount in need.items() if amount), default=1)
    if room < 1:
        short = {name: (amount, have.get(name, 0.0)) for name, amount in need.items() if have.get(name, 0.0) < amount}
        wanted = ", ".join(f"{name} {need:g} (cluster has {there:g})" for name, (need, there) in short.items())
        raise ConfigError(f"no node can hold a worker: it takes {wanted}")
    return room


def demand(resources: Resources) -> dict[str, float]:
    """Resources by Ray's names."""
    return {"CPU": resources.cpus, "GPU": resources.gpus, "memory": resources.memory_gb * 1e9}


def spawn(actor: type, resources: Resources, *arguments: Any) -> Any:
    """A new actor. It is never restarted or retried by Ray: what was lost is the driver's to decide."""
    remote = ray.remote(actor).options(
        num_cpus=resources.cpus,
        num_gpus=resources.gpus,
        memory=int(resources.memory_gb * 1e9),
        max_restarts=0,
        max_task_retries=0,
    )
    return remote.remote(*arguments)


class Pool:
    """Actors and how many calls each has in flight."""

    def __init__(self, make: Callable[[], Any], maximum: int, minimum: int = 0, in_flight: int = 1) -> None:
        self._make, self.minimum, self.maximum, self._in_flight = make, minimum, maximum, in_flight
        self._load: dict[Any, int] = {}

    def __len__(self) -> int:
        return len(self._load)

    @property
    def actors(self) -> list[Any]:
        return list(self._load)

    def resize(self, work: int) -> None:
        """Grow to what `work` calls can use; let idle actors go when there are more than that."""
        wanted = max(self.minimum, min(self.maximum, -(-work // self._in_flight)))
        while len(self._load) < wanted:
            self._load[self._make()] = 0
        for actor in [a for a, load in self._load.items() if load == 0][: max(len(self._load) - wanted, 0)]:
            del self._load[actor]
            ray.kill(actor)

    def take(self) -> Any | None:
        """The least loaded actor, now with one call more; None when all are full."""
        actor = min(self._load, key=lambda a: self._load[a], default=None)
        if actor is None or self._load[actor] >= self._in_flight:
            return None
        self._load[actor] += 1
        return actor

    def give(self, actor: Any) -> None:
        """A call of `actor` has ended."""
        if actor in self._load:
            self._load[actor] -= 1

    def lost(self, actor: Any) -> None:
        """`actor` is dead, or not to be trusted any more."""
        if self._load.pop(actor, None) is not None:
            ray.kill(actor)

    def close(self) -> None:
        for actor in self._load:
            ray.kill(actor)
        self._load.clear()
