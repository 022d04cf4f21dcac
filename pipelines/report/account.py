"""The exact part of the report: every count from `run.json`, `step.json` and the manifests, none from a sample."""

import json
from dataclasses import dataclass
from typing import Any

from cluster.commit import read_manifests
from cluster.errors import ConfigError
from cluster.storage import Folder
from pipelines.status import steps_in_order
from schemas.manifest import Counts, Manifest, StageCost

MAX_UNREADABLE = 50  # pieces listed on the page; all are counted


@dataclass(frozen=True)
class StageLine:
    """A stage in the funnel. `dead` and `made` are what its rows in and out leave unexplained by its drops."""

    name: str
    rows_in: int
    rows_out: int
    reasons: tuple[tuple[str, int], ...]  # largest first
    cost: StageCost | None  # none for a source: its work is not told apart from the step's

    @property
    def dropped(self) -> int:
        return sum(rows for _, rows in self.reasons)

    @property
    def dead(self) -> int:
        return max(self.rows_in - self.rows_out - self.dropped, 0)

    @property
    def made(self) -> int:
        return max(self.rows_out + self.dropped - self.rows_in, 0)


@dataclass(frozen=True)
class StepLine:
    """A step: its account, its stages in order with the source first, and what its `step.json` says of it."""

    name: str
    manifests: dict[str, Manifest]
    counts: Counts
    stages: tuple[StageLine, ...]
    cpu_seconds: float
    seconds: float | None  # wall time of the last run, by run.json
    about: dict[str, Any]

    @property
    def other_cpu_seconds(self) -> float:
        """Reading, decoding, writing: what no stage accounts for."""
        return max(self.cpu_seconds - sum(s.cost.cpu_seconds for s in self.stages if s.cost), 0.0)

    @property
    def settings(self) -> list[tuple[str, int, dict[str, Any]]]:
        """Name, version and settings of the source, the shuffle and the stages."""
        identity = self.about.get("identity", {})
        parts = [identity.get("source"), identity.get("shuffle"), *identity.get("stages", [])]
        return [(p["stage"].rpartition(".")[2], p["version"], p["settings"]) for p in parts if p]


@dataclass(frozen=True)
class Account:
    """A run."""

    recipe: str
    status: str  # done, failed, or unfinished while there is no run.json
    seconds: float | None
    steps: tuple[StepLine, ...]
    inputs: tuple[dict[str, Any], ...]
    output: str

    @property
    def records(self) -> int:
        return self.steps[0].counts.rows_in

    @property
    def kept(self) -> int:
        return self.steps[-1].counts.out

    @property
    def total(self) -> Counts:
        """All steps added up; its rows_in and out are not those of the run."""
        return sum((s.counts for s in self.steps), Counts())

    @property
    def dropped(self) -> int:
        return sum(self.total.dropped.values())

    @property
    def missing(self) -> int:
        """Rows that are neither kept nor dropped nor dead: on their way to a step that has not met them yet."""
        return self.records + self.total.emitted - self.kept - self.dropped - self.total.dead

    @property
    def cpu_seconds(self) -> float:
        return sum(s.cpu_seconds for s in self.steps)

    @property
    def widest(self) -> int:
        """The most rows there are anywhere in the funnel: its full width."""
        return max([1, *(rows for s in self.steps for line in s.stages for rows in (line.rows_in, line.rows_out))])

    @property
    def largest_reason(self) -> int:
        """Rows dropped for the most common reason: the full width of the bars."""
        return max(self.total.dropped.values(), default=1)

    @property
    def input_bytes(self) -> int:
        return sum(int(f["size"]) for f in self.inputs)

    @property
    def unreadable(self) -> list[tuple[str, str, int, str]]:
        """(step, file, offset, error) of the first pieces that could not become a row."""
        pieces = [
            (step.name, str(manifest.source.get("uri", shard)), offset, error)
            for step in self.steps
            for shard, manifest in sorted(step.manifests.items())
            for offset, error in manifest.unreadable
        ]
        return pieces[:MAX_UNREADABLE]


def read_account(folder: Folder) -> Account:
    """The account of the run in `folder`. `ConfigError` when there is none."""
    names = steps_in_order(folder)
    if not names:
        raise ConfigError(f"{folder.url}: no run of headrace is there")
    result = _json(folder, "run.json") if folder.exists("run.json") else {}
    seconds = {step["name"]: step["seconds"] for step in result.get("steps", [])}
    steps = tuple(_step(folder, name, seconds.get(name)) for name in names)
    inputs = tuple(f for step in steps if step.about["upstream"] is None for f in step.about["inputs"])
    recipe = result.get("recipe", steps[0].about["recipe"])
    return Account(recipe, result.get("status", "unfinished"), result.get("seconds"), steps, inputs, folder.url)


def _step(folder: Folder, name: str, seconds: float | None) -> StepLine:
    about = _json(folder, f"{name}/step.json")
    manifests = read_manifests(folder.below(name))
    counts = sum((m.counts for m in manifests.values()), Counts())
    costs: dict[str, StageCost] = {}
    for manifest in manifests.values():
        for stage, cost in manifest.stages.items():
            costs[stage] = costs.get(stage, StageCost()) + cost
    cpu = sum(m.cpu_seconds for m in manifests.values())
    return StepLine(name, manifests, counts, _stages(about, counts, costs), cpu, seconds, about)


def _stages(about: dict[str, Any], counts: Counts, costs: dict[str, StageCost]) -> tuple[StageLine, ...]:
    reasons: dict[str, dict[str, int]] = {}
    for key, rows in counts.dropped.items():
        stage, _, reason = key.partition(".")
        reasons.setdefault(stage, {})[reason] = rows

    def line(name: str, rows_in: int, rows_out: int, cost: StageCost | None) -> StageLine:
        found = sorted(reasons.get(name, {}).items(), key=lambda item: (-item[1], item[0]))
        return StageLine(name, rows_in, rows_out, tuple(found), cost)

    source = about.get("identity", {}).get("source", {}).get("stage", "source").rpartition(".")[2]
    names = about["stages"]
    rows = counts.rows_in - sum(reasons.get(source, {}).values())
    if names and names[0] in costs:
        rows = costs[names[0]].rows_in
    lines = [line(source, counts.rows_in, rows, None)]
    for name in names:
        cost = costs.get(name, StageCost())
        lines.append(line(name, cost.rows_in, cost.rows_out, cost))
    return tuple(lines)


def _json(folder: Folder, name: str) -> dict[str, Any]:
    try:
        return dict(json.loads(folder.get(name)))
    except ValueError as error:
        raise ConfigError(f"{folder.url}/{name}: not JSON: {error}") from error
