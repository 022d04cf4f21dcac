"""A run and its steps from their beginning to their end, told to those who watch, however they end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.errors import first_line
from cluster.ledger import Asking
from cluster.plan import PlannedStep
from cluster.signals.events import Hear, RunBegan, RunEnded, StepBegan, StepEnded
from cluster.signals.log import Log
from stages.stage import name_of


@contextmanager
def watched_run(log: Log, hear: Hear, output: str, max_dead: float) -> Iterator[None]:
    """The run that `log` names."""
    begun = time.monotonic()
    hear(RunBegan(log.recipe, log.run, max_dead, time.time()))
    log.detail(f"run of {log.recipe} began", event="run_began", output=output)
    try:
        yield
    except BaseException as error:
        hear(RunEnded("failed", first_line(error)))
        what = f"run of {log.recipe} failed: {first_line(error)}"
        log.detail(what, event="run_ended", level="error", status="failed", seconds=_since(begun))
        raise
    hear(RunEnded("done"))
    log.detail(f"run of {log.recipe} is done", event="run_ended", status="done", seconds=_since(begun))


@contextmanager
def watched_step(log: Log, hear: Hear, planned: PlannedStep) -> Iterator[None]:
    """A step, what goes before its first shard included."""
    stages = planned.step.stages
    asking = tuple(name_of(stage) for stage in stages if isinstance(stage, Asking))
    begun = time.monotonic()
    hear(StepBegan(planned.name, tuple(map(name_of, stages)), asking))
    log.detail(f"step {planned.name} began", event="step_began", step=planned.name)
    try:
        yield
    except BaseException as error:
        hear(StepEnded(planned.name, first_line(error)))
        what = f"step {planned.name} failed: {first_line(error)}"
        log.detail(what, event="step_ended", level="error", step=planned.name, seconds=_since(begun))
        raise
    hear(StepEnded(planned.name))
    log.detail(f"step {planned.name} is done", event="step_ended", step=planned.name, seconds=_since(begun))


def _since(begun: float) -> float:
    return round(time.monotonic() - begun, 3)
