"""What a driver hears of a run, as plain data, for those who count it (telemetry) or trace it (otel)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cluster.asked import Asked
from cluster.shards import Shard
from schemas.manifest import Manifest


@dataclass(frozen=True)
class RunBegan:
    """`at`: seconds since 1970."""

    recipe: str
    run: str
    max_dead: float
    at: float


@dataclass(frozen=True)
class StepBegan:
    """`asking`: of its stages, those that pay for answers."""

    step: str
    stages: tuple[str, ...]
    asking: tuple[str, ...]


@dataclass(frozen=True)
class ShardBegan:
    """`attempt` counts from 1 in this run."""

    shard: Shard
    attempt: int


@dataclass(frozen=True)
class ShardFailed:
    """It will be begun again."""

    shard: Shard
    why: str


@dataclass(frozen=True)
class ShardCommitted:
    """`again`: what was asked for tables that had been through in an earlier attempt of this run."""

    shard: Shard
    manifest: Manifest
    asked: tuple[Asked, ...] = ()
    again: tuple[Asked, ...] = ()


@dataclass(frozen=True)
class PoolSeen:
    """A pool at one moment. `deaths` and `busy_seconds` are sums since it was made; `queue` is None without one."""

    name: str
    pool: Any  # by which it is told from another pool of that name
    busy: int
    idle: int
    starting: int
    deaths: int
    busy_seconds: float
    gpus: float = 0.0  # a worker's
    queue: tuple[int, int] | None = None  # bytes that wait, bytes at which the pool before it stops


@dataclass(frozen=True)
class Looked:
    """The step at one moment: its shards, its pools, and before the shards its barrier's tasks, done and to do."""

    done: int
    running: int
    waiting: int
    pools: tuple[PoolSeen, ...]
    tasks: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class StepEnded:
    """`error`: why it did not end well."""

    step: str
    error: str = ""


@dataclass(frozen=True)
class RunEnded:
    """`status`: done or failed."""

    status: str
    error: str = ""


Event = RunBegan | StepBegan | ShardBegan | ShardFailed | ShardCommitted | Looked | StepEnded | RunEnded
Hear = Callable[[Event], None]


def ignore(event: Event) -> None:
    """For a run that nobody watches."""


def everyone(*who: Hear) -> Hear:
    """One who tells each of `who`."""

    def hear(event: Event) -> None:
        for one in who:
            one(event)

    return hear if who else ignore
