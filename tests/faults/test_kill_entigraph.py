"""kill -9 of the driver while EntiGraph writes: as many texts as formula and budget say, and none is paid for twice.

50 documents of 40 entities and 5 of 6, on a server of which one answer in ten goes wrong. The budget is 2,000 calls;
HEADRACE_RELATIONS=45000 for one that goes beyond all pairs of the large documents, HEADRACE_ENTIGRAPH_KILLS for more
kills than three. What was in flight at a kill may be asked again (tests/faults/test_kill_models.py); nothing else.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from math import comb
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.ledger import UNWRITTEN
from pipelines.cli import main
from tests.faults.test_kill_driver import ROOT, SEED
from tests.faults.test_kill_models import ENVIRONMENT, WRITTEN_S, at_rest, finish, paid
from tests.runs import dataset
from tests.stages.models.misbehaving import Script, Server

BUDGET = int(os.environ.get("HEADRACE_RELATIONS", "2000"))
KILLS = int(os.environ.get("HEADRACE_ENTIGRAPH_KILLS", "3"))
SIZES = {f"doc{number:02d}": 6 if number % 11 == 5 else 40 for number in range(55)}  # entities of each document
CONCURRENCY, TABLES, LATENCY = 16, 2, 0.15
IN_FLIGHT = 2 * CONCURRENCY * TABLES + UNWRITTEN
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


def start(source: Path, output: Path, server: Server) -> subprocess.Popen[str]:
    output.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "pipelines", *words(source, output, server)]
    with (output.parent / "log").open("a") as log:
        return subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=log, stderr=log, text=True)


def facts(output: Path) -> dict[str, list[dict[str, Any]]]:
    found = dataset(output)
    for row in (row for rows in found.values() for row in rows):
        row["answers"] = [{k: v for k, v in e.items() if k not in PASSING} for e in row["answers"] or ()]
    return found


class Watch:
    """What was answered a while ago, so that at a kill it is known which answers are on storage."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._seen: deque[tuple[float, dict[str, int]]] = deque()  # twice a second, no more than is needed

    def until(self, process: subprocess.Popen[str], answers: int) -> bool:
        """Wait for so many answers in all; False if the process ended before."""
        while sum((now := paid(self._server)).values()) < answers:
            if not self._seen or time.monotonic() - self._seen[-1][0] > 0.5:
                self._seen.append((time.monotonic(), now))
            while len(self._seen) > 1 and self._seen[1][0] < time.monotonic() - WRITTEN_S:
                self._seen.popleft()
            try:
                process.wait(timeout=0.05)
                return False
            except subprocess.TimeoutExpired:
                continue
        return True

    def old(self) -> dict[str, int]:
        """How often each prompt was answered up to `WRITTEN_S` ago."""
        at, counts = self._seen[0] if self._seen else (0.0, {})
        return counts if at < time.monotonic() - WRITTEN_S else {}


def shares() -> dict[str, tuple[int, int]]:
    """The least and the most calls of each document: what is left of small ones is shared by the others."""
    wanted = {name: comb(n, 2) + comb(n, 3) for name, n in SIZES.items()}
    small = sum(n for n in wanted.values() if n * len(SIZES) < BUDGET)
    each, rest = divmod(BUDGET - small, sum(n * len(SIZES) >= BUDGET for n in wanted.values()))
    return {
        name: (n, n) if n * len(SIZES) < BUDGET else (each, each + bool(rest)) for name, n in wanted.items()
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(300 + BUDGET // 10)
def test_as_many_relations_as_formula_and_budget_say(tmp_path: Path) -> None:
    source, output = documents(tmp_path / "in"), tmp_path / "killed" / "out"
    with Server(Script(answer=answer)) as server:
        assert main(words(source, tmp_path / "whole", server)) == 0
        assert set(paid(server).values()) == {1}
    dice, total = random.Random(SEED), len(SIZES) + BUDGET
    kept: list[dict[str, int]] = []
    with Server(Script(answer=answer, share=0.1, latency=LATENCY, seed=SEED)) as server:
        watch, process = Watch(server), start(source, output, server)
        for number in range(KILLS):
            goal = (number + dice.uniform(0.8, 1.0)) * total / (KILLS + 1)
            assert watch.until(process, round(goal)), f"the run ended before kill {number + 1}"
            old = watch.old()
            process.send_signal(signal.SIGKILL)
            process.wait()
            at_rest(server)
            kept.append({prompt: n for prompt, n in paid(server).items() if prompt in old})
            process = start(source, output, server)
        finish(process, output)
        final, went_wrong = paid(server), sum(count.asked - count.answered for count in server.counts().values())
    again = sum(final.values()) - total
    sys.stdout.write(f"{KILLS} kills, {went_wrong} faults, {again} of {total} answers paid again\n")
    assert went_wrong > total * 0.05
    assert sum(map(len, kept)) > 0, "no kill met a run in its middle"
    for answers in kept:
        assert {prompt: final[prompt] for prompt in answers} == answers, "an answer on storage was paid for again"
    assert 0 <= again <= KILLS * IN_FLIGHT
    assert len(final) == total
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
