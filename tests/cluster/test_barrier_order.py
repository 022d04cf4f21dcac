"""Every dedup keeps the same rows for the same reasons, whatever the order of rows and files, partitions and workers.

The numbers of shards and rows, by which barriers name rows, come from the files' addresses: they differ in every case
here, and nothing of the result may.
"""

import os
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.exchange import phases
from cluster.local import LocalRunner
from cluster.run import Options, Runner, run
from pipelines.recipes import find_recipe
from tests.runs import plan_over, rows

LONG = pytest.mark.skipif("HEADRACE_FAULTS" not in os.environ, reason="the long form: make faults")
RECIPES = ["dedup", "dedup-exact", "dedup-lines", "dedup-substring"]
KEYS = {"dedup": 40, "dedup-exact": 20, "dedup-lines": 1000, "dedup-substring": 2500}  # for some partitions, not many


def documents() -> dict[str, str]:
    """150 texts by id: copies, near copies in chains, lines and runs of 60 words that several have, some alone."""
    dice = random.Random(3)
    words = ["".join(dice.choices("abcdefghijklmnop", k=5)) for _ in range(2000)]

    def some(n: int) -> list[str]:
        return dice.choices(words, k=n)

    topics = [some(90) for _ in range(12)]
    lines = [" ".join(some(9)) for _ in range(10)]
    spans = [some(60) for _ in range(5)]
    texts = []
    for number in range(150):
        kind, text = number % 5, some(70)
        if kind in (0, 1):
            text = list(dice.choice(topics))
            for _ in range(dice.randrange(4) * kind):
                text[dice.randrange(90)] = dice.choice(words)
        elif kind == 2:
            text = [*text[:30], *dice.choice(spans), *text[30:]]
        body = " ".join(text[:45]) + "\n" + " ".join(text[45:])
        texts.append(body + "\n" + "\n".join(dice.sample(lines, 2)) if kind == 3 else body)
    ids = [f"{i:04d}" for i in range(150)]
    dice.shuffle(ids)
    return dict(zip(ids, texts, strict=True))


def written(folder: Path, texts: dict[str, str], files: int, seed: int) -> list[Path]:
    """The texts in an order of their own, cut into so many files, whose names are in another."""
    dice = random.Random(seed)
    ids = sorted(texts)
    dice.shuffle(ids)
    names = [folder / f"{dice.randrange(10**9)}.parquet" for _ in range(files)]
    cuts = [0, *sorted(dice.sample(range(1, len(ids)), files - 1)), len(ids)]
    folder.mkdir()
    for name, begin, end in zip(names, cuts, cuts[1:], strict=False):
        mine = ids[begin:end]
        pq.write_table(pa.table({"id": mine, "text": pa.array([texts[i] for i in mine], pa.large_string())}), name)
    return names


def verdicts(recipe: str, folder: Path, files: int, seed: int, runner: Runner) -> dict[str, dict[str, Any]]:
    """What became of each row, by id."""
    inputs = written(folder, documents(), files, seed)
    plan = plan_over(find_recipe(recipe), *inputs)
    run(plan, str(folder / "out"), runner, Options(quiet=True))
    found = {}
    for part in ("data", "removed"):
        for row in rows(folder / "out" / plan.recipe.final / part):
            del row["source"]  # file and row
            assert row["id"] not in found
            found[row["id"]] = {"part": part, **row}
    return found


def partitions(folder: Path) -> list[int]:
    """How many files of verdicts each shuffle has."""
    return [len(list(shuffle.glob("*.parquet"))) for shuffle in sorted((folder / "out").glob("*/shuffle/verdicts"))]


def few_keys(monkeypatch: pytest.MonkeyPatch, keys: int) -> None:
    """Make partitions so small that each has room for so many keys."""
    monkeypatch.setattr(phases, "KEY_BYTES", (phases.DEFAULT_MEMORY - phases.AT_REST) // (phases.COPIES * keys))


@pytest.mark.parametrize("recipe", RECIPES)
def test_order_files_and_partitions_leave_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    expected = verdicts(recipe, tmp_path / "one", 1, 1, LocalRunner())
    assert set(partitions(tmp_path / "one")) == {1}
    touched = [row for row in expected.values() if row["part"] == "removed" or row.get("edits")]
    assert 20 < len(touched) < 130
    for number, (files, keys) in enumerate([(1, KEYS[recipe]), (3, 100_000), (7, KEYS[recipe])]):
        few_keys(monkeypatch, keys)
        found = verdicts(recipe, tmp_path / str(number), files, 2 + number, LocalRunner())
        assert found == expected, f"{files} files, {keys} keys a partition"
        assert (min(partitions(tmp_path / str(number))) > 1) == (keys < 100_000)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("recipe", [pytest.param(r, marks=() if r == "dedup-lines" else LONG) for r in RECIPES])
def test_workers_leave_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str) -> None:
    from cluster.stream import RayRunner

    few_keys(monkeypatch, KEYS[recipe])
    expected = verdicts(recipe, tmp_path / "local", 3, 1, LocalRunner())
    for workers in (1, 2):
        assert verdicts(recipe, tmp_path / f"ray-{workers}", 7, 5 + workers, RayRunner(workers)) == expected
