"""Random kill schedules, 200 over the whole `web` recipe and 50 over refine and entigraph: nothing lost, what it costs.

    python -m benchmarks.kills [--seed 7] [--log FILE]      with a log, one that was ended goes on where it was

What is killed, when and how often is drawn from the seed (tests/faults/schedules.py); the output of each schedule is
compared row for row with that of a run that nobody disturbed. Takes about an hour of one core.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.record import record
from tests.faults.schedules import play_all, summary

SCHEDULES = {"web": 200, "refine": 25, "entigraph": 25}


def main() -> int:
    parser = argparse.ArgumentParser(description="random kill schedules: nothing lost, and what a kill costs")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--log", type=Path, help="a line for each schedule; those it has already are not played again")
    parser.add_argument("--recorded", action="store_true", help="play nothing: the figures of the log as it is")
    given = parser.parse_args()
    lines: list[dict[str, Any]] = []
    if given.log is not None and given.log.exists():
        lines = [line for line in map(json.loads, given.log.read_text().splitlines()) if line["seed"] == given.seed]
    for recipe, n in SCHEDULES.items():
        done = {line["schedule"]["number"] for line in lines if line["recipe"] == recipe}
        numbers = [] if given.recorded else [number for number in range(n) if number not in done]
        with tempfile.TemporaryDirectory() as folder:
            for line in play_all(recipe, numbers, given.seed, Path(folder)) if numbers else ():
                lines.append(line)
                sys.stderr.write(json.dumps(line) + "\n")
                if given.log is not None:
                    with given.log.open("a") as log:
                        log.write(json.dumps(line) + "\n")
    by_recipe = {recipe: [line for line in lines if line["recipe"] == recipe] for recipe in SCHEDULES}
    record("kills", {"seed": given.seed, **{name: summary(some) for name, some in by_recipe.items() if some}})
    return 0 if all(line["right"] for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
