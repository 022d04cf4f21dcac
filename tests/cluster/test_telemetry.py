"""What is counted of a run, against infra/metrics.md, literal events, and a Prometheus page of a real Ray."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.asked import Asked
from cluster.driver import pool as pools
from cluster.shards import InputFile, Shard
from cluster.signals import telemetry as t
from cluster.signals.events import Looked, PoolSeen, RunBegan, ShardCommitted, ShardFailed, StepBegan, StepEnded
from cluster.signals.progress import Progress
from cluster.storage import Folder
from cluster.work import TableDone
from schemas.manifest import Counts, File, Manifest, StageCost
from stages.stage import Piece
from tests.infra.clusters import wait_for
from tests.infra.render import INFRA
from tests.runs import write

ROOT = Path(__file__).resolve().parents[2]


class Page:
    """What was exported: series as in Prometheus, `name{values}`; how often each was handed on."""

    def __init__(self) -> None:
        self.series: dict[str, float] = {}
        self.calls: Counter[str] = Counter()

    def add(self, metric: t.Metric, labels: t.Values, value: float) -> None:
        assert metric.kind == "counter"
        assert value > 0, "Ray's counters take nothing else"
        self._put(metric, labels, self.series.get(self._name(metric, labels), 0) + value)

    def set(self, metric: t.Metric, labels: t.Values, value: float) -> None:
        assert metric.kind == "gauge"
        self._put(metric, labels, value)

    def _put(self, metric: t.Metric, labels: t.Values, value: float) -> None:
        assert len(labels) == len(metric.labels)
        self.series[self._name(metric, labels)] = value
        self.calls[metric.name] += 1

    def of(self, name: str) -> dict[str, float]:
        start = f"headrace_{name}{{"
        return {s.removeprefix(start)[:-1]: value for s, value in self.series.items() if s.startswith(start)}

    @staticmethod
    def _name(metric: t.Metric, labels: t.Values) -> str:
        return f"{metric.name}{{{' '.join(labels)}}}"


class Clock:
    """A clock that stands until it is set."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Pool:
    """Any object that a pool is known by."""


def shard(name: str, size: int = 100) -> Shard:
    uri = f"file:///{name}"
    return Shard(name, Piece(uri), InputFile(uri, size, ""))


def manifest(name: str, **counts: Any) -> Manifest:
    files = (File(f"data/{name}.parquet", 1, 30), File(f"removed/{name}.parquet", 1, 12))
    return Manifest("only", name, "f", {}, files, Counts(**counts), (), {"A": StageCost(seconds=1.5)}, 9.0, 9.0)


def begun() -> tuple[t.Metrics, Page]:
    page = Page()
    metrics = t.Metrics(page)
    metrics.hear(RunBegan("web", "r1", 0.001, 1000.0))
    metrics.hear(StepBegan("only", ("A", "Asks", "Scores"), ("Asks",)))
    return metrics, page


def pool(who: Pool, **what: Any) -> PoolSeen:
    return PoolSeen(**{
        "name": "0", "pool": who, "busy": 2, "idle": 1, "starting": 0, "deaths": 0, "busy_seconds": 0.0, **what,
    })  # fmt: skip


def test_the_list_for_people_is_the_list_of_the_program() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \| ([\w, ]+) \| (.+) \|$", (INFRA / "metrics.md").read_text(), re.MULTILINE
    )
    assert [(name, kind, labels.split(", "), meaning.replace("`", "")) for name, kind, labels, meaning in rows] == [
        (f"ray_{metric.name}", metric.kind, list(metric.labels), metric.meaning) for metric in t.METRICS
    ]


def test_counters_end_as_ray_would_have_them_end() -> None:
    assert [m.name for m in t.METRICS if (m.kind == "counter") != m.name.endswith("_total")] == []


def test_a_commit_is_counted_once_whole() -> None:
    metrics, page = begun()
    counts = {"rows_in": 10, "emitted": 2, "out": 7, "dropped": {"A.x.y": 3, "B.z": 1}, "dead": 1}
    asked = (Asked("Asks", 5, 2, 100, 20), Asked("Scores", 4, 0, 50, 0), Asked("Earlier", 9, 0, 9, 9))
    metrics.hear(ShardCommitted(shard("a"), manifest("a", **counts), asked, asked[:1]))
    assert page.series == {}, "nothing is handed on at a commit"
    metrics.hear(StepEnded("only"))
    assert page.of("rows_total") == {
        "web only in": 10, "web only out": 7, "web only dropped": 4, "web only dead": 1, "web only emitted": 2,
    }  # fmt: skip
    assert page.of("dropped_total") == {"web only A x.y": 3, "web only B z": 1}
    assert page.of("bytes_total") == {"web only read": 100, "web only written": 42}
    assert page.of("seconds_total") == {"web only A": 1.5}
    assert page.of("commits_total") == {"web only": 1}
    assert page.of("tokens_total") == {
        "web only Asks prompt": 100, "web only Asks completion": 20, "web only Scores prompt": 50,
    }  # fmt: skip
    assert page.of("ledger_total") == {"web only hit": 2, "web only miss": 3}
    assert page.of("ledger_resumed_misses_total") == {"web only": 3}
    assert (page.of("max_dead"), page.of("run_started_seconds")) == ({"web": 0.001}, {"web": 1000.0})


