"""Dead rows once more, after a fix: from the stage they died in, as they were then.

The rows of `dead/<shard>.parquet` are whole, so the source is not read again. What comes of them is a further shard
`<shard>-replay-N` with its own manifest, whose account takes the rows out of the dead: rows_in 0 = out + dropped +
(still dead - were dead). Its manifest replaces the old dead file, which is then deleted. Later steps, which did not
have those rows, are taken away; `headrace run` makes them again.
"""

import json
import time
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cluster.chain import Chain
from cluster.commit import ShardWriter, Target, committed_files, discard, read_manifests
from cluster.errors import ConfigError
from cluster.lease import guarded, held
from cluster.ledger import Ledger, open_ledger
from cluster.recipe import restore
from cluster.run import run_totals, step_totals
from cluster.seen.recall import here
from cluster.seen.remember import Ask
from cluster.signals.metrics import cpu_seconds
from cluster.storage import Folder, address, locate
from pipelines.asked import with_models
from pipelines.status import read, steps_in_order
from schemas import columns as c
from schemas.document import DEAD
from schemas.manifest import Counts, Manifest
from stages.stage import Stage, name_of


def replay(output: str) -> dict[str, Any]:
    """Replay every step's dead rows; return what became of them. Raises `ConfigError` when there is no run.

    The output is this replay's meanwhile: once its lease is lost, nothing changes in it any more.
    """
    url = address(*locate(output))
    if not steps_in_order(Folder(url)):
        raise ConfigError(f"{output}: no run of headrace is there")
    with held(Folder(url)) as holder:
        found, stale = _replay_steps(guarded(url, url, holder), holder)
    return {"output": output, "steps": found, "to_run_again": stale}


def _replay_steps(folder: Folder, holder: str) -> tuple[list[dict[str, Any]], list[str]]:
    """What became of the dead rows of each step, and the steps that lacked such rows and were taken away."""
    steps = steps_in_order(folder)
    result = read(folder, "run.json")
    about = {name: read(folder, f"{name}/step.json") or {} for name in steps}
    folder.delete("run.json")  # until all steps have the rows, the run is not whole
    found: list[dict[str, Any]] = []
    stale: list[str] = []
    for name in steps:
        upstream = about[name].get("upstream")
        if upstream in stale or (upstream in steps and _lacks_rows(folder.below(name), folder.below(upstream))):
            stale.append(name)
        else:
            found.append(_replay_step(folder, name, about[name], holder))
    for name in reversed(stale):  # or a run that goes on from here would keep what was made from those that are gone
        discard(folder.below(name))
    if result is not None and not stale and not any(step["dead_before"] for step in found):
        folder.put("run.json", json.dumps(result, indent=1).encode())
    elif result is not None and not stale:
        seconds = {step["name"]: step["seconds"] for step in result["steps"]}
        totals = [step_totals(Target(f"{folder.url}/{name}"), name, seconds[name]) for name in steps if name in seconds]
        result = run_totals(result["recipe"], result["status"], result["final"], result["seconds"], totals)
        folder.put("run.json", json.dumps(result, indent=1).encode())
        with_models(folder, result)
    return found, stale


def as_text(found: dict[str, Any]) -> str:
    """A line a step for a person."""
    lines = []
    for step in found["steps"]:
        lines.append(
            f"{step['step']}: {step['dead_before']:,} dead rows replayed: {step['kept']:,} kept, "
            f"{step['dropped']:,} dropped, {step['dead']:,} dead again"
        )
    if found["to_run_again"]:
        lines.append(
            f"steps {', '.join(found['to_run_again'])} had no such rows and were taken away: run the recipe again"
        )
    return "\n".join(lines)


def _lacks_rows(folder: Folder, upstream: Folder) -> bool:
    """True if a replay of `upstream` brought rows back that the step in `folder` has not had, in whichever call."""
    had = read_manifests(folder)
    return any(
        "replays" in manifest.source and manifest.counts.out and shard not in had
        for shard, manifest in read_manifests(upstream).items()
    )


def _replay_step(folder: Folder, name: str, step: dict[str, Any], holder: str) -> dict[str, Any]:
    target = Target(f"{folder.url}/{name}", step.get("removed_text", True), holder)
    paths = list(committed_files(target.folder, "dead"))
    if not paths:  # stages are slow to make: they read their models' files
        return {"step": name, "dead_before": 0, "kept": 0, "dropped": 0, "dead": 0}
    stages = _stages(step)
    ask = here(stages, target)
    ledger = open_ledger(stages, step.get("ledger"), name)
    before, after = 0, Counts()
    manifests = read_manifests(target.folder)
    try:
        for path in paths:
            shard = path.removeprefix("dead/").removesuffix(".parquet")
            rows, replayed = _replay_shard(target, manifests[shard], path, stages, ask, ledger)
            before += rows
            after += replayed.counts
    finally:
        if ledger is not None:
            ledger.close()
    return {
        "step": name,
        "dead_before": before,
        "kept": after.out,
        "dropped": sum(after.dropped.values()),
        "dead": before + after.dead,
    }


def _stages(step: dict[str, Any]) -> tuple[Stage, ...]:
    """The stages of a step as they were, engines included: those are no part of a stage's identity."""
    execution: dict[str, dict[str, Any]] = step.get("execution", {})
    identities = step["identity"]["stages"]
    names = [identity["stage"].rpartition(".")[2] for identity in identities]
    keys = [name if (n := names[: at + 1].count(name)) == 1 else f"{name} ({n})" for at, name in enumerate(names)]
    return tuple(restore(identity, execution.get(key)) for identity, key in zip(identities, keys, strict=True))


def _replay_shard(
    target: Target, manifest: Manifest, path: str, stages: tuple[Stage, ...], ask: Ask | None, ledger: Ledger | None
) -> tuple[int, Manifest]:
    """The dead rows of one shard, each from the stage it died in; (how many, the manifest of what came of them)."""
    with target.folder.open(path) as file:
        dead = pq.read_table(file)
    schema = pa.schema([field for field in dead.schema if field.name not in DEAD.names])
    name = _next_name(manifest.shard)
    writer = ShardWriter(target, name, schema)
    writer.take_from_dead(dead.num_rows)
    wall, cpu = time.perf_counter(), cpu_seconds()
    names = [name_of(stage) for stage in stages]
    for stage in dict.fromkeys(dead.column(c.DEAD_STAGE.name).to_pylist()):
        rows = dead.filter(pc.equal(dead.column(c.DEAD_STAGE.name), stage))
        attempt = pc.max(rows.column(c.ATTEMPT.name)).as_py() + 1
        chain = Chain(stages[names.index(stage) :] if stage in names else stages, ask, ledger)
        writer.add(chain.apply(rows.select(schema.names), attempt))
    source = {**manifest.source, "replays": manifest.shard}
    replayed = writer.commit(
        manifest.step, manifest.fingerprint, source, time.perf_counter() - wall, cpu_seconds() - cpu
    )
    target.folder.delete(path)
    return dead.num_rows, replayed


def _next_name(shard: str) -> str:
    """`crawl-1a2b` -> `crawl-1a2b-replay-1` -> `crawl-1a2b-replay-2`."""
    base, dash, number = shard.rpartition("-replay-")
    return f"{base}-replay-{int(number) + 1}" if dash and number.isdecimal() else f"{shard}-replay-1"
