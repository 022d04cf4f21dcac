"""Random kill schedules: what is killed, when and how often is drawn from a printed seed; the output must not show it.

A schedule is played as a user would live through it: the command is started, something is killed with kill -9, and
where that ended the run the same command is started again, until one ends well. Then every row of data, removed and
dead, its place, and the totals of run.json are compared with a run that nobody disturbed.

    python -m tests.faults.schedules --recipe web --n 200 --seed 7 --log FILE
    python -m tests.faults.schedules --recipe web --n 1 --first 17 --seed 7        one of them again
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import psutil

from tests.faults.differences import Difference, State, committed, difference, state
from tests.faults.forks import ROOT, Forks
from tests.faults.subjects import SUBJECTS, Subject
from tests.faults.test_kill_models import is_asking
from tests.faults.test_kill_worker import workers_of

RAY_EVERY = 10  # one schedule in so many runs on Ray
ENDS = ("headrace: ", "GCS may have been killed")  # our own last word, or Ray's where it ends a driver that starts
LIMIT_S = 900.0  # a run that takes longer than this hangs
ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
    "RAY_OVERRIDE_RESOURCES": '{"CPU": 4, "GPU": 1}',
}  # fmt: skip
DAEMONS = {"raylet": "raylet/raylet", "gcs": "gcs/gcs_server"}  # what their command lines hold


class Process(Protocol):
    """A driver, forked or started."""

    pid: int

    def kill(self) -> None: ...

    def wait(self, timeout: float | None = None) -> int | None: ...


@dataclass(frozen=True)
class Kill:
    """`when`: a part of the time of an undisturbed run, or of its changes of the disk or its commits."""

    victim: str  # driver, worker, asking, raylet, gcs, server
    by: str  # moment, change, commit
    when: float


@dataclass(frozen=True)
class Schedule:
    number: int
    runner: str
    kills: tuple[Kill, ...]


@dataclass
class Played:
    """What became of a schedule."""

    schedule: Schedule
    met: Counter[str] = field(default_factory=Counter)  # kills that met something alive
    seconds: float = 0.0
    undisturbed: float = 0.0
    cpu: float = 0.0  # seconds, of forked drivers and what they started
    undisturbed_cpu: float = 0.0
    difference: Difference = field(default_factory=Difference)
    redone: int = 0  # shards that were committed and committed again
    faults: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        return not (self.difference or self.redone or self.faults)


def draw(subject: Subject, seed: int, number: int) -> Schedule:
    """The `number`-th schedule of `seed`."""
    dice = random.Random(f"{seed} {subject.name} {number}")
    runner = "ray" if number % RAY_EVERY == RAY_EVERY - 1 else "local"
    kills = []
    for _ in range(dice.choice((1, 2, 2, 3, 4)) if runner == "local" else dice.choice((1, 2))):
        victim = dice.choice(subject.victims[runner])
        by = "moment" if victim == "server" else dice.choice(("moment", "change" if runner == "local" else "commit"))
        kills.append(Kill(victim, by, round(dice.uniform(0.02, 0.98), 3)))
    return Schedule(number, runner, tuple(kills))


class Player:
    """Plays schedules of one subject, beside a run that nobody disturbed."""

    def __init__(self, subject: Subject, forks: Forks, folder: Path) -> None:
        self.subject, self.forks, self.folder = subject, forks, folder
        self.seconds: dict[str, list[float]] = {"local": [], "ray": []}
        self.cpu: list[float] = []
        self.changes = self.commits = 0
        self.expected: State | None = None

    def undisturbed(self, runner: str) -> None:
        """One more run that nobody disturbs: what it makes is what is expected, what it takes the measure."""
        output, log = self.folder / f"whole-{runner}", self.folder / "whole.log"
        shutil.rmtree(output, ignore_errors=True)
        begun, cpu = time.monotonic(), self.forks.cpu
        process = self._start(output, log, runner, 1 << 40)
        status = process.wait(LIMIT_S)
        assert status == 0, f"undisturbed run: status {status}\n{log.read_text()[-4000:]}"
        self.seconds[runner].append(time.monotonic() - begun)
        found = state(output)
        assert self.expected is None or not (other := difference(self.expected, found)), other
        self.expected = found
        self.commits = len(committed(output))
        if runner == "local":
            self.cpu.append(self.forks.cpu - cpu)
            self.changes = int(log.read_text().rpartition("changes: ")[2].split()[0])

    def play(self, schedule: Schedule) -> Played:
        assert self.expected is not None
        played = Played(schedule, undisturbed=statistics.median(self.seconds[schedule.runner][-3:]))
        output, log = self.folder / f"{schedule.number}", self.folder / f"{schedule.number}.log"
        shutil.rmtree(output, ignore_errors=True)
        begun, cpu = time.monotonic(), self.forks.cpu
        kills = iter(schedule.kills)
        self.subject.reset()
        try:
            while (status := self._run(output, log, played, kills)) != 0:
                if status is None:
                    played.faults.append(f"a run hangs: it had not ended after {LIMIT_S:g} s")
                if played.faults:
                    break
        finally:
            self.subject.reset()
        played.seconds = time.monotonic() - begun
        played.cpu, played.undisturbed_cpu = self.forks.cpu - cpu, statistics.median(self.cpu[-3:])
        if not played.faults:
            played.difference = difference(self.expected, state(output))
        if played.right:
            shutil.rmtree(output)
            log.unlink(missing_ok=True)
        return played

    def _run(self, output: Path, log: Path, played: Played, kills: Iterator[Kill]) -> int | None:
        """One start of the command, to its end: the status, -9 for a driver that was killed."""
        before = committed(output)
        # What is left to do is shorter: a kill is to meet it, too.
        rest = max(0.3, 1 - len(before) / max(self.commits, 1))
        runner, seconds = played.schedule.runner, played.undisturbed * rest
        kill = next(kills, None)
        change = max(1, round(kill.when * rest * self.changes)) if kill and kill.by == "change" else 0
        process = self._start(output, log, runner, change)
        begun, may_fail = time.monotonic(), False
        while kill is not None and not change:
            wait_for = self._when(kill, output, begun, seconds)
            while not wait_for():
                if process.wait(0.02) is not None:
                    break
            if process.wait(0.0) is not None or not self._strike(kill, process, begun):
                break
            played.met[kill.victim] += 1
            if kill.victim == "driver":
                break
            may_fail |= kill.victim in DAEMONS
            kill = next(kills, None)
            change = 0
        status = process.wait(LIMIT_S)
        if status is None:
            process.kill()
            process.wait(60.0)
        elif status == -9 and change:
            played.met["driver"] += 1
        elif status == 1 and may_fail and any(word in log.read_text() for word in ENDS):
            pass  # it says that its cluster is gone; the same command goes on
        elif status not in (0, -9):
            played.faults.append(f"status {status}: {log.read_text()[-1500:]}")
        after = committed(output)
        played.redone += sum(after.get(name, at) != at for name, at in before.items())
        return status

    def _when(self, kill: Kill, output: Path, begun: float, seconds: float) -> Callable[[], bool]:
        if kill.by == "moment":
            return lambda: time.monotonic() - begun >= kill.when * seconds
        return lambda: len(committed(output)) >= kill.when * self.commits

    def _strike(self, kill: Kill, process: Process, begun: float) -> bool:
        """Kill the victim, as soon as there is one; False if the run has ended before."""
        if kill.victim == "driver":
            process.kill()
            return True
        if kill.victim == "server":
            self.subject.vanish()
            process.wait(random.Random(kill.when).uniform(0.2, 2.0))
            self.subject.come_back()
            return True
        while process.wait(0.05) is None:
            if time.monotonic() - begun > LIMIT_S:
                return False
            found = victims(psutil.Process(process.pid), kill.victim)
            if found:
                random.Random(kill.when).choice(found).kill()
                return True
        return False

    def _start(self, output: Path, log: Path, runner: str, change: int) -> Process:
        argv = self.subject.command(output, runner)
        if runner == "local":
            return self.forks.start(argv, log, change, **ENVIRONMENT)
        with log.open("ab") as file:
            return _Started(subprocess.Popen(
                [sys.executable, "-m", "pipelines", *argv],
                cwd=ROOT, env={**os.environ, **ENVIRONMENT}, stdout=file, stderr=file,
            ))  # fmt: skip


class _Started:
    """A `Popen` that tells with None that it is not over."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process, self.pid = process, process.pid

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int | None:
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None