def test_rows_that_become_one_are_no_negative_count() -> None:
    metrics, page = begun()
    metrics.hear(ShardCommitted(shard("a"), manifest("a", rows_in=10, emitted=-4, out=6)))
    metrics.hear(StepEnded("only"))
    assert page.of("rows_total") == {"web only in": 10, "web only out": 6, "web only merged": 4}


def test_a_commit_costs_no_call_of_the_exporter() -> None:
    metrics, page = begun()
    for number in range(1000):
        metrics.hear(ShardCommitted(shard(str(number)), manifest(str(number), rows_in=1, out=1)))
    metrics.hear(Looked(1000, 0, 0, ()))
    assert page.of("commits_total") == {"web only": 1000}
    assert page.calls["headrace_commits_total"] == 1


def test_pools_are_shown_as_they_are_and_counted_since_they_were_seen() -> None:
    metrics, page = begun()
    one, two = Pool(), Pool()
    gpu = {"name": "1", "gpus": 0.5, "queue": (300, 256)}
    metrics.hear(Looked(0, 0, 0, (), tasks=(3, 5)))
    assert page.of("barrier_tasks") == {"web only done": 3, "web only waiting": 5}
    metrics.hear(Looked(1, 2, 3, (pool(one, deaths=1), pool(two, busy_seconds=4.0, **gpu))))
    metrics.hear(Looked(2, 2, 2, (pool(one, deaths=3, busy=3, idle=0), pool(two, busy_seconds=9.5, **gpu))))
    assert page.of("shards") == {"web only done": 2, "web only running": 2, "web only waiting": 2}
    assert page.of("barrier_tasks") == {"web only done": 0, "web only waiting": 0}
    assert page.of("workers") == {
        "web only 0 busy": 3, "web only 0 idle": 0, "web only 0 starting": 0,
        "web only 1 busy": 2, "web only 1 idle": 1, "web only 1 starting": 0,
    }  # fmt: skip
    assert page.of("worker_deaths_total") == {"web only 0": 3}
    assert page.of("gpu_busy_seconds_total") == {"web only 1": 9.5}
    assert page.of("gpu_workers") == {"web only 1": 3}
    assert (page.of("queue_bytes"), page.of("queue_limit_bytes")) == ({"web only 1": 300}, {"web only 1": 256})
    # The next step has the same workers: what the first has counted is not its own.
    metrics.hear(StepEnded("only"))
    assert set(page.of("workers").values()) == {0}
    metrics.hear(StepBegan("next", (), ()))
    metrics.hear(Looked(0, 1, 0, (pool(one, deaths=4),)))
    assert page.of("worker_deaths_total") == {"web only 0": 3, "web next 0": 1}


def test_a_pool_tells_how_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(pools, "time", clock)
    monkeypatch.setattr(pools.ray, "kill", lambda actor: None)
    numbers = iter(range(9))
    a_pool = pools.Pool(lambda: next(numbers), maximum=4, in_flight=2, ready=lambda actor: f"ready {actor}")

    def seen() -> tuple[int, int, int, int, float]:
        it = a_pool.seen("0", 1.0)
        return it.busy, it.idle, it.starting, it.deaths, it.busy_seconds

    a_pool.resize(6)
    a_pool.started("ready 0")
    assert seen() == (0, 1, 2, 0, 0.0)
    a_pool.started("ready 1")
    assert [a_pool.take(), a_pool.take(), a_pool.take()] == [0, 1, 0]
    clock.now += 10
    a_pool.give(0)  # it has another call
    assert seen() == (2, 0, 1, 0, 20.0)
    clock.now += 1
    a_pool.lost(1)
    a_pool.lost(1)  # once is enough
    clock.now += 1
    a_pool.give(0)
    clock.now += 100
    assert seen() == (0, 1, 1, 1, 23.0)
    a_pool.resize(0)  # those that are let go are no deaths
    assert seen() == (0, 0, 0, 1, 23.0)


