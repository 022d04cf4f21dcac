"""Workers move to the bottleneck: how many of each kind without a GPU, by what a table has taken of them so far.

A table goes through every group, so a step is as fast as its slowest group: that with the fewest workers for the
seconds that a table takes one of them. Those seconds are measured by the workers themselves, so that waiting for
one another is not in them; who gets how many follows. Nothing moves for less than GAIN, so it comes to rest.
"""

import time
from dataclasses import dataclass

from cluster.driver.pool import Pool
from cluster.plan import PlannedStep

EVERY_S = 10.0
GAIN = 1.05  # how much faster the step has to become
TABLES = 10  # that have to be through a group, and one for each of its workers, before it is judged again
NEWEST = 0.5  # what the last look counts, of all before it the rest


@dataclass
class Group:
    """What is known of a group since the last look, and the seconds that a table takes a worker of it."""

    pool: Pool
    cpus: float
    memory_gb: float
    together: int  # tables that a worker has at a time
    tables: int = 0
    worked: float = 0.0
    seconds: float = 0.0


class Balance:
    """Sets how large the pools without a GPU may become."""

    def __init__(self, planned: PlannedStep, pools: dict[int, Pool], workers: int | None) -> None:
        """`pools` by group, as large as they may be by what the cluster has; `workers` bounds each."""
        self._groups: dict[int, Group] = {}
        for g, pool in pools.items():
            resources = planned.groups[g].resources
            if not resources.gpus:  # readers' tables come one after the other, however many they are at
                together = resources.tables if g else 1
                self._groups[g] = Group(pool, resources.cpus, resources.memory_gb, together)
        self._most = workers or 1 << 30
        self._looked = time.monotonic()
        self.moves = 0
        self.resized()

    def resized(self) -> None:
        """The pools have other sizes, since the cluster has: they share that as they have shared what it had."""
        self._room = self._taken(self._sizes())
        if all(group.seconds for group in self._groups.values()):
            self._set(self._best())

    def through(self, g: int, seconds: float) -> None:
        """A table is through group `g`, and took its worker so long."""
        if (group := self._groups.get(g)) is not None:
            group.tables += 1
            group.worked += seconds / group.together

    def look(self) -> None:
        """Move workers if that is worth it."""
        now = time.monotonic()
        if len(self._groups) < 2 or now - self._looked < EVERY_S:
            return
        if any(group.tables < max(TABLES, len(group.pool)) for group in self._groups.values()):
            return
        self._looked = now
        for group in self._groups.values():
            seconds = group.worked / group.tables
            group.seconds = NEWEST * seconds + (1 - NEWEST) * (group.seconds or seconds)
            group.tables, group.worked = 0, 0.0
        best = self._best()
        if self._rate(best) >= GAIN * self._rate(self._sizes()):
            self.moves += 1
            self._set(best)

    def _sizes(self) -> dict[int, int]:
        return {g: group.pool.maximum for g, group in self._groups.items()}

    def _set(self, sizes: dict[int, int]) -> None:
        for g, group in self._groups.items():
            group.pool.maximum = sizes[g]

    def _best(self) -> dict[int, int]:
        """The slowest group gets the next worker, as long as there is room for one."""
        sizes = dict.fromkeys(self._groups, 1)
        growing = set(sizes)
        while growing:
            g = min(growing, key=lambda g: (sizes[g] / max(self._groups[g].seconds, 1e-6), g))
            sizes[g] += 1
            taken = self._taken(sizes)
            if sizes[g] > self._most or any(t > room + 1e-9 for t, room in zip(taken, self._room, strict=True)):
                sizes[g] -= 1
                growing.remove(g)
        return sizes

    def _rate(self, sizes: dict[int, int]) -> float:
        """Tables a second through groups of these sizes."""
        return min(sizes[g] / max(group.seconds, 1e-6) for g, group in self._groups.items())

    def _taken(self, sizes: dict[int, int]) -> tuple[float, float]:
        """CPUs and memory of so many workers."""
        return (
            sum(group.cpus * sizes[g] for g, group in self._groups.items()),
            sum(group.memory_gb * sizes[g] for g, group in self._groups.items()),
        )
