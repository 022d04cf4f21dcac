"""What Kubernetes is asked for is what the stages take: pods against the resources of every recipe and of the runs."""

import functools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.driver.pool import demand
from cluster.driver.sizes import devices_hold
from cluster.plan import Group, make_plan
from cluster.shards import list_inputs
from pipelines.config import configure, read_config
from pipelines.recipes import RECIPES, find_recipe
from schemas import columns as c
from stages.stage import Resources
from tests.infra.render import INFRA, Manifest, cluster_of, named, rendered

SYSTEM = 0.1  # of a container: the raylet, its agents, and what a worker takes besides
UNITS = {"": 1, "m": 1e-3, "Mi": 1 << 20, "Gi": 1 << 30}
SAMPLE = INFRA.parent / "tests" / "data" / "sample.warc.gz"
# The run, its recipe, and what is read in the place of its input.
RUNS = [("eks", "web"), ("gke", "web"), ("kind", "web"), ("eks", "refine"), ("gke", "refine")]


@functools.cache
def objects(overlay: str) -> list[Manifest]:
    return rendered(INFRA / "overlays" / overlay)


def quantity(text: str) -> float:
    """`500m`, `56Gi`, `4` as a number."""
    number, unit = re.fullmatch(r"([\d.]+)([a-zA-Z]*)", text).groups()  # type: ignore[union-attr]
    return float(number) * UNITS[unit]


def node(group: Manifest) -> dict[str, float]:
    """What Ray is told of a node of this group, by Ray's names."""
    return {"CPU": 0.0, "GPU": 0.0, "memory": 0.0} | {name: float(n) for name, n in group["resources"].items()}


def holds(there: dict[str, float], resources: Resources) -> int:
    """How many workers a node has room for."""
    return int(min((there[name] // amount for name, amount in demand(resources).items() if amount), default=1))


def groups_of(overlay: str, name: str = "headrace-web") -> list[Manifest]:
    cluster = cluster_of(named(objects(overlay), "RayJob", name))
    assert cluster is not None
    return cluster["workerGroupSpecs"]  # type: ignore[no-any-return]


def configured(overlay: str, run: str, folder: Path) -> tuple[dict[str, Any], list[Sequence[Group]]]:
    """The settings of a run as the ConfigMap has them, and the workers of each of its steps as planned."""
    data = named(objects(overlay), "ConfigMap", "headrace-runs")["data"]
    (folder / f"{run}.yaml").write_text(data[f"{run}.yaml"])
    settings = read_config(str(folder / f"{run}.yaml"))
    if run == "web":
        source = SAMPLE
    else:
        source = folder / "in.parquet"
        pq.write_table(pa.table({"id": ["a"], "text": ["one"]}, schema=pa.schema([c.ID, c.BODY])), source)
    plan = make_plan(configure(find_recipe(run), settings.get("set", {})), list_inputs([str(source)]))
    return settings, [step.groups for step in plan.steps]


@pytest.mark.parametrize("overlay", ["eks", "gke", "kind"])
def test_ray_is_told_of_no_more_than_the_container_has(overlay: str) -> None:
    cluster = cluster_of(named(objects(overlay), "RayCluster"))
    assert cluster is not None
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        limits, requests = container["resources"]["limits"], container["resources"]["requests"]
        assert quantity(requests["memory"]) == quantity(limits["memory"]), "a pod that may take more than it asked for"
        store = float(group["rayStartParams"]["object-store-memory"])
        told = node(group)
        assert told["memory"] + store <= (1 - SYSTEM) * quantity(limits["memory"])
        if "groupName" in group:
            assert told["CPU"] == quantity(requests["cpu"]) == quantity(limits["cpu"])
            assert told["GPU"] == quantity(limits.get("nvidia.com/gpu", "0"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_stage_fits_on_a_node(recipe: str) -> None:
    nodes = [node(group) for group in groups_of("eks")]
    for step in find_recipe(recipe).steps:
        for stage in step.parts:
            resources = getattr(stage, "resources", Resources(cpus=0, memory_gb=0))
            assert any(holds(there, resources) for there in nodes), (step.name, stage, resources)


@pytest.mark.parametrize(("overlay", "run"), RUNS)
def test_a_run_fits_on_the_nodes_that_it_starts_with(overlay: str, run: str, tmp_path: Path) -> None:
    """A driver asks when a step starts, and before anything could be scaled up, what its workers would fit on."""
    _, steps = configured(overlay, run, tmp_path)
    starting = [node(g) for g in groups_of(overlay, f"headrace-{run}") for _ in range(g["minReplicas"])]
    for groups in steps:  # one worker of each kind at once
        workers = [group.resources for group in groups]
        for name in ("CPU", "memory"):
            assert sum(demand(worker)[name] for worker in workers) <= sum(there[name] for there in starting)
        assert all(any(holds(there, worker) for there in starting) for worker in workers)
        assert devices_hold(Counter(w.gpus for w in workers if w.gpus), int(sum(there["GPU"] for there in starting)))


@pytest.mark.parametrize("overlay", ["eks", "gke", "kind"])
def test_as_many_workers_as_the_autoscaler_may_be_asked_for(overlay: str, tmp_path: Path) -> None:
    settings, ((filtering,), _) = configured(overlay, "web", tmp_path)
    (cpu,) = [group for group in groups_of(overlay) if group["groupName"] == "cpu"]
    assert settings["workers"] == cpu["maxReplicas"] * holds(node(cpu), filtering.resources)


def test_a_stage_that_takes_more_is_found() -> None:
    there = node(groups_of("eks")[0])
    assert holds(there, Resources(cpus=1, memory_gb=2)) == 15
    assert holds(there, Resources(cpus=1, memory_gb=8)) == 5
    assert holds(there, Resources(cpus=16)) == 0
    assert holds(there, Resources(gpus=1)) == 0
