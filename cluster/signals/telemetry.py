"""Every metric once: name, kind, labels, meaning; and what of a run's events goes into which.

Rows, bytes, seconds, tokens and answers are counted when their shard is committed, so a shard that is begun again
counts once and the sums are those of run.json. Sums are kept here and handed on every `LOOK_EVERY_S` and when a step
ends: a commit costs a few additions, however many series there are. infra/metrics.md is this list for people.
"""

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from cluster.asked import Asked
from cluster.signals.events import Event, Looked, PoolSeen, RunBegan, ShardCommitted, StepBegan, StepEnded

LOOK_EVERY_S = 5.0  # Ray exports every 10 s, and forgets a gauge that was not set for 20 s


@dataclass(frozen=True)
class Metric:
    """`name` as the program says it; Ray's exporter puts `ray_` before it."""

    name: str
    kind: Literal["counter", "gauge"]
    labels: tuple[str, ...]
    meaning: str


def _counter(name: str, labels: str, meaning: str) -> Metric:
    return Metric(f"headrace_{name}_total", "counter", tuple(labels.split()), meaning)


def _gauge(name: str, labels: str, meaning: str) -> Metric:
    return Metric(f"headrace_{name}", "gauge", tuple(labels.split()), meaning)


ROWS = _counter(
    "rows",
    "recipe step outcome",
    "rows at a shard's commit; outcome: in, out, dropped, dead, emitted, merged (into others: emitted below zero)",
)
DROPPED = _counter("dropped", "recipe step stage reason", "rows dropped, by the stage and its reason")
BYTES = _counter("bytes", "recipe step direction", "bytes of shards; direction: read, written")
SECONDS = _counter("seconds", "recipe step stage", "seconds of workers' time, by stage")
COMMITS = _counter("commits", "recipe step", "shards committed")
SHARDS = _gauge("shards", "recipe step state", "shards of the step; state: done, running, waiting")
TASKS = _gauge("barrier_tasks", "recipe step state", "tasks of the phase that a barrier is in; state: done, waiting")
QUEUE = _gauge("queue_bytes", "recipe step pool", "bytes that wait before a pool")
QUEUE_LIMIT = _gauge("queue_limit_bytes", "recipe step pool", "where back-pressure stops the pool before it")
WORKERS = _gauge("workers", "recipe step pool state", "workers; state: busy, idle, starting")
DEATHS = _counter("worker_deaths", "recipe step pool", "workers that died and were replaced")
LEDGER = _counter(
    "ledger", "recipe step result", "answers asked of the ledger, told at a shard's commit; result: hit, miss"
)
RESUMED_MISSES = _counter(
    "ledger_resumed_misses",
    "recipe step",
    "misses in tables that an earlier attempt of the shard had been through in this run, and had paid for",
)
TOKENS = _counter(
    "tokens",
    "recipe step stage kind",
    "tokens of models' answers, those from the ledger too; kind: prompt, completion",
)
GPU_BUSY = _counter("gpu_busy_seconds", "recipe step pool", "seconds in which a GPU worker was at a batch")
GPU_WORKERS = _gauge("gpu_workers", "recipe step pool", "workers that hold a GPU, or a part of one")
MAX_DEAD = _gauge("max_dead", "recipe", "the run's --max-dead, a share of its rows")
STARTED = _gauge("run_started_seconds", "recipe", "when the running driver began, in seconds since 1970")

METRICS = (
    ROWS, DROPPED, BYTES, SECONDS, COMMITS, SHARDS, TASKS, QUEUE, QUEUE_LIMIT, WORKERS, DEATHS, LEDGER, RESUMED_MISSES,
    TOKENS, GPU_BUSY, GPU_WORKERS, MAX_DEAD, STARTED,
)  # fmt: skip

Values = tuple[str, ...]  # of a metric's labels, in their order


class Export(Protocol):
    """Where numbers go. `add` is given what a counter has grown by, never 0 or less."""

    def add(self, metric: Metric, labels: Values, value: float) -> None: ...

    def set(self, metric: Metric, labels: Values, value: float) -> None: ...


