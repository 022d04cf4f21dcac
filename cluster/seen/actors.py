"""The index of a step on Ray: one actor a part of it, asked by workers directly."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayError

from cluster.commit import Target
from cluster.errors import RunError
from cluster.plan import PlannedStep
from cluster.seen.recall import load_part
from cluster.seen.remember import Call, Remembering, remembering


class IndexPart:
    """One part of the index. Calls are carried out one after the other: each is whole or has not begun."""

    def __init__(self, stage: Remembering, number: int, target: Target) -> None:
        self._part = load_part(stage, number, target)

    def ready(self) -> bool:
        """The index has what was committed before."""
        return True

    def call(self, name: str, values: tuple[Any, ...]) -> Any:
        """The result of one of the part's methods."""
        return getattr(self._part, name)(*values)


class AskActors:
    """What workers get of the index: handles of its actors."""

    def __init__(self, step: str, actors: list[Any]) -> None:
        self._step, self._actors = step, actors

    def __call__(self, calls: list[Call]) -> list[Any]:
        """All calls at once. A lost actor ends the run: what it held was in no other place."""
        try:
            results: list[Any] = ray.get([self._actors[part].call.remote(name, values) for part, name, values in calls])
        except RayError as error:
            raise RunError(
                f"step {self._step}: a part of its index is lost: {error}\n"
                "run it again: the index is made again from the shards that are done"
            ) from error
        return results


@contextmanager
def with_index(planned: PlannedStep, target: Target) -> Iterator[PlannedStep]:
    """`planned` with the index that one of its stages needs, for as long as the block lasts; most need none."""
    stage = remembering(planned.step.stages)
    if stage is None:
        yield planned
        return
    # No CPU of their own: they wait most of the time, and a small machine must have room for a worker beside them.
    part = ray.remote(IndexPart).options(num_cpus=0, max_restarts=0, scheduling_strategy="SPREAD")
    actors = [part.remote(stage, number, target) for number in range(stage.shards)]
    try:
        try:
            ray.get([actor.ready.remote() for actor in actors])
        except RayError as error:
            raise RunError(f"step {planned.name}: its index cannot be made: {error}") from error
        yield replace(planned, ask=AskActors(planned.name, actors))
    finally:
        for actor in actors:
            ray.kill(actor)
