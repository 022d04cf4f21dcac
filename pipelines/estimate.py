"""What would run, and what it would cost: `headrace plan`, with `--sample N` measured on N shards."""

import dataclasses
import math
import statistics
import tempfile
from typing import Any

from cluster.chain import add_costs
from cluster.commit import read_manifests
from cluster.ledger import asks
from cluster.local import LocalRunner
from cluster.plan import Plan, PlannedStep, columns_of
from cluster.run import Options, run
from cluster.signals.progress import duration
from cluster.storage import Folder
from pipelines.order import propose, rank
from pipelines.usage import Usage, usage_of
from schemas import columns as c
from schemas.manifest import Manifest, StageCost
from stages.stage import execution_of, name_of, settings_of

MIN_SAVING = 0.01  # of the CPU time; less is not worth another order
# Two-sided 95 % quantiles of Student's t by degrees of freedom; beyond the table the normal distribution's.
T95 = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26, 10: 2.23, 15: 2.13, 20: 2.09}


def describe(plan: Plan) -> dict[str, Any]:
    """Plain data: the steps with their stages, settings, workers and columns; shards and bytes."""
    steps = []
    for planned in plan.steps:
        step = planned.step
        steps.append(
            {
                "name": step.name,
                "reads": step.after or name_of(step.source),
                "shuffle": name_of(step.shuffle) if step.shuffle else None,
                "stages": [
                    {"stage": name_of(part), "settings": settings_of(part) | execution_of(part)} for part in step.parts
                ],
                "workers": [
                    {"stages": [name_of(stage) for stage in group.stages], **dataclasses.asdict(group.resources)}
                    for group in planned.groups
                ],
                "columns": columns_of(planned.schema),
                "fingerprint": planned.fingerprint,
            }
        )
    return {
        "recipe": plan.recipe.name,
        "steps": steps,
        "inputs": len(plan.inputs),
        "shards": len(plan.shards),
        "bytes": sum(shard.bytes for shard in plan.shards),
    }


