"""A pool of actors of one kind: grown while there is work and room, shrunk when there is not, mended when one dies."""

import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import ray
from ray.exceptions import RayError

from cluster.driver import alive
from cluster.errors import ConfigError
from cluster.signals.events import PoolSeen
from stages.stage import Resources

SHARED = ("CPU", "GPU", "memory")  # what workers take of a cluster, by Ray's names
WAIT_S = 1.0  # how long a driver sleeps when nothing happens
MANY = 100  # calls at a time from which a driver does not look at each whenever one of them tells something
LOOK_S, LONGEST_LOOK_S = 100e-6, 0.25  # between two looks, for each call: a look takes Ray 5 us for each


def room_for(resources: Resources, have: dict[str, float]) -> int:
    """How many workers of this kind a cluster that has this could hold, were it empty. At least 1 may be asked for."""
    need = demand(resources)
    room = min((int(have.get(name, 0.0) // amount) for name, amount in need.items() if amount), default=1)
    if room < 1:
        short = {name: (amount, have.get(name, 0.0)) for name, amount in need.items() if have.get(name, 0.0) < amount}
        wanted = ", ".join(f"{name} {need:g} (cluster has {there:g})" for name, (need, there) in short.items())
        raise ConfigError(f"no node can hold a worker: it takes {wanted}")
    return room


def demand(resources: Resources) -> dict[str, float]:
    """Resources by Ray's names."""
    return dict(zip(SHARED, (resources.cpus, resources.gpus, resources.memory_gb * 1e9), strict=True))


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


def ready_of(waiting: list[Any]) -> list[Any]:
    """Those that have something to tell; sleeps until one has, or for WAIT_S.

    A look costs Ray some microseconds for each that waits, so many are looked at after a while that grows with them.
    """
    alive.check()
    ready: list[Any] = []
    if len(waiting) > MANY:
        look = min(LOOK_S * len(waiting), LONGEST_LOOK_S)
        ready = ray.wait(waiting, num_returns=len(waiting), timeout=look, fetch_local=False)[0]
    elif waiting:
        ready = ray.wait(waiting, num_returns=len(waiting), timeout=0.0, fetch_local=False)[0]
        ready = ready or ray.wait(waiting, timeout=WAIT_S, fetch_local=False)[0]
    return ready


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
        """`ready` gives a reference that is there once a new actor can work: until then it gets no call.

        What is there then is the node that the actor is on.
        """
        self._make, self.minimum, self.maximum, self.in_flight = make, minimum, maximum, in_flight
        self._ready = ready
        self._load: dict[Any, int] = {}
        self._with: list[dict[Any, None]] = [{} for _ in range(in_flight + 1)]  # those that may be taken, by load
        self._alone: set[Any] = set()
        self.deaths = 0  # of actors that were not let go
        self.stillborn = 0  # actors in a row that died before they could work
        self._busy, self._busy_seconds, self._told = 0, 0.0, time.monotonic()
        self.starting: dict[Any, Any] = {}  # what tells that it can work -> actor
        self._start: dict[Any, Any] = {}  # the same, by actor
        self._node: dict[Any, str] = {}
        self._leaving: set[Any] = set()  # on nodes that are about to go: they get no more calls

    def __len__(self) -> int:
        return len(self._load)

    def __contains__(self, actor: Any) -> bool:
        return actor in self._load

    @property
    def actors(self) -> list[Any]:
        return list(self._load)

    def resize(self, work: int, shrink: bool = True) -> None:
        """Grow to what `work` calls can use; let idle actors go when there are more than that."""
        wanted = max(self.minimum, min(self.maximum, -(-work // self.in_flight)))
        while len(self._load) - len(self._leaving) < wanted:
            actor = self._make()
            self._load[actor] = 0
            if self._ready is None:
                self._with[0][actor] = None
            else:
                ref = self._ready(actor)
                self.starting[ref], self._start[actor] = actor, ref
        for actor in self._least(len(self._load) - len(self._leaving) - self.maximum):
            self._leave(actor)  # it may be more than `maximum` once was
        more = len(self._load) - len(self._leaving) - wanted
        if shrink and more > 0:
            for actor in [*self._start, *self._with[0]][:more]:  # there may never be room for those that start
                self._end(actor)

    def started(self, ref: Any, node: Any = "") -> None:
        """The actor that `ref` stands for can work."""
        actor = self.starting.pop(ref, None)
        if actor is not None:
            del self._start[actor]
            self._node[actor] = str(node)
            self._with[0][actor] = None

    def hear_start(self, ref: Any) -> RayError | None:
        """What `ref` of `starting` says: that its actor can work, or why it never will."""
        try:
            self.started(ref, ray.get(ref))
        except RayError as error:
            self.lost(self.starting[ref])
            self.stillborn += 1
            return error
        self.stillborn = 0
        return None

    def leave(self, nodes: set[str]) -> None:
        """Nothing new for actors on `nodes`: each goes once its calls have ended, and others are made elsewhere."""
        for actor in [a for a, node in self._node.items() if node in nodes and a not in self._leaving]:
            self._leave(actor)

    def _leave(self, actor: Any) -> None:
        self._with[self._load[actor]].pop(actor, None)
        self._leaving.add(actor)
        if self._load[actor] == 0:
            self._end(actor)

    def _least(self, number: int) -> list[Any]:
        """So many of those that stay, the least loaded first, or none."""
        if number <= 0:
            return []
        return [*self._start, *(actor for level in self._with for actor in level)][:number]

    def take(self, alone: bool = False) -> Any | None:
        """The least loaded actor, now with one call more; None when all are full.

        `alone`: one without a call, that gets none besides.
        """
        level = next((level for level in islice(self._with, 1 if alone else self.in_flight) if level), None)
        if level is None:
            return None
        actor = next(iter(level))
        self._tell_busy(int(self._load[actor] == 0))
        if alone:
            self._alone.add(actor)
        self._change(actor, self.in_flight if alone else 1)
        return actor

    def give(self, actor: Any) -> None:
        """A call of `actor` has ended."""
        if actor in self._load:
            alone = actor in self._alone
            self._alone.discard(actor)
            self._change(actor, -(self.in_flight if alone else 1))
            self._tell_busy(-int(self._load[actor] == 0))
            if self._load[actor] == 0 and actor in self._leaving:
                self._end(actor)

    def _change(self, actor: Any, calls: int) -> None:
        self._with[self._load[actor]].pop(actor, None)
        self._load[actor] += calls
        if actor not in self._leaving:
            self._with[self._load[actor]][actor] = None

    def lost(self, actor: Any) -> None:
        """`actor` is dead, or not to be trusted any more."""
        self.deaths += actor in self._load
        self._end(actor)

    def seen(self, name: str, gpus: float, queue: tuple[int, int] | None = None) -> PoolSeen:
        """The pool at this moment, for those who watch the run."""
        self._tell_busy(0)
        starting = len(self.starting)
        idle = len(self._load) - self._busy - starting
        return PoolSeen(name, self, self._busy, idle, starting, self.deaths, self._busy_seconds, gpus, queue)

    def _tell_busy(self, more: int) -> None:
        """From now on `more` actors have a call than before; the time of those that had one is added up."""
        now = time.monotonic()
        self._busy_seconds += self._busy * (now - self._told)
        self._busy, self._told = self._busy + more, now

    def _end(self, actor: Any) -> None:
        self.starting.pop(self._start.pop(actor, None), None)
        self._alone.discard(actor)
        self._leaving.discard(actor)
        self._node.pop(actor, None)
        if (load := self._load.pop(actor, None)) is not None:
            self._with[load].pop(actor, None)
            self._tell_busy(-int(load > 0))
            ray.kill(actor)

    def close(self) -> None:
        for actor in self._load if alive.answers() else ():
            ray.kill(actor)
        self._tell_busy(-self._busy)
        known: list[Any] = [self._load, self._node, self._leaving, self._alone, self.starting, self._start]
        for group in [*known, *self._with]:
            group.clear()
