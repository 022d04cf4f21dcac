"""Fuzzy dedup that dies at any change of the disk, and what may have changed when it is begun again."""

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.exchange import phases
from cluster.plan import Plan
from cluster.storage import Folder
from pipelines.cli import main
from pipelines.config import configure
from pipelines.dedup import dedup
from pipelines.recipes import find_recipe
from schemas import columns as c
from stages.dedup.near import NearDuplicates
from tests.cluster.test_crash_points import WHEN, kill, points_of, temporary
from tests.runs import account, dataset, plan_over, rows, run_local, write

WORDS = ["".join(random.Random(i).choices("abcdefghijklmnop", k=6)) for i in range(400)]
KEYS = 7  # in a partition: five of links, two of rows
EVERY = int(os.environ.get("HEADRACE_EVERY", "5"))  # of how many points one is tried, another of each kind; 1 for all


def text(topic: int, *changed: int) -> str:
    """80 words of a topic; each change replaces one."""
    words = random.Random(topic).choices(WORDS, k=80)
    return " ".join(f"x{word}" if i in changed else word for i, word in enumerate(words))


FILES = {
    "a": {"d": text(1), "a": text(2), "h": text(3)},
    "b": {"g": text(1, 5), "c": text(2, 70), "b": text(2), "k": "few words"},
    "c": {"e": text(4), "f": text(1, 6), "i": text(4, 40)},
}
GONE = {"c": "a", "b": "a", "g": "d", "f": "d", "i": "e"}


def documents(folder: Path, files: dict[str, dict[str, str]]) -> str:
    folder.mkdir(exist_ok=True)
    for name, texts in files.items():
        table = pa.table({"id": list(texts), "text": pa.array(list(texts.values()), c.TEXT)})
        pq.write_table(table, folder / f"{name}.parquet")
    return str(folder)


