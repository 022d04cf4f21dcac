"""kill -9 of the driver while EntiGraph writes: as many texts as formula and budget say, and none is paid for twice.

50 documents of 40 entities and 5 of 6, on a server of which one answer in ten goes wrong. The budget is 2,000 calls;
HEADRACE_RELATIONS=45000 for one that goes beyond all pairs of the large documents, HEADRACE_ENTIGRAPH_KILLS for more
kills than three, HEADRACE_FAULTS=1 for Ray too. What was in flight at a kill may be asked again (in_flight.py); nothing
else.
"""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from math import comb
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from tests.faults.in_flight import Kill, check_paid, kill_driver
from tests.faults.test_kill_driver import ROOT, SEED
from tests.faults.test_kill_models import ENVIRONMENT, LONG, finish, nothing_left, paid, until
from tests.faults.test_kill_worker import workers_of
from tests.runs import dataset
from tests.stages.models.misbehaving import Script, Server

BUDGET = int(os.environ.get("HEADRACE_RELATIONS", "2000"))
KILLS = int(os.environ.get("HEADRACE_ENTIGRAPH_KILLS", "3"))
SIZES = {f"doc{number:02d}": 6 if number % 11 == 5 else 40 for number in range(55)}  # entities of each document
CONCURRENCY, TABLES, LATENCY = 16, 2, 0.1
PASSING = ("from_ledger", "seconds", "cost")  # what an answer cost this time


def answer(prompt: str) -> str:
    """As many names as the document is to have; sections that name what was asked for."""
    content, _, names = prompt.partition("\n\n### Entities:\n")
    if names:
        return "### Discussion\n" + names.replace("- ", "On ") + ". " + content.split()[3]
    word = content.split()[3]
    return json.dumps({"summary": f"Of {word}.", "entities": [f"{word} name {i}" for i in range(SIZES[word])]})


def documents(folder: Path) -> Path:
    """Two files, so that there are two shards."""
    folder.mkdir()
    names = list(SIZES)
    for part, some in enumerate((names[:30], names[30:])):
        texts = pa.array([f"{name} stands by the water. " * 3 for name in some], pa.large_string())
        pq.write_table(pa.table({"id": some, "text": texts}), folder / f"{part}.parquet")
    return folder


def words(source: Path, output: Path, server: Server) -> list[str]:
    engine = server.engine(concurrency=CONCURRENCY, tables=TABLES)
    sets = [f"--set={stage}.engine={engine}" for stage in ("ExtractEntities", "EntiGraph")]
    command = ["run", "entigraph", "--input", str(source), "--output", str(output), "--json"]
    return [*command, *sets, f"--set=ShareBudget.budget={BUDGET}"]


def start(source: Path, output: Path, server: Server, runner: str) -> subprocess.Popen[str]:
    output.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "pipelines", *words(source, output, server), "--runner", runner]
    command += ["--workers", "2"] if runner == "ray" else []
    with (output.parent / "log").open("a") as log:
        return subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=log, stderr=log, text=True)


def facts(output: Path) -> dict[str, list[dict[str, Any]]]:
    found = dataset(output)
    for row in (row for rows in found.values() for row in rows):
        row["answers"] = [{k: v for k, v in e.items() if k not in PASSING} for e in row["answers"] or ()]
    return found


def shares() -> dict[str, tuple[int, int]]:
    """The least and the most calls of each document: what is left of small ones is shared by the others."""
    wanted = {name: comb(n, 2) + comb(n, 3) for name, n in SIZES.items()}
    small = sum(n for n in wanted.values() if n * len(SIZES) < BUDGET)
    each, rest = divmod(BUDGET - small, sum(n * len(SIZES) >= BUDGET for n in wanted.values()))
    return {
        name: (n, n) if n * len(SIZES) < BUDGET else (each, each + bool(rest)) for name, n in wanted.items()
    }  # fmt: skip


RUNNERS = [
    "local",
    pytest.param(
        "ray", marks=[pytest.mark.ray, pytest.mark.skipif(not LONG, reason="a minute: make faults")]
    ),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(300 + BUDGET // 10)
@pytest.mark.parametrize("runner", RUNNERS)
def test_as_many_relations_as_formula_and_budget_say(tmp_path: Path, runner: str) -> None:
    source, output = documents(tmp_path / "in"), tmp_path / "killed" / "out"
    with Server(Script(answer=answer)) as server:
        assert main(words(source, tmp_path / "whole", server)) == 0
        assert set(paid(server).values()) == {1}
    dice, total = random.Random(SEED), len(SIZES) + BUDGET
    kills: list[Kill] = []
    with Server(Script(answer=answer, share=0.1, latency=LATENCY, seed=SEED)) as server:
        process = start(source, output, server, runner)
        for number in range(KILLS):
            goal = (number + dice.uniform(0.8, 1.0)) * total / (KILLS + 1)
            assert until(server, process, round(goal)), f"the run ended before kill {number + 1}"
            kills.append(kill_driver(server, process, workers_of(psutil.Process(process.pid))))
            process = start(source, output, server, runner)
        finish(process, output)
        again = check_paid(server, kills, total, CONCURRENCY)
        in_flight = [len(kill.in_flight(server)) for kill in kills]
        went_wrong = sum(count.asked - count.answered for count in server.counts().values())
    told = f"in flight at the kills {in_flight}, {went_wrong} faults, {again} of {total} answers paid again"
    sys.stdout.write(f"{runner}: {told}\n")
    assert went_wrong > total * 0.05
    assert any(in_flight), "no kill met a call in flight"  # one may come between two tables, when none is
    assert nothing_left(output)
    rows = [row for name, rows in facts(output).items() if name.startswith("entigraph/data") for row in rows]
    made = Counter((row["parents"][0], len(row["entities"])) for row in rows)
    for name, (least, most) in shares().items():
        pairs, triples = made[name, 2], made[name, 3]
        assert made[name, 0] == 1
        assert least <= pairs + triples <= most
        assert triples == 0 or pairs == comb(SIZES[name], 2)
    assert sum(n for (_, size), n in made.items() if size) == BUDGET
    assert len({tuple(sorted(row["entities"])) for row in rows if row["entities"]}) == BUDGET
    assert facts(output) == facts(tmp_path / "whole")