def test_a_shard_that_is_begun_again_counts_once_and_what_it_pays_twice_is_told(tmp_path: Path) -> None:
    heard: list[Any] = []
    told = Progress("only", Folder(str(tmp_path)), max_dead=1, quiet=True, hear=heard.append)
    first, second, free = Asked("Asks", 4, 0, 8, 8), Asked("Asks", 3, 0, 6, 6), Asked("Asks", 4, 4, 8, 8)
    told.started(shard("a"))
    told.table(shard("a"), TableDone(0, Counts(rows_in=4, out=4), 0.5, asked=(first,)))
    told.failed(shard("a"), "worker died")
    told.started(shard("a"))
    told.table(shard("a"), TableDone(0, Counts(rows_in=4, out=4), 0.5, asked=(free,)))
    told.table(shard("a"), TableDone(1, Counts(rows_in=4, out=4), 1.0, asked=(second,)))
    told.committed(shard("a"), manifest("a", rows_in=8, out=8))
    (commit,) = [event for event in heard if isinstance(event, ShardCommitted)]
    assert (commit.asked, commit.again) == ((free, second), (free,))
    assert [event.why for event in heard if isinstance(event, ShardFailed)] == ["worker died"]
    assert [event.attempt for event in heard if hasattr(event, "attempt")] == [1, 2]


RECIPE = {
    "name": "counted",
    "steps": [
        {
            "name": "only",
            "source": "tests.fakes.ReadLines",
            "stages": [
                {"stage": "tests.fakes.DropWith", "word": "spam"},
                {"stage": "tests.fakes.FailRow", "word": "dead"},
                {"stage": "tests.fakes.CrashOn", "word": "boom", "hard": True},
                "tests.fakes.Twice",
                "tests.fakes.OnGpu",
            ],
        }
    ],
}
TEXT = "one\nspam two\ndead three\n!bad\n!drop\n" + "more\n" * 20 + "boom\nspam six\n"


@pytest.mark.ray
def test_totals_on_the_page_of_the_node_are_those_of_the_run(tmp_path: Path, ray_session: None) -> None:
    """A worker dies, so a shard is begun again: it counts once all the same. The log is JSON to the last line."""
    import ray

    (tmp_path / "counted.yaml").write_text(yaml.safe_dump(with_once(tmp_path)))
    folder = write(tmp_path / "in", {"a.txt": TEXT})
    address = ray.get_runtime_context().gcs_address
    done = subprocess.run(
        [
            sys.executable, "-m", "pipelines", "run", str(tmp_path / "counted.yaml"), "--input", folder, "--output",
            str(tmp_path / "out"), "--runner", "ray", "--address", address, "--max-dead", "0.5", "--workers", "1",
            "--log-format", "json",
        ],
        check=False, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (step,) = json.loads((tmp_path / "out" / "run.json").read_text())["steps"]
    # The driver has left what it had when it went, with nobody waiting for the next export; the agent may be late.
    commits = {("counted", "only"): step["shards"]}
    wait_for(lambda: page_of_the_node("counted").get("ray_headrace_commits_total") == commits)
    found = page_of_the_node("counted")
    assert {labels[-1]: rows for labels, rows in found["ray_headrace_rows_total"].items()} == {
        "in": step["rows_in"], "out": step["out"], "dropped": sum(step["dropped"].values()), "dead": step["dead"],
        "emitted": step["emitted"],
    }  # fmt: skip
    dropped = found["ray_headrace_dropped_total"].items()
    assert {f"{stage}.{reason}": rows for (_, _, stage, reason), rows in dropped} == step["dropped"]
    assert found["ray_headrace_worker_deaths_total"] == {("counted", "only", "0"): 1}
    assert found["ray_headrace_gpu_busy_seconds_total"][("counted", "only", "1")] > 0
    read = found["ray_headrace_bytes_total"][("counted", "only", "read")]
    assert read == len(TEXT)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert all(list(line)[:8] == KEYS for line in lines)
    assert len({line["run"] for line in lines}) == 1
    (retried,) = [line for line in lines if line["event"] == "retried"]
    assert (retried["recipe"], retried["step"], retried["level"]) == ("counted", "only", "warning")
    assert retried["shard"].startswith("a-")
    again = [line["attempt"] for line in lines if line["event"] == "shard_committed" if line["attempt"] > 1]
    assert again == [2]


KEYS = ["time", "level", "run", "recipe", "step", "shard", "event", "message"]


def with_once(folder: Path) -> dict[str, Any]:
    recipe: dict[str, Any] = json.loads(json.dumps(RECIPE))
    recipe["steps"][0]["stages"][2]["once"] = str(folder / "once")
    return recipe


def page_of_the_node(recipe: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Sums of what the node's agent exports for a recipe, by name and by the labels that are ours."""
    import ray

    (node,) = ray.nodes()
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as page:
        text = page.read().decode()
    known = {f"ray_{metric.name}": metric for metric in t.METRICS}
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for name, inside, value in re.findall(r"^(ray_headrace_\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
        labels = dict(re.findall(r'(\w+)="([^"]*)"', inside))
        assert labels.keys() >= set(known[name].labels) | {"SessionName", "NodeAddress", "WorkerId", "Component"}
        if labels["recipe"] == recipe:
            of_name = found.setdefault(name, {})
            values = tuple(labels[label] for label in known[name].labels)
            of_name[values] = of_name.get(values, 0.0) + float(value)
    return found
