"""The steps of a recipe in order: what is done already, what is left, the totals, and how it ends.

Resume is not a mode. Every run lists the manifests of its output and does what has none (resume.py: whether it may).
One run at a time writes to an output (lease.py).
"""

import contextlib
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

from cluster import VERSION
from cluster.account import Account, Done
from cluster.answers.store import PIECES, Store
from cluster.barrier import Moving, Shuffle
from cluster.commit import Target, discard, tidy
from cluster.errors import AccountError, HeadraceError
from cluster.exchange.moving import moved_shards
from cluster.exchange.phases import DEFAULT_MEMORY, alarm, judged_other_rows, run_barrier
from cluster.exchange.shuffle import Carrier, Task, Watch
from cluster.layout import VERSION as LAYOUT
from cluster.lease import guarded, held
from cluster.ledger import FOLDER as LEDGER
from cluster.ledger import asks
from cluster.objects.patience import first_look, telling
from cluster.plan import Plan, PlannedStep
from cluster.recipe import numbered
from cluster.resume import OURS, inspect, made_from
from cluster.shards import InputFile, Shard
from cluster.signals.events import Hear, everyone, ignore
from cluster.signals.log import TEXT, Log
from cluster.signals.progress import Progress
from cluster.signals.watch import watched_run, watched_step
from cluster.storage import Folder, address, locate
from stages.stage import Piece, execution_of, name_of


class Runner(Protocol):
    """Carries tasks and shards out: in this process, or on Ray."""

    workers: int
    startup_seconds: float  # until the first worker could work
    shutdown_seconds: float  # to let the workers go

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def run_tasks(self, planned: PlannedStep, target: Target, tasks: list[Task], watch: Watch) -> None: ...

    def run_shards(self, planned: PlannedStep, target: Target, shards: list[Shard], progress: Progress) -> None: ...


@dataclass(frozen=True)
class Options:
    """How a run is carried out. None of it changes a row that is kept."""

    fresh: bool = False
    redo: tuple[str, ...] = ()  # steps to do again, with those behind them
    max_dead: float = 0.001
    removed_text: bool = True
    memory: int = DEFAULT_MEMORY  # bytes that a task of a barrier may take
    quiet: bool = False
    ledger: str | None = None  # where paid answers are kept, for several runs; OUTPUT/ledger unless it is given
    log: Log = TEXT
    hear: Hear = ignore  # is told what happens: metrics, traces
    # Says more of the totals of a run that is done, in run.json too, while the output is still this run's.
    complete: Callable[[Folder, dict[str, Any]], dict[str, Any]] = lambda folder, totals: totals


def run(plan: Plan, output: str, runner: Runner, options: Options) -> dict[str, Any]:
    """Bring `output` to what `plan` says; return the run's totals, which are also in `run.json`.

    Raises `ConfigError` before anything is started, `RunError` when the run fails; `run.json` then says `failed`, as do
    the `totals` of the error, which are there even where nothing can be written any more.
    """
    with first_look(output):
        folder = inspect(plan, output, options.fresh, options.redo).folder
    folder.check_writable()
    if options.ledger is not None:
        Folder(options.ledger).check_writable()
    with telling(folder.url), held(folder, options.log.tell) as holder:
        log = replace(options.log, run=holder, recipe=plan.recipe.name)
        found = inspect(plan, output, options.fresh, options.redo)  # another run may have been there meanwhile
        folder = guarded(folder.url, folder.url, holder)
        whole = _is_whole(folder) and not found.discarded
        for name in found.discarded:
            discard(folder.below(name))
        folder.delete(*(OURS if options.fresh else ["run.json"]))  # until this run has ended, there are no totals of it
        with watched_run(log, options.hear, folder.url, options.max_dead):
            return _run_steps(plan, folder, holder, runner, replace(options, log=log), whole)


def _run_steps(
    plan: Plan, folder: Folder, holder: str, runner: Runner, options: Options, whole: bool
) -> dict[str, Any]:
    begun = time.monotonic()
    totals: dict[str, dict[str, Any]] = {}
    accounts: dict[str, Account] = {}

    def result(status: str) -> dict[str, Any]:
        took = time.monotonic() - begun
        return run_totals(plan.recipe.name, status, plan.recipe.final, took, list(totals.values()))

    try:
        with runner:
            for planned in plan.steps:
                step_begun = time.monotonic()
                target = Target(f"{folder.url}/{planned.name}", options.removed_text, holder)
                accounts[planned.name] = Account(target.folder, planned.fingerprint)
                try:
                    with watched_step(options.log, options.hear, planned):
                        logged = replace(planned, log=options.log)
                        _run_step(plan, logged, target, folder, runner, options, accounts, whole)
                finally:
                    totals[planned.name] = step_totals(
                        target, planned.name, time.monotonic() - step_begun, accounts[planned.name]
                    )
        done = result("done")
        _put_totals(folder, done)
        return options.complete(folder, done)
    except BaseException as error:
        failed = result("failed")
        if isinstance(error, HeadraceError):
            error.totals = failed
        with contextlib.suppress(Exception):  # the first error is the one to tell
            _put_totals(folder, failed)
        raise


