"""The steps of a recipe in order: what is done already, what is left, the totals, and how it ends.

Resume is not a mode. Every run lists the manifests of its output and does what has none. An output that was made with
other settings, versions or inputs is refused with the difference spelled out.
"""

import json
import platform
import time
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

from fsspec.implementations.local import LocalFileSystem

from cluster import VERSION
from cluster.barrier import Moving, Shuffle
from cluster.commit import Target, discard, read_manifests, tidy
from cluster.errors import AccountError, ConfigError, HeadraceError
from cluster.ledger import FOLDER as LEDGER
from cluster.ledger import asks
from cluster.ledger_store import PIECES, Store
from cluster.moving import moved_shards
from cluster.phases import DEFAULT_MEMORY, alarm, judged_other_rows, run_barrier
from cluster.plan import Plan, PlannedStep
from cluster.progress import Progress
from cluster.recipe import numbered
from cluster.shards import InputFile, Shard
from cluster.shuffle import Task
from cluster.storage import Folder, address, locate
from schemas.manifest import Counts, Manifest
from stages.stage import Piece, execution_of, name_of

OURS = ("run.json", "status.json", "report.html")  # files directly in an output


class Runner(Protocol):
    """Carries tasks and shards out: in this process, or on Ray."""

    workers: int
    startup_seconds: float  # until the first worker could work
    shutdown_seconds: float  # to let the workers go

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def run_tasks(self, planned: PlannedStep, target: Target, tasks: list[Task]) -> None: ...

    def run_shards(self, planned: PlannedStep, target: Target, shards: list[Shard], progress: Progress) -> None: ...


@dataclass(frozen=True)
class Options:
    """How a run is carried out. None of it changes a row that is kept."""

    fresh: bool = False
    max_dead: float = 0.001
    removed_text: bool = True
    memory: int = DEFAULT_MEMORY  # bytes that a task of a barrier may take
    quiet: bool = False
    ledger: str | None = None  # where paid answers are kept, for several runs; OUTPUT/ledger unless it is given


def run(plan: Plan, output: str, runner: Runner, options: Options) -> dict[str, Any]:
    """Bring `output` to what `plan` says; return the run's totals, which are also in `run.json`.

    Raises `ConfigError` before anything is started, `RunError` when the run fails; `run.json` then says `failed`.
    """
    folder = prepare(plan, output, options)
    folder.delete("run.json")  # until this run has ended, there are no totals of it
    begun = time.monotonic()
    totals: dict[str, dict[str, Any]] = {}
    status = "failed"
    try:
        with runner:
            for planned in plan.steps:
                step_begun = time.monotonic()
                target = Target(f"{folder.url}/{planned.name}", options.removed_text)
                try:
                    _run_step(plan, planned, target, runner, options)
                finally:
                    totals[planned.name] = step_totals(target, planned.name, time.monotonic() - step_begun)
        status = "done"
    finally:
        result = run_totals(
            plan.recipe.name, status, plan.recipe.final, time.monotonic() - begun, list(totals.values())
        )
        folder.put("run.json", json.dumps(result, indent=1).encode())
    return result


def prepare(plan: Plan, output: str, options: Options) -> Folder:
    """Check that `output` can take this run, and clear it if `fresh`. Raises `ConfigError` with every difference."""
    filesystem, path = locate(output)
    folder = Folder(address(filesystem, path))
    if not isinstance(filesystem, LocalFileSystem) and any(sign in path for sign in "*?["):
        # fsspec deletes and reads by pattern there: clearing `out[1]` would clear `out1`.
        raise ConfigError(f"output {output}: an address with *, ? or [ may name many places")
    if LEDGER in [planned.name for planned in plan.steps]:
        raise ConfigError(
            f"a step cannot be named {LEDGER!r}: an output's {LEDGER}/ holds the answers that were paid for"
        )
    try:
        # The ledger stays even with --fresh: whoever starts over does not want to pay again.
        there = {name: _step_json(folder, name) for name in folder.folders() if name != LEDGER}
        strangers = [name for name in folder.names() if name not in OURS]
    except HeadraceError:
        raise
    except Exception as error:
        raise ConfigError(f"output {output}: cannot be read: {type(error).__name__}: {error}") from error
    for name, step in there.items():
        inside = folder.below(name)
        if step is None and (inside.names() or inside.folders()):  # empty ones are what a killed run may leave
            strangers.append(f"{name}/")
    if strangers:
        raise ConfigError(f"output {output}: holds files that are not headrace's: {', '.join(sorted(strangers)[:5])}")
    if options.fresh:
        for name in there:
            discard(folder.below(name))
        folder.delete(*OURS)
    else:
        faults = _differences(plan, there)
        if faults:
            hint = "give another --output, or --fresh to start over"
            raise ConfigError("\n".join([f"output {output} holds another run's data ({hint}):", *faults]))
    folder.check_writable()
    if options.ledger is not None:
        Folder(options.ledger).check_writable()
    return folder


