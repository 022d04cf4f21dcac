"""A worker with an engine, as an actor has it; Ray's processes import it from here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from stages.models.engine import Prompt, Request, Sampling
from stages.stage import WorkerBrokenError
from tests.stages.models.on_vllm.conftest import opened

LINES = [f"[{i}] Mrs. Hale sold the old mill for {i * 50} pounds" for i in range(24)]


def seeded(engine: Any) -> list[str]:
    requests = [Request(Prompt(text=line), Sampling(24, 1.0, 0.9, (), seed)) for seed, line in enumerate(LINES)]
    found = dict(engine.generate(requests))
    return [found[number].text for number in range(len(requests))]


def broken(answers: Iterator[Any]) -> str:
    try:
        return f"no error, {len(list(answers))} answers"
    except WorkerBrokenError as error:
        return str(error)


class Worker:
    """An engine in an actor, seven sequences at a time, without the cache of prefixes."""

    def __init__(self, folder: Path) -> None:
        self.engine = opened(folder, "&max_num_seqs=7&prefix_caching=false")

    def pids(self) -> list[int]:
        return [child.pid for child in psutil.Process().children(recursive=True)]

    def seeded(self) -> list[str]:
        return seeded(self.engine)

    def dead(self) -> tuple[str, str]:
        """What is said while its processes die and once they have."""
        core = [p for p in psutil.Process().children() if "EngineCore" in "".join(p.cmdline())]
        assert len(core) == 1
        answers = self.engine.generate([Request(Prompt(text=line), Sampling(max_tokens=400)) for line in LINES])
        next(answers)
        core[0].kill()
        return broken(answers), broken(self.engine.generate([Request(Prompt(text="x"))]))
