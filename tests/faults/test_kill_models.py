"""kill -9 of the driver, and of a worker that holds a model, while prompts are asked: no answer is paid for twice.

The server counts. What was in flight when something was killed may be asked again (in_flight.py says what that is); all
else is in the ledger. One kill of each kind by default; HEADRACE_FAULTS=1 for more prompts, and more kinds of workers,
HEADRACE_KILLS=20 for as many kills as one likes, HEADRACE_SEED to repeat them.
"""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from cluster.answers.journal import Journal
from tests.faults.in_flight import Kill, check_paid, kill_driver, kill_worker
from tests.faults.test_kill_driver import ROOT, SEED
from tests.faults.test_kill_worker import workers_of
from tests.runs import dataset, write
from tests.stages.models.misbehaving import Script, Server

LONG = "HEADRACE_FAULTS" in os.environ
KILLS = int(os.environ.get("HEADRACE_KILLS", "1"))
PROMPTS, FILES = 800 * KILLS if LONG else 400, 8
LATENCY = {"local": 0.05, "ray": 0.15}  # Ray has two workers
CONCURRENCY, TABLES = 8, 2
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


def until(server: Server, process: subprocess.Popen[str], answers: int) -> bool:
    """Wait for so many answers in all; False if the process ended before."""
    while sum(paid(server).values()) < answers:
        try:
            process.wait(timeout=0.02)
            return False
        except subprocess.TimeoutExpired:
            continue
    return True


def nothing_left(output: Path) -> bool:
    """Neither pieces nor journals of the ledger."""
    journal = Journal(f"file://{output}/ledger")
    return not journal._folder.exists() and not list((output / "ledger/pieces").glob("*"))


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
        marks=[pytest.mark.ray, pytest.mark.skipif(not LONG, reason="half a minute: make faults")],
    ),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(240 + 120 * KILLS)
@pytest.mark.parametrize(("runner", "gpus", "victims"), CASES)
def test_no_answer_is_paid_for_twice(tmp_path: Path, runner: str, gpus: float, victims: tuple[str, ...]) -> None:
    source = prompts(tmp_path / "in")
    expected = undisturbed(tmp_path / "whole", source)
    dice, output = random.Random(SEED), tmp_path / "killed" / "out"
    kills: list[Kill] = []
    with Server(Script(latency=LATENCY[runner])) as server:
        file = recipe(tmp_path / "killed", server, gpus)
        process = start(file, source, output, runner)
        for victim in victims * KILLS:
            part = dice.uniform(0.5, 0.8) * PROMPTS / len(victims) / KILLS
            if not until(server, process, sum(paid(server).values()) + round(part)):
                break
            if victim == "driver":
                kills.append(kill_driver(server, process, asking(process, gpus)))
                process = start(file, source, output, runner)
            elif workers := one_of_asking(process, gpus):
                kills.append(kill_worker(server, dice.choice(workers)))
        finish(process, output)
        again = check_paid(server, kills, PROMPTS, CONCURRENCY)
        in_flight = [len(kill.in_flight(server)) for kill in kills]
    sys.stdout.write(f"{runner}: in flight at the kills {in_flight}, {again} of {PROMPTS} prompts paid again\n")
    assert sum(in_flight) > 0, "no kill met a run in its middle"
    assert facts(output) == expected
    assert nothing_left(output)


def asking(process: subprocess.Popen[str], gpus: float) -> list[psutil.Process]:
    """The run's workers that hold a model and are at a table."""
    try:
        return [w for w in workers_of(psutil.Process(process.pid)) if not gpus or is_asking(w)]
    except psutil.NoSuchProcess:
        return []


def one_of_asking(process: subprocess.Popen[str], gpus: float) -> list[psutil.Process]:
    """The same, once there is one: between two tables there may be none. None if the run has ended."""
    while not (found := asking(process, gpus)):
        try:
            process.wait(timeout=0.02)
            return []
        except subprocess.TimeoutExpired:
            continue
    return found


def is_asking(worker: psutil.Process) -> bool:
    try:
        return "transform" in " ".join(worker.cmdline())
    except psutil.NoSuchProcess:
        return False