def step_totals(target: Target, name: str, seconds: float) -> dict[str, Any]:
    """The account of a step from its manifests. `seconds` is this run's wall time, `cpu_seconds` all that was spent."""
    manifests = read_manifests(target.folder).values()
    counts = sum((m.counts for m in manifests), Counts())
    order = list(dict.fromkeys(stage for m in manifests for stage in m.stages))

    def place(item: tuple[str, int]) -> tuple[int, int, str]:
        """Reasons in the order in which a row meets the stages, the source first, then by size."""
        stage = item[0].partition(".")[0]
        return (order.index(stage) if stage in order else -1, -item[1], item[0])

    return {
        "name": name,
        "shards": len(manifests),
        "rows_in": counts.rows_in,
        "emitted": counts.emitted,
        "out": counts.out,
        "dropped": dict(sorted(counts.dropped.items(), key=place)),
        "dead": counts.dead,
        "unreadable": counts.unreadable,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(sum(m.cpu_seconds for m in manifests), 3),
    }


def run_totals(recipe: str, status: str, final: str, seconds: float, steps: list[dict[str, Any]]) -> dict[str, Any]:
    """The object of `run.json`."""
    return {
        "recipe": recipe,
        "status": status,
        "final": final,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(sum(s["cpu_seconds"] for s in steps), 3),
        "steps": steps,
    }


def shards_after(folder: Folder, upstream: str, manifests: dict[str, Manifest]) -> list[Shard]:
    """One shard for each committed shard of an earlier step, of the same name; none for a replay without rows."""
    shards = []
    for name, manifest in sorted(manifests.items()):
        if "replays" in manifest.source and not manifest.counts.out:
            continue
        data = next(file for file in manifest.files if file.path.startswith("data/"))
        filesystem, path = locate(f"{folder.url}/{upstream}/{data.path}")
        uri = address(filesystem, path)
        shards.append(Shard(name, Piece(uri), InputFile(uri, data.bytes, "")))
    return shards


def _run_step(plan: Plan, planned: PlannedStep, target: Target, runner: Runner, options: Options) -> None:
    after, folder = planned.step.after, Folder(target.url.rpartition("/")[0])
    upstream = read_manifests(folder.below(after)) if after else {}
    rows = sum(manifest.counts.out for manifest in upstream.values())
    shards = shards_after(folder, after, upstream) if after else list(plan.shards)
    if asks(planned.step.stages):
        ledger = options.ledger or f"{folder.url}/{LEDGER}"
        planned = replace(planned, ledger=address(*locate(ledger)))
    if planned.step.shuffle is not None and judged_other_rows(target.folder, shards):
        discard(target.folder)
    target.folder.put("step.json", _describe(plan, planned, options))
    folder.sweep("")
    for part in ("", "data", "removed", "dead", "manifests", "shuffle"):
        target.folder.sweep(part)
    for part in target.folder.below("shuffle").folders():
        target.folder.sweep(f"shuffle/{part}")
    done = read_manifests(target.folder)
    if isinstance(planned.step.shuffle, Moving):
        shards = moved_shards(planned, target, runner, shards, options.memory)
    todo = [shard for shard in shards if shard.name not in done]
    if todo and isinstance(planned.step.shuffle, Shuffle):
        run_barrier(planned, target, runner, shards, rows, options.memory)
    progress = Progress(
        planned.name,
        folder,
        total=len(done) + len(todo),
        done=done,
        total_bytes=sum(shard.bytes for shard in todo),
        max_dead=options.max_dead,
        quiet=options.quiet,
    )
    with progress:
        if (giant := alarm(planned, target.folder)) is not None:
            progress.note(giant)
        _fold(planned, own=options.ledger is None)  # what an earlier run left
        if todo:
            runner.run_shards(planned, target, todo, progress)
            _fold(planned, own=options.ledger is None)  # what workers left that died in this one
        progress.judge_end()
    if after and progress.counts.rows_in != rows:
        raise AccountError(
            f"step {planned.name} read {progress.counts.rows_in} rows of step {after}, which kept {rows}"
        )
    if isinstance(planned.step.shuffle, Moving):
        target.folder.below("shuffle/arranged").clear()
    tidy(target.folder)