class Metrics:
    """Hears a run and keeps its numbers."""

    def __init__(self, export: Export) -> None:
        self._export = export
        self._recipe = self._step = ""
        self._stages: frozenset[str] = frozenset()
        self._asking: frozenset[str] = frozenset()
        self._grown: dict[tuple[Metric, Values], float] = {}
        self._gauges: dict[tuple[Metric, Values], float] = {}
        # Of each pool, what was counted before: one that serves several steps goes on counting.
        self._counted: weakref.WeakKeyDictionary[Any, tuple[int, float]] = weakref.WeakKeyDictionary()

    def hear(self, event: Event) -> None:
        """Take what is counted from `event`."""
        match event:
            case RunBegan():
                self._recipe = event.recipe
                self._gauges[MAX_DEAD, (event.recipe,)] = event.max_dead
                self._gauges[STARTED, (event.recipe,)] = event.at
            case StepBegan():
                self._step = event.step
                self._stages, self._asking = frozenset(event.stages), frozenset(event.asking)
            case ShardCommitted():
                self._committed(event)
            case Looked():
                self._looked(event)
                self._hand_on()
            case StepEnded():
                for metric, labels in self._gauges:
                    if metric in (QUEUE, WORKERS, GPU_WORKERS):
                        self._gauges[metric, labels] = 0.0
                self._hand_on()

    def _committed(self, event: ShardCommitted) -> None:
        manifest, counts = event.manifest, event.manifest.counts
        self._add(COMMITS, 1)
        for outcome, rows in (
            ("in", counts.rows_in),
            ("out", counts.out),
            ("dropped", sum(counts.dropped.values())),
            ("dead", counts.dead),
            ("emitted", counts.emitted),
            ("merged", -counts.emitted),
        ):
            self._add(ROWS, rows, outcome)
        for cause, rows in counts.dropped.items():
            stage, _, reason = cause.partition(".")
            self._add(DROPPED, rows, stage, reason)
        self._add(BYTES, event.shard.bytes, "read")
        self._add(BYTES, sum(file.bytes for file in manifest.files), "written")
        for stage, cost in manifest.stages.items():
            self._add(SECONDS, cost.seconds, stage)
        for asked in event.asked:
            if asked.stage in self._stages:  # rows still have what earlier steps were told
                self._add(TOKENS, asked.prompt_tokens, asked.stage, "prompt")
                self._add(TOKENS, asked.completion_tokens, asked.stage, "completion")
        self._add(LEDGER, sum(one.from_ledger for one in self._paying(event.asked)), "hit")
        self._add(LEDGER, self._misses(event.asked), "miss")
        self._add(RESUMED_MISSES, self._misses(event.again))

    def _looked(self, event: Looked) -> None:
        for state, shards in (("done", event.done), ("running", event.running), ("waiting", event.waiting)):
            self._set(SHARDS, shards, state)
        for state, tasks in zip(("done", "waiting"), event.tasks, strict=True):
            self._set(TASKS, tasks, state)
        for pool in event.pools:
            self._pool(pool)

    def _pool(self, pool: PoolSeen) -> None:
        for state, workers in (("busy", pool.busy), ("idle", pool.idle), ("starting", pool.starting)):
            self._set(WORKERS, workers, pool.name, state)
        deaths, busy = self._counted.get(pool.pool, (0, 0.0))
        self._counted[pool.pool] = pool.deaths, pool.busy_seconds
        self._add(DEATHS, pool.deaths - deaths, pool.name)
        if pool.gpus:
            self._add(GPU_BUSY, pool.busy_seconds - busy, pool.name)
            self._set(GPU_WORKERS, pool.busy + pool.idle + pool.starting, pool.name)
        if pool.queue is not None:
            self._set(QUEUE, pool.queue[0], pool.name)
            self._set(QUEUE_LIMIT, pool.queue[1], pool.name)

    def _paying(self, asked: Iterable[Asked]) -> list[Asked]:
        return [one for one in asked if one.stage in self._asking]

    def _misses(self, asked: Iterable[Asked]) -> int:
        return sum(one.calls - one.from_ledger for one in self._paying(asked))

    def _add(self, metric: Metric, value: float, *labels: str) -> None:
        if value > 0:
            series = metric, (self._recipe, self._step, *labels)
            self._grown[series] = self._grown.get(series, 0.0) + value

    def _set(self, metric: Metric, value: float, *labels: str) -> None:
        self._gauges[metric, (self._recipe, self._step, *labels)] = value

    def _hand_on(self) -> None:
        for (metric, labels), value in self._grown.items():
            self._export.add(metric, labels, value)
        self._grown.clear()
        for (metric, labels), value in self._gauges.items():
            self._export.set(metric, labels, value)


class RayExport:
    """`ray.util.metrics` of the driver: the node's agent has them at its port `metrics`, where Prometheus looks."""

    def __init__(self) -> None:
        self._made: dict[Metric, Any] = {}

    def add(self, metric: Metric, labels: Values, value: float) -> None:
        self._of(metric).inc(value, tags=dict(zip(metric.labels, labels, strict=True)))

    def set(self, metric: Metric, labels: Values, value: float) -> None:
        self._of(metric).set(value, tags=dict(zip(metric.labels, labels, strict=True)))

    def _of(self, metric: Metric) -> Any:
        if metric not in self._made:
            from ray.util import metrics  # noqa: PLC0415 - only runs on Ray have it

            kind = metrics.Counter if metric.kind == "counter" else metrics.Gauge
            self._made[metric] = kind(metric.name, description=metric.meaning, tag_keys=metric.labels)
        return self._made[metric]
