"""kill -9 of the driver, and of a worker that holds a model, while prompts are asked: no answer is paid for twice.

The server counts. What was in flight when something was killed may be asked again: those that the server had, and those
that had come back and were not on storage. All else is in the ledger. One kill of each kind by default;
HEADRACE_KILLS=20 for as many as one likes, HEADRACE_SEED to repeat them.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from cluster.ledger import UNWRITTEN
from tests.faults.test_kill_driver import ROOT, SEED
from tests.faults.test_kill_worker import workers_of
from tests.runs import dataset, write
from tests.stages.models.misbehaving import Script, Server

KILLS = int(os.environ.get("HEADRACE_KILLS", "1"))
PROMPTS, FILES = 800, 8
LATENCY = {"local": 0.1, "ray": 0.25}  # Ray has two workers; answers are to be old before the run has ended
CONCURRENCY, TABLES = 8, 2
WRITTEN_S = 3.0  # an answer this old is on storage, on the slowest machine
# A client's window is twice its requests at a time for each table; then come the answers that wait to be written.
IN_FLIGHT = 2 * CONCURRENCY * TABLES + UNWRITTEN
ENVIRONMENT = {
    **os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT),
    "RAY_OVERRIDE_RESOURCES": '{"CPU": 4, "GPU": 1}',  # workers of a pipeline, on a machine without a GPU
}  # fmt: skip


def recipe(folder: Path, server: Server, gpus: float) -> Path:
    engine = server.engine(concurrency=CONCURRENCY, tables=TABLES, gpus=gpus, memory_gb=0.5)
    stages: list[Any] = ["tests.fakes.Upper", {"stage": "tests.fakes.Asks", "engine": engine}, "tests.fakes.Upper"]
    step = {"name": "only", "source": {"stage": "tests.fakes.ReadLines", "table_rows": 25}, "stages": stages}
    folder.mkdir(exist_ok=True)
    (folder / "ask.yaml").write_text(yaml.safe_dump({"name": "ask", "steps": [step]}))
    return folder / "ask.yaml"


def start(recipe: Path, source: Path, output: Path, runner: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipelines", "run", str(recipe), "--input", str(source), "--output", str(output)]
    log = (output.parent / "log").open("a")
    with log:
        return subprocess.Popen(
            [*command, "--runner", runner, *(["--workers", "2"] if runner == "ray" else [])],
            cwd=ROOT, env=ENVIRONMENT, stdout=log, stderr=log, text=True,
        )  # fmt: skip


def finish(process: subprocess.Popen[str], output: Path) -> None:
    assert process.wait() == 0, (output.parent / "log").read_text()


def paid(server: Server) -> dict[str, int]:
    return {prompt: count.answered for prompt, count in server.counts().items()}


class Watch:
    """What was answered when, so that at a kill it is known which answers are old."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._seen: deque[tuple[float, dict[str, int]]] = deque()

    def until(self, process: subprocess.Popen[str], answers: int) -> bool:
        """Wait for so many answers in all; False if the process ended before."""
        while sum((now := paid(self._server)).values()) < answers:
            self._seen.append((time.monotonic(), now))
            try:
                process.wait(timeout=0.05)
                return False
            except subprocess.TimeoutExpired:
                continue
        return True

    def old(self) -> dict[str, int]:
        """How often each prompt was answered up to `WRITTEN_S` ago."""
        limit = time.monotonic() - WRITTEN_S
        return next((counts for at, counts in reversed(self._seen) if at < limit), {})


def at_rest(server: Server) -> None:
    """Wait until the server has played out what a killed client had asked."""
    while server._now:
        time.sleep(0.01)  # no event tells of it


def facts(output: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows without what an answer cost this time."""
    passing = ("from_ledger", "seconds", "cost")
    found = dataset(output)
    for row in (row for rows in found.values() for row in rows):
        row["answers"] = [{k: v for k, v in entry.items() if k not in passing} for entry in row["answers"]]
    return found


def undisturbed(folder: Path, source: Path) -> dict[str, list[dict[str, Any]]]:
    with Server() as server:
        finish(start(recipe(folder, server, 0.0), source, folder / "out", "local"), folder / "out")
        assert set(paid(server).values()) == {1}
    return facts(folder / "out")


def prompts(folder: Path) -> Path:
    each = PROMPTS // FILES
    return Path(write(folder, {f"{f}.txt": "".join(f"prompt {f} {i}\n" for i in range(each)) for f in range(FILES)}))


CASES = [
    ("local", 0.0, ("driver",)),
    pytest.param("ray", 0.5, ("worker", "driver"), marks=pytest.mark.ray),
    pytest.param(
        "ray", 0.0, ("worker", "driver"),
        marks=[pytest.mark.ray, pytest.mark.skipif(KILLS == 1, reason="HEADRACE_KILLS asks for more than CI's kills")],
    ),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(240 + 120 * KILLS)
@pytest.mark.parametrize(("runner", "gpus", "victims"), CASES)
def test_no_answer_is_paid_for_twice(tmp_path: Path, runner: str, gpus: float, victims: tuple[str, ...]) -> None:
    source = prompts(tmp_path / "in")
    expected = undisturbed(tmp_path / "whole", source)
    dice, output = random.Random(SEED), tmp_path / "killed" / "out"
    kept: list[dict[str, int]] = []  # at each kill: answers that must have been on storage, and how often each was paid
    with Server(Script(latency=LATENCY[runner])) as server:
        file, watch = recipe(tmp_path / "killed", server, gpus), Watch(server)
        process = start(file, source, output, runner)
        for victim in victims * KILLS:
            part = dice.uniform(0.5, 0.8) * PROMPTS / len(victims) / KILLS
            if not watch.until(process, sum(paid(server).values()) + round(part)):
                break
            driver, old = psutil.Process(process.pid), watch.old()
            workers = workers_of(driver)
            if victim == "driver":
                process.send_signal(signal.SIGKILL)
                process.wait()
                psutil.wait_procs(workers)  # Ray's workers notice a moment later that their driver is gone
                at_rest(server)
            else:
                asking = [worker for worker in workers if not gpus or is_asking(worker)]
                dice.choice(asking).kill()
            kept.append({prompt: n for prompt, n in paid(server).items() if prompt in old})
            if victim == "driver":
                process = start(file, source, output, runner)
        finish(process, output)
        final = paid(server)
    again = sum(final.values()) - PROMPTS
    sys.stdout.write(f"{runner}: {len(kept)} kills, {again} of {PROMPTS} prompts paid again\n")
    assert sum(map(len, kept)) > 0, "no kill met a run in its middle"
    for answers in kept:
        assert {prompt: final[prompt] for prompt in answers} == answers, "an answer on storage was paid for again"
    assert 0 <= again <= len(kept) * IN_FLIGHT * (1 if runner == "local" else 2)  # workers
    assert facts(output) == expected
    assert list((output / "ledger/pieces").glob("*")) == []


def is_asking(worker: psutil.Process) -> bool:
    try:
        return "transform" in " ".join(worker.cmdline())
    except psutil.NoSuchProcess:
        return False