def _put_totals(folder: Folder, totals: dict[str, Any]) -> None:
    folder.put("run.json", json.dumps(totals, indent=1).encode())


def _is_whole(folder: Folder) -> bool:
    """True if the last run over it, and each replay since, has come to its end: nothing lies there that should not."""
    try:
        return bool(json.loads(folder.get("run.json"))["status"] == "done")
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False


def step_totals(target: Target, name: str, seconds: float, account: Account | None = None) -> dict[str, Any]:
    """The account of a step from its manifests. `seconds` is this run's wall time, `cpu_seconds` all that was spent."""
    account = account or Account(target.folder)
    account.refresh()
    counts, order = account.counts, account.stages

    def place(item: tuple[str, int]) -> tuple[int, int, str]:
        """Reasons in the order in which a row meets the stages, the source first, then by size."""
        stage = item[0].partition(".")[0]
        return (order.index(stage) if stage in order else -1, -item[1], item[0])

    return {
        "name": name,
        "shards": len(account.shards),
        "rows_in": counts.rows_in,
        "emitted": counts.emitted,
        "out": counts.out,
        "dropped": dict(sorted(counts.dropped.items(), key=place)),
        "dead": counts.dead,
        "unreadable": counts.unreadable,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(account.cpu_seconds, 3),
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


def shards_after(folder: Folder, upstream: str, committed: dict[str, Done]) -> list[Shard]:
    """One shard for each committed shard of an earlier step, of the same name; none for a replay without rows."""
    shards = []
    for name, done in sorted(committed.items()):
        if done.replay and not done.out:
            continue
        filesystem, path = locate(f"{folder.url}/{upstream}/{done.path}")
        uri = address(filesystem, path)
        shards.append(Shard(name, Piece(uri), InputFile(uri, done.bytes, "")))
    return shards


def _run_step(
    plan: Plan,
    planned: PlannedStep,
    target: Target,
    folder: Folder,
    runner: Runner,
    options: Options,
    accounts: dict[str, Account],
    whole: bool,
) -> None:
    after = planned.step.after
    account = accounts[planned.name]
    upstream = accounts[after].shards if after else {}
    rows = sum(done.out for done in upstream.values())
    shards = shards_after(folder, after, upstream) if after else list(plan.shards)
    if asks(planned.step.stages):
        ledger = options.ledger or f"{folder.url}/{LEDGER}"
        planned = replace(planned, ledger=address(*locate(ledger)))
    if planned.step.shuffle is not None and judged_other_rows(target.folder, shards):
        for name in made_from(plan, folder, planned.name):  # those behind have the row that stayed of a cluster then
            discard(folder.below(name))
    target.folder.put("step.json", _describe(plan, planned, options))
    _sweep(folder, target)
    account.refresh(pack=True)
    done = account.shards
    with Progress(
        planned.name,
        folder,
        max_dead=options.max_dead,
        done=len(done),
        counts=account.counts,
        quiet=options.quiet,
        log=options.log,
        hear=everyone(options.hear, account.hear),
    ) as progress:
        carrier = Carrier(planned, target, runner, progress)
        if isinstance(planned.step.shuffle, Moving):
            shards = moved_shards(carrier, shards, options.memory)
        todo = [shard for shard in shards if shard.name not in done]
        if todo and isinstance(planned.step.shuffle, Shuffle):
            run_barrier(carrier, shards, rows, options.memory)
        progress.begin(len(done) + len(todo), sum(shard.bytes for shard in todo))
        if (giant := alarm(planned, target.folder)) is not None:
            progress.note(giant)
        _fold(planned, own=options.ledger is None)  # what an earlier run left
        if todo:
            account.current = False
            runner.run_shards(planned, target, todo, progress)
            _fold(planned, own=options.ledger is None)  # what workers left that died in this one
        progress.judge_end()
    if after and progress.counts.rows_in != rows:
        raise AccountError(
            f"step {planned.name} read {progress.counts.rows_in} rows of step {after}, which kept {rows}"
        )
    if isinstance(planned.step.shuffle, Moving):
        target.folder.below("shuffle/arranged").clear()
    if todo or not whole:
        tidy(target.folder, [*done, *(shard.name for shard in todo)])


def _sweep(folder: Folder, target: Target) -> None:
    """Take away what killed writers have left of files."""
    folder.sweep("")
    for part in ("", "data", "removed", "dead", "manifests", "shuffle"):
        target.folder.sweep(part)
    for part in target.folder.below("shuffle").folders():
        target.folder.sweep(f"shuffle/{part}")


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
    files = {"inputs": () if planned.step.after else plan.inputs, "index": planned.known}
    what = {
        "version": LAYOUT,
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
        "removed_text": options.removed_text,
    }
    text = json.dumps(what, indent=1).removesuffix("\n}")
    for name, listed in files.items():  # a line each: 90,000 of them indented would take a second
        lines = [f"  {json.dumps({'uri': f.uri, 'size': f.size, 'etag': f.etag})}" for f in listed]
        text += f',\n "{name}": [\n' + ",\n".join(lines) + "\n ]"
    return f"{text}\n}}\n".encode()
