"""A cluster in virtual time: stands where the drivers have the module `ray`, so that their own code schedules it.

    cluster = VirtualCluster(nodes, work)
    with cluster.installed():
        RayRunner(workers).run_shards(planned, target, shards, progress)

The drivers call `remote`, `wait`, `get`, `kill`, `cluster_resources`, `nodes` and, of its state, `get_draining_nodes`,
and nothing else of Ray; here these are answered at once, and `now` moves on to the next event whenever a driver waits.
Nothing is carried out: `work` says how long each call of an actor takes and what it reports. Objects are never lost,
calls take no time to arrive.
"""

import contextlib
import heapq
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import Any
from unittest import mock

from ray.exceptions import ActorDiedError

Reports = Iterator[tuple[float, tuple[Any, ...]]]  # seconds of work, and the objects that are there then
Work = Callable[["Actor", str, tuple[Any, ...]], Reports]
CLOCKS = tuple(f"cluster.driver.{name}.time" for name in ("pool", "nodes", "balance"))
DRIVERS = ("cluster.stream.ray", *(f"cluster.driver.{name}.ray" for name in ("pool", "nodes", "sizes", "pipeline")))


@dataclass(eq=False)
class Node:
    """A machine. `speed` divides what its work takes; a `draining` one gets no new actors."""

    name: str
    room: dict[str, float]
    speed: float = 1.0
    alive: bool = True
    draining: bool = False
    actors: dict["Actor", None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.free = dict(self.room)


class Ref:
    """An object that is there, or will be: what a plain call answers."""

    __slots__ = ("error", "ready", "value")

    def __init__(self, ready: bool = False, value: Any = None, error: Exception | None = None) -> None:
        self.ready, self.value, self.error = ready, value, error


class Stream:
    """The reports of a streaming call. Work goes on when what is there has been taken, as with a back-pressure of 1."""

    __slots__ = ("actor", "ended", "error", "items", "ready", "work")

    def __init__(self, actor: "Actor", work: Reports) -> None:
        self.actor, self.work = actor, work
        self.items: deque[Any] = deque()
        self.ready = self.ended = False
        self.error: Exception | None = None

    def __next__(self) -> Ref:
        if self.items:
            ref = Ref(True, self.items.popleft())
            if not self.items and not self.ended:
                self.ready = False
                self.actor.cluster._go_on(self)
            return ref
        if self.error is not None:
            ref, self.error = Ref(True, error=self.error), None
            return ref
        raise StopIteration


class Method:
    """`actor.method`, with or without options."""

    def __init__(self, actor: "Actor", name: str, streaming: bool = False) -> None:
        self._actor, self._name, self._streaming = actor, name, streaming

    def options(self, num_returns: Any = 1, **_: Any) -> "Method":
        return Method(self._actor, self._name, num_returns == "streaming")

    def remote(self, *arguments: Any) -> Any:
        return self._actor.cluster._call(self._actor, self._name, arguments, self._streaming)


class Actor:
    """One process, once it has a place; its calls wait until then."""

    def __init__(self, cluster: "VirtualCluster", kind: str, needs: dict[str, float], threads: int) -> None:
        self.cluster, self.kind, self.needs, self.threads = cluster, kind, needs, threads
        self.node: Node | None = None
        self.working = self.dead = False
        self.waiting: deque[Any] = deque()
        self.calls: dict[Any, None] = {}

    def __getattr__(self, name: str) -> Method:
        return Method(self, name)

    @property
    def _actor_id(self) -> "Actor":
        return self


class VirtualCluster:
    """Nodes, the actors on them, and what happens next."""

    def __init__(self, nodes: list[Node], work: Work, startup: float = 5.0) -> None:
        self.machines, self.work, self.startup = {node.name: node for node in nodes}, work, startup
        self.now = 0.0
        self.own_cpu = 0.0  # of this simulation
        self.calls = self.reports = self.waits = self.waited_refs = 0
        self.turns: list[tuple[float, int]] = []  # CPU seconds of the driver between two waits, and what it had heard
        self._left, self._heard = time.thread_time(), 0
        self._turned: list[Any] = []  # what is ready since the last event
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self._homeless: dict[Actor, None] = {}

    @contextlib.contextmanager
    def installed(self) -> Iterator["VirtualCluster"]:
        with contextlib.ExitStack() as stack:
            for name in DRIVERS:
                stack.enter_context(mock.patch(name, self))
            for name in CLOCKS:
                stack.enter_context(mock.patch(name, SimpleNamespace(monotonic=lambda: self.now)))
            yield self

    def at(self, seconds: float, what: Callable[[], None]) -> None:
        """`what` happens at this time."""
        heapq.heappush(self._events, (seconds, next(self._number), what))

    def lose(self, name: str) -> None:
        """A node is gone, with all on it."""
        node = self.machines[name]
        node.alive = False
        for actor in list(node.actors):
            self._end(actor)

    def add(self, node: Node) -> None:
        self.machines[node.name] = node
        self._place()

    # What drivers call.

    def remote(self, kind: type) -> Any:
        return _Maker(self, kind.__name__)

    def cluster_resources(self) -> dict[str, float]:
        total: dict[str, float] = {}
        for node in self.machines.values():
            for name, amount in node.room.items() if node.alive else ():
                total[name] = total.get(name, 0.0) + amount
        return total

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": n.name, "Alive": n.alive, "Resources": n.room} for n in self.machines.values()]

    @property
    def _private(self) -> Any:
        return SimpleNamespace(state=SimpleNamespace(state=self))

    def get_draining_nodes(self) -> dict[str, int]:
        return {node.name: 0 for node in self.machines.values() if node.alive and node.draining}

    def kill(self, actor: Actor) -> None:
        self._end(actor)

    def get(self, ref: Any) -> Any:
        if isinstance(ref, Ref):
            if ref.error is not None:
                raise ref.error
            return ref.value
        return ref

    def wait(
        self, refs: list[Any], num_returns: int = 1, timeout: float | None = None, fetch_local: bool = True
    ) -> tuple[list[Any], list[Any]]:
        """Those of `refs` that are ready; time goes on until one is."""
        entered = time.thread_time()
        if self._heard:
            self.turns.append((entered - self._left, self._heard))
            self._heard = 0
        self.waits += 1
        self.waited_refs += len(refs)
        until = self.now + timeout if timeout is not None else float("inf")
        waiting = set(refs)
        there = sum(ref.ready for ref in refs)
        while there < num_returns and self._events and self._events[0][0] <= until:
            self.now, _, what = heapq.heappop(self._events)
            self._turned.clear()
            what()
            there += sum(ref in waiting for ref in self._turned)
        if there < num_returns and until != float("inf"):
            self.now = until
        ready = [ref for ref in refs if ref.ready][:num_returns]
        self._heard = len(ready)
        self.reports += len(ready)
        self._left = time.thread_time()
        self.own_cpu += self._left - entered
        return ready, []

    # How it goes.

    def _call(self, actor: Actor, method: str, arguments: tuple[Any, ...], streaming: bool) -> Any:
        entered = time.thread_time()
        self.calls += 1
        work = self.work(actor, method, arguments)
        call = Stream(actor, work) if streaming else _Plain(actor, work)
        if actor.dead:
            call.error, call.ready, call.ended = _died(), True, True
        else:
            actor.waiting.append(call)
            self._next_call(actor)
        self.own_cpu += time.thread_time() - entered
        return call

    def _next_call(self, actor: Actor) -> None:
        while actor.working and actor.waiting and len(actor.calls) < actor.threads:
            call = actor.waiting.popleft()
            actor.calls[call] = None
            self._go_on(call)

    def _go_on(self, call: Any) -> None:
        if call.ended:
            return
        try:
            seconds, objects = next(call.work)
        except StopIteration:
            self._ended(call)
            return
        node = call.actor.node
        self.at(self.now + seconds / (node.speed if node else 1.0), lambda: self._report(call, objects))

    def _report(self, call: Any, objects: tuple[Any, ...]) -> None:
        if call.ended:
            return
        if isinstance(call, _Plain):
            call.value = objects[0]
            self._ended(call)
        else:
            call.items.extend(objects)
            self._turn(call)

    def _turn(self, call: Any) -> None:
        if not call.ready:
            call.ready = True
            self._turned.append(call)

    def _ended(self, call: Any, error: Exception | None = None) -> None:
        call.ended = True
        self._turn(call)
        call.error = error
        call.actor.calls.pop(call, None)
        if error is None:
            self._next_call(call.actor)

    def _start(self, actor: Actor) -> None:
        if not self._find_home(actor):
            self._homeless[actor] = None

    def _place(self) -> None:
        too_large: set[tuple[float, ...]] = set()
        for actor in list(self._homeless):
            needs = tuple(actor.needs.values())
            if needs not in too_large:
                if self._find_home(actor):
                    del self._homeless[actor]
                else:
                    too_large.add(needs)

    def _find_home(self, actor: Actor) -> bool:
        node = next((n for n in self.machines.values() if self._holds(n, actor.needs)), None)
        if node is None:
            return False
        actor.node = node
        node.actors[actor] = None
        for name, amount in actor.needs.items():
            node.free[name] = node.free.get(name, 0.0) - amount
        self.at(self.now + self.startup, lambda: self._begin(actor))
        return True

    def _holds(self, node: Node, needs: dict[str, float]) -> bool:
        if not node.alive or node.draining:
            return False
        return all(node.free.get(name, 0.0) + 1e-9 >= amount for name, amount in needs.items() if amount)

    def _begin(self, actor: Actor) -> None:
        if not actor.dead:
            actor.working = True
            self._next_call(actor)

    def _end(self, actor: Actor) -> None:
        if actor.dead:
            return
        actor.dead = True
        actor.working = False
        self._homeless.pop(actor, None)
        if actor.node is not None:
            del actor.node.actors[actor]
            for name, amount in actor.needs.items():
                actor.node.free[name] = actor.node.free.get(name, 0.0) + amount
        for call in [*actor.calls, *actor.waiting]:
            self._ended(call, _died())
        actor.waiting.clear()
        if self._homeless:
            self._place()


class _Plain(Ref):
    """A plain call's answer while it is worked at."""

    __slots__ = ("actor", "ended", "work")

    def __init__(self, actor: Actor, work: Reports) -> None:
        super().__init__()
        self.actor, self.work, self.ended = actor, work, False


class _Maker:
    """`ray.remote(cls).options(...)`."""

    def __init__(self, cluster: VirtualCluster, kind: str, **options: Any) -> None:
        self._cluster, self._kind, self._options = cluster, kind, options

    def options(self, **options: Any) -> "_Maker":
        return _Maker(self._cluster, self._kind, **options)

    def remote(self, *_: Any) -> Actor:
        names = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
        needs = {name: float(self._options.get(key) or 0) for name, key in names.items()}
        actor = Actor(self._cluster, self._kind, needs, int(self._options.get("max_concurrency") or 1))
        entered = time.thread_time()
        self._cluster._start(actor)
        self._cluster.own_cpu += time.thread_time() - entered
        return actor


def _died() -> Exception:
    return ActorDiedError()