def _fold(planned: PlannedStep, own: bool) -> None:
    """What killed workers left of answers in pieces becomes one object. `own`: no other run writes to this ledger."""
    if planned.ledger is None:
        return
    store = Store(planned.ledger, planned.name)
    store.fold()
    for part in ("", PIECES) if own else ():
        store.folder.sweep(part)


def _describe(plan: Plan, planned: PlannedStep, options: Options) -> bytes:
    """step.json: what a step is, in full, so that it can be compared, explained and opened again."""
    inputs = [] if planned.step.after else [{"uri": f.uri, "size": f.size, "etag": f.etag} for f in plan.inputs]
    what = {
        "version": 1,
        "recipe": plan.recipe.name,
        "step": planned.name,
        "upstream": planned.step.after,
        "fingerprint": planned.fingerprint,
        "identity": planned.identity,
        "stages": [name_of(stage) for stage in planned.step.stages],
        "execution": dict(zip(numbered(planned.step.stages), map(execution_of, planned.step.stages), strict=True)),
        "ledger": planned.ledger,
        "schema": {field.name: str(field.type) for field in planned.schema},
        "versions": {"headrace": VERSION, "python": platform.python_version()},
        "inputs": inputs,
        "removed_text": options.removed_text,
    }
    return json.dumps(what, indent=1).encode()


def _step_json(folder: Folder, name: str) -> dict[str, Any] | None:
    try:
        found = json.loads(folder.get(f"{name}/step.json"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ConfigError(f"{folder.url}/{name}/step.json: not JSON: {error}") from error
    ours = isinstance(found, dict) and {"recipe", "fingerprint", "identity", "inputs"} <= found.keys()
    return found if ours else None


def _differences(plan: Plan, there: dict[str, dict[str, Any] | None]) -> list[str]:
    """What differs between the plan and the steps that the output already has, one line each."""
    faults = []
    steps = {planned.name: planned for planned in plan.steps}
    for name, found in there.items():
        if found is None:
            continue
        if name not in steps or found["recipe"] != plan.recipe.name:
            faults.append(f"  step {name} of recipe {found['recipe']}")
        elif found["fingerprint"] != steps[name].fingerprint:
            lines = _step_differences(plan, steps[name], found)
            upstream = steps[name].step.after
            before = there.get(upstream) if upstream else None
            explained = before is not None and before["fingerprint"] != steps[str(upstream)].fingerprint
            if not lines and not explained:
                lines = [f"  step {name} was made from another {upstream or 'input'}"]
            faults += lines
    return faults


def _step_differences(plan: Plan, planned: PlannedStep, found: dict[str, Any]) -> list[str]:
    """What differs within a step; nothing when only what it was made from does."""
    lines = []
    was, now = found["identity"], planned.identity
    if was["layout"] != now["layout"]:
        lines.append(f"  step {planned.name}: layout version was {was['layout']}, is {now['layout']}")
    before, after = _parts(was), _parts(now)
    for path in [*before, *(p for p in after if p not in before)]:
        short = path.rpartition(".")[2]
        if path not in after or path not in before:
            lines.append(f"  step {planned.name}: {short} was {'removed' if path in before else 'added'}")
            continue
        if before[path]["version"] != after[path]["version"]:
            lines.append(f"  {short}: version was {before[path]['version']}, is {after[path]['version']}")
        old, new = before[path]["settings"], after[path]["settings"]
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                lines.append(f"  {short}.{name} was {old.get(name)!r}, is {new.get(name)!r}")
    if not planned.step.after:
        old_files = {f["uri"]: (f["size"], f["etag"]) for f in found["inputs"]}
        new_files = {f.uri: (f.size, f.etag) for f in plan.inputs}
        for uri in sorted({*old_files, *new_files}):
            if uri not in new_files or uri not in old_files:
                lines.append(f"  input {uri} was {'removed' if uri in old_files else 'added'}")
            elif old_files[uri] != new_files[uri]:
                lines.append(f"  input {uri} has changed: {old_files[uri]} then, {new_files[uri]} now")
    if was.get("known") != now.get("known") and planned.step.shuffle is not None:
        lines.append(f"  {name_of(planned.step.shuffle)}.index: its files have changed")
    if not lines and [s["stage"] for s in was["stages"]] != [s["stage"] for s in now["stages"]]:
        lines.append(f"  step {planned.name}: its stages stand in another order")
    return lines


def _parts(identity: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Source, shuffle and stages by class path; the second of a kind as `path (2)`."""
    parts: dict[str, dict[str, Any]] = {}
    for part in filter(None, [identity["source"], identity["shuffle"], *identity["stages"]]):
        number = 1 + sum(other["stage"] == part["stage"] for other in parts.values())
        parts[part["stage"] if number == 1 else f"{part['stage']} ({number})"] = part
    return parts