def keys_in(monkeypatch: pytest.MonkeyPatch, keys: int, memory: int = phases.DEFAULT_MEMORY) -> None:
    """Make partitions so small that each has room for so many keys where a process may take `memory`."""
    monkeypatch.setattr(phases, "KEY_BYTES", (memory - phases.AT_REST) // (phases.COPIES * keys))


def gone(output: Path) -> dict[str, str]:
    return {row["id"]: row["duplicate_of"] for row in rows(output / "dedup/removed")}


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    keys_in(monkeypatch, KEYS)
    return few_bands(documents(tmp_path / "in", FILES))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes die here, not machines; and three bands are enough, which is known of them."""
    monkeypatch.setattr(os, "fsync", lambda file: None)
    monkeypatch.setattr(NearDuplicates, "fan_out", 3)


def few_bands(source: str) -> Plan:
    return plan_over(configure(dedup(), {"MinHashBands": {"num_buckets": 3, "hashes_per_bucket": 3}}), source)


@pytest.mark.parametrize("when", WHEN)
def test_killed_at_any_point_it_goes_on_to_the_same_dataset(plan: Plan, tmp_path: Path, when: str) -> None:
    """Every file of a barrier, both states of its plan and each folder of spills that goes, among others."""
    whole = run_local(plan, tmp_path / "whole")
    assert gone(tmp_path / "whole") == GONE
    expected = dataset(tmp_path / "whole")
    points = points_of(lambda: run_local(plan, tmp_path / "counted"))
    assert points > 40
    for at in range(WHEN.index(when), points, EVERY):
        output = tmp_path / str(at)
        kill(lambda: run_local(plan, output), at, when)  # noqa: B023 - called here
        assert account(run_local(plan, output)) == account(whole), f"point {at}"
        assert dataset(output) == expected, f"point {at}"
        assert Folder(str(output / "dedup/shuffle")).folders() == ["verdicts"], f"point {at}"
        assert temporary(output) == [], f"point {at}"
        shutil.rmtree(output)


@pytest.mark.parametrize("factor", [0.2, 5.0])
def test_memory_may_change_between_a_crash_and_the_next_run(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    run_local(plan, tmp_path / "whole")
    expected = dataset(tmp_path / "whole")
    memory = phases.AT_REST + int((phases.DEFAULT_MEMORY - phases.AT_REST) * factor)
    for at in range(0, points_of(lambda: run_local(plan, tmp_path / "counted")), 2 * EVERY):
        output = tmp_path / str(at)
        kill(lambda: run_local(plan, output), at, "after")  # noqa: B023 - called here
        run_local(plan, output, memory=memory)
        assert dataset(output) == expected, f"point {at}"
        shutil.rmtree(output)


def test_partitions_are_counted_again_by_what_was_spilled(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the guess is too low, and a crash falls on any point of the second try."""
    run_local(plan, tmp_path / "whole")
    expected = dataset(tmp_path / "whole")
    guess = phases._partitions
    monkeypatch.setattr(phases, "_partitions", lambda *a: dict.fromkeys(guess(*a), 1))
    monkeypatch.setattr(phases, "_row_bytes", lambda *a: 1)
    points = points_of(lambda: run_local(plan, tmp_path / "more"))
    assert len(list((tmp_path / "more/dedup/shuffle/verdicts").iterdir())) == 2
    for when in WHEN:
        for at in range(0, points, 2 * EVERY):
            output = tmp_path / f"{when}-{at}"
            kill(lambda: run_local(plan, output), at, when)  # noqa: B023 - called here
            run_local(plan, output)
            assert dataset(output) == expected, f"{when} point {at}"
            shutil.rmtree(output)


def test_spills_of_other_shards_are_not_taken_for_these(plan: Plan, tmp_path: Path) -> None:
    """An earlier step has brought rows back since the barrier was broken off: nothing that it wrote may stay."""
    points = points_of(lambda: run_local(plan, tmp_path / "counted"))
    more = {**FILES, "0": {"j": text(2, 9), "0": text(3, 3)}}
    larger = few_bands(documents(tmp_path / "in", more))
    run_local(larger, tmp_path / "whole")
    expected = dataset(tmp_path / "whole")
    for at in range(0, points, 2 * EVERY):
        output = tmp_path / str(at)
        kill(lambda: run_local(plan, output), at, "after")  # noqa: B023 - called here
        if (output / "dedup").exists():
            shutil.rmtree(output / "bands")
            shutil.copytree(tmp_path / "whole/bands", output / "bands")
            shutil.copy(tmp_path / "whole/dedup/step.json", output / "dedup/step.json")
            run_local(larger, output)
            assert dataset(output) == expected, f"point {at}"
        shutil.rmtree(output, ignore_errors=True)


RECIPE = """
name: new
steps:
  - name: bands
    source: stages.read_parquet.ReadParquet
    stages: [stages.dedup.bands.MinHashBands]
  - name: dedup
    after: bands
    source: stages.read_parquet.ReadParquet
    shuffle: {stage: stages.dedup.near.NearDuplicates, verify: 0.7, index: INDEX}
    stages: [stages.drop_duplicates.DropDuplicates]
"""


@pytest.fixture
def against(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A dedup against an index, broken off before its verdicts; the command that goes on."""
    run_local(plan_over(dedup(), documents(tmp_path / "first", FILES)), tmp_path / "earlier")
    (tmp_path / "earlier/dedup/data").rename(tmp_path / "kept")
    write(tmp_path, {"new.yaml": RECIPE.replace("INDEX", str(tmp_path / "kept"))})
    source = documents(tmp_path / "in", {"a": {"m": text(2, 30), "n": text(9)}, "b": {"o": text(9, 1)}})
    plan = plan_over(find_recipe(str(tmp_path / "new.yaml")), source)
    points = points_of(lambda: run_local(plan, tmp_path / "counted"))
    kill(lambda: run_local(plan, tmp_path / "out"), points // 2, "after")
    assert (tmp_path / "out/dedup/shuffle").is_dir()
    assert not (tmp_path / "out/dedup/manifests").exists()
    return ["run", str(tmp_path / "new.yaml"), "--input", source, "--output", str(tmp_path / "out"), "--json"]


def untouched(tmp_path: Path) -> dict[str, bytes]:
    return {str(f): f.read_bytes() for f in sorted((tmp_path / "out").rglob("*")) if f.is_file()}


def test_the_same_index_goes_on(against: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(against) == 0
    assert gone(tmp_path / "out") == {"m": "a", "o": "n"}


def test_changed_index_is_refused(against: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = max((tmp_path / "kept").iterdir())
    os.utime(file, (1, 1))
    before = untouched(tmp_path)
    assert main(against) == 2
    said = capsys.readouterr().err
    assert "(--redo dedup to keep bands and do the rest again" in said
    assert f"  NearDuplicates.index: file://{file} has changed: (" in said
    assert untouched(tmp_path) == before


@pytest.mark.parametrize("all_of_it", [False, True])
def test_index_that_has_gone_is_refused(
    against: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], all_of_it: bool
) -> None:
    if all_of_it:
        shutil.rmtree(tmp_path / "kept")
    else:
        max((tmp_path / "kept").iterdir()).unlink()
    before = untouched(tmp_path)
    assert main(against) == 2
    said = capsys.readouterr().err
    assert ("not there" if all_of_it else ".parquet was removed") in said
    assert "NearDuplicates.index" in said
    assert untouched(tmp_path) == before


def test_index_that_goes_while_it_is_read_fails_the_run_and_can_come_back(
    against: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(tmp_path / "out")
    real: Any = phases.run_barrier

    def vanishing(*arguments: Any) -> None:
        (tmp_path / "kept").rename(tmp_path / "away")
        real(*arguments)

    monkeypatch.setattr("cluster.run.run_barrier", vanishing)
    assert main(against) == 1
    assert str(tmp_path / "kept") in capsys.readouterr().err
    (tmp_path / "away").rename(tmp_path / "kept")
    monkeypatch.setattr("cluster.run.run_barrier", real)
    assert main(against) == 0
    assert gone(tmp_path / "out") == {"m": "a", "o": "n"}