def estimate(plan: Plan, sample: int, workers: int, ledger: str | None = None) -> dict[str, Any]:
    """Run `sample` shards, evenly spread over the input, in a temporary folder, and extrapolate by input bytes.

    With a `ledger` what models answer is kept for the run itself; without one it is paid for again.

    Intervals are 95 %, from the spread between shards; with one shard of several there is none to give.
    """
    every = max(len(plan.shards) // sample, 1)
    chosen = plan.shards[::every][:sample]
    share = sum(shard.bytes for shard in chosen) / max(sum(shard.bytes for shard in plan.shards), 1)
    with tempfile.TemporaryDirectory(prefix="headrace-plan-") as scratch:
        folder, steps = f"{scratch}/run", tuple(_scaled(planned, share) for planned in plan.steps)
        part = dataclasses.replace(plan, shards=chosen, steps=steps)
        if not any(asks(planned.step.stages) for planned in steps):
            # Kernels are compiled when a machine first meets them, which is no cost of a row.
            warm = dataclasses.replace(part, shards=(min(chosen, key=lambda shard: shard.bytes),))
            run(warm, f"{scratch}/warm", LocalRunner(), Options(max_dead=1.0, quiet=True))
        result = run(part, folder, LocalRunner(), Options(max_dead=1.0, quiet=True, ledger=ledger))
        by_step = {step.name: read_manifests(Folder(f"{folder}/{step.name}")) for step in plan.steps}
        asked = {step.name: _asked(Folder(f"{folder}/{step.name}"), step, by_step[step.name]) for step in plan.steps}
    sizes = {shard.name: shard.bytes for shard in chosen}
    total = sum(shard.bytes for shard in plan.shards)
    cpu = {name: sum(m[name].cpu_seconds for m in by_step.values() if name in m) for name in sizes}
    final = by_step[plan.recipe.final]
    written = {name: float(_bytes(final[name])) for name in sizes if name in final}
    costs_by_step = {step: _costs(manifests) for step, manifests in by_step.items()}
    whole = len(chosen) == len(plan.shards)
    cpu_total = _extrapolate(cpu, sizes, total, whole)
    return {
        "shards": len(chosen),
        "rows_in": result["steps"][0]["rows_in"],
        "kept": result["steps"][-1]["out"],
        "cpu_seconds": cpu_total,
        "wall_seconds": [None if v is None else v / workers for v in cpu_total],
        "output_bytes": _extrapolate(written, sizes, total, whole),
        "stages": {step: _as_data(costs) for step, costs in costs_by_step.items()},
        "models": {
            step: {
                field: _extrapolate({name: getattr(u, field) for name, u in by_shard.items()}, sizes, total, whole)
                for field in Usage._fields
            }
            for step, by_shard in asked.items()
            if any(usage.calls for usage in by_shard.values())
        },
        "orders": _orders(plan, costs_by_step, sum(cpu.values())),
    }


def _scaled(planned: PlannedStep, share: float) -> PlannedStep:
    """`planned` over a sample: a shuffle that deals out a budget has only this share of it."""
    scale = getattr(planned.step.shuffle, "scaled", None)
    if scale is None:
        return planned
    return dataclasses.replace(planned, step=dataclasses.replace(planned.step, shuffle=scale(share)))


def _asked(folder: Folder, planned: PlannedStep, manifests: dict[str, Manifest]) -> dict[str, Usage]:
    """What the step's models were asked, by shard."""
    stages = {name_of(stage) for stage in planned.step.stages}
    if c.ANSWERS.name not in planned.schema.names:
        return {}
    return {name: usage_of(folder, manifest, stages) for name, manifest in manifests.items()}


def as_text(found: dict[str, Any]) -> str:
    """The plan for a person; the estimate behind it if there is one."""
    lines = [
        f"recipe {found['recipe']}: {found['inputs']:,} files, {found['shards']:,} shards, {_size(found['bytes'])}"
    ]
    for step in found["steps"]:
        lines.append(f"step {step['name']}: reads {step['reads']}")
        if step["shuffle"]:
            lines.append(f"  {step['shuffle']} over all rows first")
        for group in step["workers"]:
            lines.append(
                f"  worker of {group['cpus']:g} CPU, {group['gpus']:g} GPU, {group['memory_gb']:g} GB: "
                + " -> ".join(group["stages"])
            )
        for part in step["stages"]:
            settings = ", ".join(f"{name}={value!r}" for name, value in part["settings"].items())
            lines.append(f"    {part['stage']}({settings})")
        lines.append("  columns")
        lines += [f"    {column}" for column in step["columns"]]
    if "estimate" in found:
        lines += _estimate_text(found["estimate"])
    return "\n".join(lines)


def _estimate_text(e: dict[str, Any]) -> list[str]:
    lines = [f"measured on {e['shards']} shards: {e['rows_in']:,} rows in, {e['kept']:,} kept"]
    for step, stages in e["stages"].items():
        for stage, cost in stages.items():
            share = cost["rows_out"] / cost["rows_in"] if cost["rows_in"] else 1.0
            per_row = 1000 * cost["cpu_seconds"] / cost["rows_in"] if cost["rows_in"] else 0.0
            lines.append(f"  {step}.{stage:<20} {per_row:>9.3f} ms CPU a row, passes {share:>6.1%}")
    for step, order in e.get("orders", {}).items():
        lines.append(f"  {step}: about {order['cpu_saved']:.1%} less CPU in the order " + " -> ".join(order["order"]))
    if e.get("orders"):
        lines.append("  (by CPU a row dropped, as if stages dropped the same shares in any order; the recipe's stays)")
    lines.append("the whole input, with 95 % interval:")
    for step, usage in e.get("models", {}).items():
        lines.append(f"  {step}: calls  " + _interval(usage["calls"], "{:,.0f}".format))
        lines.append(f"  {step}: tokens " + _interval(usage["prompt_tokens"], "{:,.0f} in".format))
        lines.append(f"  {step}:        " + _interval(usage["completion_tokens"], "{:,.0f} out".format))
        lines.append(f"  {step}: cost   " + _interval(usage["cost"], "{:,.2f}".format))
    lines.append("  CPU   " + _interval(e["cpu_seconds"], duration))
    lines.append("  wall  " + _interval(e["wall_seconds"], duration))
    lines.append("  output " + _interval(e["output_bytes"], _size))
    return lines


def _extrapolate(
    values: dict[str, float], sizes: dict[str, int], total: int, whole: bool
) -> tuple[float, float | None, float | None]:
    """(estimate, low, high) of the sum of `values` over `total` bytes, by the ratio to bytes. `whole`: it is known."""
    ratios = [values[name] / max(sizes[name], 1) for name in values]
    expected = sum(values.values()) / max(sum(sizes.values()), 1) * total
    if whole:
        return expected, expected, expected
    if len(ratios) < 2:
        return expected, None, None
    n = len(ratios)
    t = T95[max(k for k in T95 if k < n)] if n - 1 <= 20 else 1.96
    half = t * statistics.stdev(ratios) / math.sqrt(n) * total
    return expected, max(expected - half, 0.0), expected + half


def _costs(manifests: dict[str, Manifest]) -> dict[str, StageCost]:
    total: dict[str, StageCost] = {}
    for manifest in manifests.values():
        total = add_costs(total, manifest.stages)
    return total


def _as_data(costs: dict[str, StageCost]) -> dict[str, dict[str, Any]]:
    return {stage: {**dataclasses.asdict(cost), "cpu_per_drop": rank(cost)} for stage, cost in costs.items()}


def _orders(plan: Plan, costs: dict[str, dict[str, StageCost]], cpu: float) -> dict[str, dict[str, Any]]:
    """By step an order of its stages that would save more than `MIN_SAVING` of the CPU seconds of all steps."""
    found = {}
    for planned in plan.steps:
        order = propose(planned.step.stages, costs[planned.name])
        if order.saved > MIN_SAVING * cpu:
            found[planned.name] = {"order": list(order.stages), "cpu_saved": order.saved / cpu}
    return found


def _bytes(manifest: Manifest) -> int:
    return sum(file.bytes for file in manifest.files if file.path.startswith("data/"))


def _interval(values: tuple[float, float | None, float | None], show: Any) -> str:
    middle, low, high = values
    if low is None or high is None:
        return f"{show(middle)} (one shard says nothing of the spread)"
    return f"{show(middle)} ({show(low)} to {show(high)})"


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"