def victims(driver: psutil.Process, kind: str) -> list[psutil.Process]:
    """Processes of the driver's own cluster."""
    try:
        if kind == "worker":
            return workers_of(driver)
        if kind == "asking":
            return [worker for worker in workers_of(driver) if is_asking(worker)]
        return [p for p in driver.children(recursive=True) if DAEMONS[kind] in " ".join(p.cmdline()[:1])]
    except psutil.NoSuchProcess:
        return []


def told(played: Played, recipe: str, seed: int) -> dict[str, Any]:
    """A schedule and what became of it, for a log."""
    plain = asdict(replace(played, met=Counter()))
    return {"recipe": recipe, "seed": seed, **plain, "met": dict(played.met), "right": played.right}


def summary(all_played: list[dict[str, Any]]) -> dict[str, Any]:
    """One object for a benchmark's line, of lines of a log."""
    kills: Counter[str] = Counter()
    for played in all_played:
        kills.update(played["met"])
    differences = [played["difference"] for played in all_played]
    found: dict[str, Any] = {
        "schedules": len(all_played),
        "kills": dict(sorted(kills.items())),
        **{what: sum(d[what] for d in differences) for what in ("lost", "duplicated", "wrong")},
        "other_totals": sum(d["totals"] for d in differences),
        "half_written": sum(d["half"] for d in differences),
        "committed_twice": sum(played["redone"] for played in all_played),
        "failed": [played["schedule"]["number"] for played in all_played if played["faults"]],
    }
    for runner in ("local", "ray"):
        some = [p for p in all_played if p["schedule"]["runner"] == runner and not p["faults"] and p["met"]]
        lost = sorted((p["seconds"] - p["undisturbed"]) / sum(p["met"].values()) for p in some)
        if lost:
            found[runner] = {
                "schedules": len(some),
                "kills": sum(sum(p["met"].values()) for p in some),
                "undisturbed_seconds": round(statistics.median(p["undisturbed"] for p in some), 2),
                "seconds_lost_per_kill": round(statistics.median(lost), 2),
                "seconds_lost_per_kill_p90": round(lost[int(0.9 * (len(lost) - 1))], 2),
            }
            if runner == "local":
                cpu = sorted((p["cpu"] - p["undisturbed_cpu"]) / sum(p["met"].values()) for p in some)
                found[runner]["undisturbed_cpu_seconds"] = round(
                    statistics.median(p["undisturbed_cpu"] for p in some), 2
                )
                found[runner]["cpu_seconds_lost_per_kill"] = round(statistics.median(cpu), 2)
    return found


