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
    """A new actor. It is never restarted or retried by Ray: what was lost is the driver's to decide.

    It has a thread for each table that it takes at a time.
    """
    remote = ray.remote(actor).options(
        num_cpus=resources.cpus,
        num_gpus=resources.gpus,
        memory=int(resources.memory_gb * 1e9),
        max_restarts=0,
        max_task_retries=0,
        max_concurrency=resources.tables,
    )
    return remote.remote(*arguments)


class Pool:
    """Actors and how many calls each has in flight."""

    def __init__(
        self,
        make: Callable[[], Any],
        maximum: int,
        minimum: int = 0,
        in_flight: int = 1,
        ready: Callable[[Any], Any] | None = None,
    ) -> None:
        """`ready` gives a reference that is there once a new actor can work: until then it gets no call."""
        self._make, self.minimum, self.maximum, self.in_flight = make, minimum, maximum, in_flight
        self._ready = ready
        self._load: dict[Any, int] = {}
        self._alone: set[Any] = set()
        self.starting: dict[Any, Any] = {}  # what tells that it can work -> actor

    def __len__(self) -> int:
        return len(self._load)

    @property
    def actors(self) -> list[Any]:
        return list(self._load)

    def resize(self, work: int, shrink: bool = True) -> None:
        """Grow to what `work` calls can use; let idle actors go when there are more than that."""
        wanted = max(self.minimum, min(self.maximum, -(-work // self.in_flight)))
        while len(self._load) < wanted:
            actor = self._make()
            self._load[actor] = 0
            if self._ready is not None:
                self.starting[self._ready(actor)] = actor
        idle = [a for a, load in self._load.items() if load == 0] if shrink else []
        for actor in idle[: max(len(self._load) - wanted, 0)]:
            self.lost(actor)

    def started(self, ref: Any) -> None:
        """The actor that `ref` stands for can work."""
        self.starting.pop(ref, None)

    def take(self, alone: bool = False) -> Any | None:
        """The least loaded actor, now with one call more; None when all are full.

        `alone`: one without a call, that gets none besides.
        """
        starting = set(self.starting.values())
        actor = min((a for a in self._load if a not in starting), key=lambda a: self._load[a], default=None)
        if actor is None or self._load[actor] >= (1 if alone else self.in_flight):
            return None
        self._load[actor] += self.in_flight if alone else 1
        if alone:
            self._alone.add(actor)
        return actor

    def give(self, actor: Any) -> None:
        """A call of `actor` has ended."""
        if actor in self._load:
            self._load[actor] -= self.in_flight if actor in self._alone else 1
            self._alone.discard(actor)

    def lost(self, actor: Any) -> None:
        """`actor` is dead, or not to be trusted any more."""
        self.starting = {ref: other for ref, other in self.starting.items() if other != actor}
        self._alone.discard(actor)
        if self._load.pop(actor, None) is not None:
            ray.kill(actor)

    def close(self) -> None:
        for actor in self._load:
            ray.kill(actor)
        self._load.clear()
        self.starting.clear()
