"""Two outputs compared row for row: what is lost, what is there twice, what is another row than it should be."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.runs import account, dataset, manifests

PASSING = ("from_ledger", "seconds", "cost")  # what an answer of a model cost this time


@dataclass(frozen=True)
class State:
    """All that a run has left for a reader: rows by part and id, with their place; the account; files half written."""

    rows: dict[tuple[str, str], list[str]]
    steps: list[dict[str, Any]]
    status: str
    half: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """Rows, and whether the totals are others."""

    lost: int = 0
    duplicated: int = 0
    wrong: int = 0
    totals: bool = False
    half: int = 0
    example: str = ""

    def __bool__(self) -> bool:
        return bool(self.lost or self.duplicated or self.wrong or self.totals or self.half)


def state(output: Path) -> State:
    """What is in `output` after a run that has ended well."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, rows in dataset(output).items():
        part = name.rpartition("/")[0]
        for place, row in enumerate(rows):
            for answer in row.get("answers") or ():
                for key in PASSING:
                    answer.pop(key, None)
            found[part, str(row["id"])].append(json.dumps([name, place, row], sort_keys=True, default=str))
    result = json.loads((output / "run.json").read_text())
    steps = account(result)
    for step in steps:
        for model in step.get("models", ()):
            for key in PASSING:
                model.pop(key, None)
    half = tuple(str(file) for file in output.rglob(".*.writing-*"))
    return State(dict(found), steps, result["status"], half)


def difference(expected: State, found: State) -> Difference:
    """How `found` differs from `expected`."""
    lost = duplicated = wrong = 0
    example = ""
    for key in expected.rows.keys() | found.rows.keys():
        theirs, ours = sorted(expected.rows.get(key, [])), sorted(found.rows.get(key, []))
        if theirs == ours:
            continue
        lost += max(0, len(theirs) - len(ours))
        duplicated += max(0, len(ours) - len(theirs))
        wrong += sum(a != b for a, b in zip(theirs, ours, strict=False))
        example = example or f"{key}: {theirs} should be there, {ours} is"[:2000]
    totals = (expected.steps, expected.status) != (found.steps, found.status)
    return Difference(lost, duplicated, wrong, totals, len(found.half), example)


def committed(output: Path) -> dict[str, int]:
    """Every manifest and when it was written."""
    found = {}
    for file in manifests(output):
        try:
            found[str(file)] = file.stat().st_mtime_ns
        except FileNotFoundError:  # a step is begun again
            continue
    return found
