"""The reference runner: a for-loop in this process. What it makes is right by definition; Ray must make the same."""

import time
from dataclasses import replace
from typing import Self

from cluster.careful import Careful
from cluster.commit import Target
from cluster.errors import HeadraceError, RunError, ShardError, is_transient
from cluster.exchange.shuffle import Task, Watch, run_task
from cluster.plan import PlannedStep
from cluster.seen.recall import here
from cluster.shards import Shard
from cluster.signals.progress import Progress
from cluster.work import Opened, TableDone, run_shard
from schemas.manifest import Manifest

MAX_ATTEMPTS = 3  # per shard, for transient errors
WAIT_S = 1.0  # before the second attempt; doubled before each further one


class LocalRunner:
    """Runs a step's shards one after the other."""

    workers = 1
    startup_seconds = shutdown_seconds = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def run_tasks(self, planned: PlannedStep, target: Target, tasks: list[Task], watch: Watch) -> None:
        """The tasks of one phase of a shuffle."""
        for task in tasks:
            self._run_task(planned, target, task)
            watch.task_done()

    def run_shards(self, planned: PlannedStep, target: Target, shards: list[Shard], progress: Progress) -> None:
        """Every shard to its commit. Raises what a shard raises, once trying again does not help."""
        try:
            planned = replace(planned, ask=here(planned.step.stages, target))
            opened = Opened(planned, planned.step.stages)
        except HeadraceError:
            raise
        except Exception as error:
            notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
            raise RunError(f"step {planned.name} cannot start: {type(error).__name__}: {error}{notes}") from error
        try:
            for shard in shards:
                self._run_shard(opened, target, shard, progress)
        finally:
            if opened.ledger is not None:
                opened.ledger.close()

    def _run_task(self, planned: PlannedStep, target: Target, task: Task) -> None:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                return run_task(planned, target, task)
            except HeadraceError:
                raise
            except Exception as error:
                if not is_transient(error) or attempt == MAX_ATTEMPTS:
                    raise RunError(f"step {planned.name}, {task.name}: {type(error).__name__}: {error}") from error
                time.sleep(WAIT_S * 2 ** (attempt - 1))
        return None

    def _run_shard(self, opened: Opened, target: Target, shard: Shard, progress: Progress) -> None:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            progress.started(shard)
            try:
                for report in run_shard(opened, target, shard, attempt, Careful()):
                    if isinstance(report, TableDone):
                        progress.table(shard, report)
                    elif isinstance(report, Manifest):
                        progress.committed(shard, report)
                return
            except HeadraceError:
                raise
            except Exception as error:
                if not is_transient(error) or attempt == MAX_ATTEMPTS:
                    message = f"step {opened.planned.name}, shard {shard.name} ({shard.piece.uri}): "
                    raise ShardError(f"{message}{type(error).__name__}: {error} (attempt {attempt})") from error
                progress.failed(shard, f"{type(error).__name__}: {error}")
                time.sleep(WAIT_S * 2 ** (attempt - 1))