def play_all(
    recipe: str, numbers: Sequence[int], seed: int, folder: Path, runner: str | None = None
) -> Iterator[dict[str, Any]]:
    """Play these schedules, of one runner or of both; each as soon as it has been played."""
    with SUBJECTS[recipe](folder) as subject, Forks(subject.warm) as forks:
        player = Player(subject, forks, folder)
        player.undisturbed("local")
        player.seconds["local"].clear()  # the first one compiles
        player.cpu.clear()
        player.undisturbed("local")
        for number in numbers:
            schedule = draw(subject, seed, number)
            if runner in (None, schedule.runner):
                if number % 20 == 0 or not player.seconds[schedule.runner]:
                    player.undisturbed(schedule.runner)
                yield told(player.play(schedule), recipe, seed)


def main() -> int:
    parser = argparse.ArgumentParser(description="random kill schedules; each compared with an undisturbed run")
    parser.add_argument("--recipe", choices=sorted(SUBJECTS), default="web")
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("HEADRACE_SEED", "7")))
    parser.add_argument("--runner", choices=("local", "ray"), help="only the schedules of this runner")
    parser.add_argument("--folder", type=Path, help="where outputs go (default: a temporary folder)")
    parser.add_argument("--log", type=Path, help="a line for each schedule; those it has already are not played again")
    given = parser.parse_args()
    earlier = []
    if given.log is not None and given.log.exists():
        lines = map(json.loads, given.log.read_text().splitlines())
        earlier = [line for line in lines if (line["recipe"], line["seed"]) == (given.recipe, given.seed)]
    done = {line["schedule"]["number"] for line in earlier}
    numbers = [number for number in range(given.first, given.first + given.n) if number not in done]
    all_played = list(earlier)
    sys.stderr.write(f"seed {given.seed}\n")
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for line in play_all(given.recipe, numbers, given.seed, folder, given.runner):
            all_played.append(line)
            sys.stderr.write(json.dumps(line) + "\n")
            if given.log is not None:
                with given.log.open("a") as log:
                    log.write(json.dumps(line) + "\n")
    sys.stdout.write(json.dumps({"recipe": given.recipe, "seed": given.seed, **summary(all_played)}) + "\n")
    return 0 if all(line["right"] for line in all_played) else 1


if __name__ == "__main__":
    sys.exit(main())
