"""Recipe `dedup-stream`: one pass, on both runners; killed anywhere, what it has decided stays decided."""

import os
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.errors import ConfigError, RunError
from cluster.plan import Plan
from cluster.recipe import Recipe, Step
from cluster.run import Options, run
from pipelines.dedup_stream import dedup_stream
from pipelines.replay import replay
from stages.dedup.bands import MinHashBands
from stages.dedup.seen import DropSeen
from stages.read_parquet import ReadParquet
from tests.cluster.test_conformance import make_runner
from tests.cluster.test_crash_points import WHEN, kill, points_of
from tests.fakes import CrashOn, OnGpu
from tests.runs import DieUntil, dataset, plan_over, rows, run_local
from tests.stages.dedup.test_seen import assert_consistent

LONG = pytest.mark.skipif("HEADRACE_FAULTS" not in os.environ, reason="the long form: make faults")
LETTERS = "abcdefghijklmnopqrst"


def page(number: int, *changed: int) -> str:
    """60 words of which no other number has a shingle; `changed` ones are replaced."""
    words = [f"w{LETTERS[number % 20]}{LETTERS[number // 20]}{LETTERS[i // 20]}{LETTERS[i % 20]}" for i in range(60)]
    return " ".join(f"x{word}" if i in changed else word for i, word in enumerate(words))


def write_pages(folder: Path, files: int = 4) -> Path:
    """Files of ever fewer rows, so that the largest comes first by name as well: 20 pages, each several times."""
    dice = random.Random(3)
    folder.mkdir()
    for n in range(files):
        size = 40 - 8 * n
        texts = [page(dice.randrange(20), *dice.sample(range(60), dice.randrange(2))) for _ in range(size)]
        ids = [f"{n}-{i:02}" for i in range(size)]
        pq.write_table(pa.table({"id": ids, "text": texts}), folder / f"{n}.parquet")
    return folder


def stream(*behind: Any, before: tuple[Any, ...] = ()) -> Recipe:
    """The recipe in small tables, with stages behind it."""
    source = ReadParquet(table_bytes=2000)
    return Recipe("stream", (Step("dedup", source, (*before, MinHashBands(), DropSeen(2), *behind)),))


def go(plan: Plan, output: Path, runner_name: str, **options: Any) -> dict[str, Any]:
    return run(plan, str(output), make_runner(runner_name), Options(**{"quiet": True, **options}))


def assert_deduplicated(output: Path, n_rows: int) -> None:
    """The rows of a run of the stream: see `DropSeen`."""
    found = [*rows(output / "dedup/data"), *rows(output / "dedup/removed")]
    assert len(found) == n_rows
    verdict = {row["id"]: row["duplicate_of"] for row in found}
    assert all(row["duplicate_of"] is None for row in rows(output / "dedup/data"))
    assert {row["drop_reason"] for row in rows(output / "dedup/removed")} == {"duplicate"}
    assert_consistent({row["id"]: row["bands"] for row in found}, verdict)


def test_one_row_of_those_that_share_a_band_stays(tmp_path: Path, runner_name: str) -> None:
    plan = plan_over(dedup_stream(), write_pages(tmp_path / "in"))
    result = go(plan, tmp_path / "out", runner_name)
    assert result["steps"][0]["dropped"] == {"DropSeen.duplicate": 112 - result["steps"][0]["out"]}
    assert 20 <= result["steps"][0]["out"] < 40
    assert_deduplicated(tmp_path / "out", 112)


def test_a_second_run_over_more_of_it_goes_on_from_what_is_committed(tmp_path: Path, runner_name: str) -> None:
    plan = plan_over(stream(), write_pages(tmp_path / "in"))
    output = tmp_path / "out"
    go(plan, output, runner_name)
    manifests = sorted((output / "dedup/manifests").iterdir())
    for manifest in manifests[::2]:  # as if these had not been committed when the run was killed
        manifest.unlink()
        (output / "dedup/data" / f"{manifest.stem}.parquet").unlink()
    left = {f: f.stat().st_mtime_ns for m in manifests[1::2] for f in output.glob(f"dedup/*/{m.stem}.*")}
    go(plan, output, runner_name)
    assert {f: f.stat().st_mtime_ns for f in left} == left
    assert_deduplicated(output, 112)


def test_row_that_died_is_judged_by_what_stayed_when_it_is_replayed(tmp_path: Path, runner_name: str) -> None:
    (tmp_path / "in").mkdir()
    pages = {"id": list("abcd"), "text": [page(1), f"{page(1)} bad", f"{page(2)} bad", page(3)]}
    pq.write_table(pa.table(pages), tmp_path / "in/a.parquet")
    plan = plan_over(stream(before=(DieUntil("bad", str(tmp_path / "fixed")),)), tmp_path / "in")
    assert go(plan, tmp_path / "out", runner_name, max_dead=0.9)["steps"][0]["dead"] == 2
    (tmp_path / "fixed").touch()
    assert replay(str(tmp_path / "out"))["steps"][0]["dropped"] == 1
    assert sorted(row["id"] for row in rows(tmp_path / "out/dedup/data")) == ["a", "c", "d"]
    assert [(row["id"], row["duplicate_of"]) for row in rows(tmp_path / "out/dedup/removed")] == [("b", "a")]


@pytest.mark.parametrize("when", [pytest.param(when, marks=() if when == "during" else LONG) for when in WHEN])
def test_run_killed_at_any_point_repeats_its_decisions(tmp_path: Path, when: str) -> None:
    plan = plan_over(stream(), write_pages(tmp_path / "in"))
    run_local(plan, tmp_path / "whole")
    expected = dataset(tmp_path / "whole")
    points = points_of(lambda: run_local(plan, tmp_path / "counted"))
    assert points > 12
    for at in range(points):
        output = tmp_path / str(at)
        kill(lambda: run_local(plan, output), at, when)  # noqa: B023 - called here
        run_local(plan, output)
        assert dataset(output) == expected, f"point {at}"


def test_two_indexes_in_a_step_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="step dedup: DropSeen and DropSeen need an index each; a step has one"):
        plan_over(stream(DropSeen(2)), write_pages(tmp_path / "in", 1))


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_one_worker_on_ray_decides_as_the_local_runner_does(tmp_path: Path) -> None:
    from cluster.stream import RayRunner

    plan = plan_over(stream(), write_pages(tmp_path / "in"))
    run_local(plan, tmp_path / "local")
    run(plan, str(tmp_path / "ray"), RayRunner(workers=1), Options(quiet=True))
    assert dataset(tmp_path / "ray") == dataset(tmp_path / "local")


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("gpu", [False, pytest.param(True, marks=LONG)])
def test_worker_that_dies_drops_nothing_by_what_it_had_seen(tmp_path: Path, gpu: bool) -> None:
    folder = write_pages(tmp_path / "in")
    pq.write_table(pa.table({"id": ["bad"], "text": [f"{page(30)} bad"]}), folder / "0a.parquet")
    crash = CrashOn("bad", hard=True, once=str(tmp_path / "died"))
    plan = plan_over(stream(crash, *[OnGpu("")] * gpu), folder)
    result = go(plan, tmp_path / "out", "ray")
    assert (tmp_path / "died").exists()
    assert result["steps"][0]["dead"] == 0
    assert_deduplicated(tmp_path / "out", 113)
    assert "bad" in {row["id"] for row in rows(tmp_path / "out/dedup/data")}


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_lost_part_of_the_index_says_so(tmp_path: Path) -> None:
    import ray

    from cluster.commit import Target
    from cluster.seen.actors import with_index

    plan = plan_over(stream(), write_pages(tmp_path / "in", 1))
    with with_index(plan.steps[0], Target(str(tmp_path / "out"))) as planned:
        assert planned.ask is not None
        assert planned.fingerprint == plan.steps[0].fingerprint
        ray.kill(planned.ask._actors[1])  # type: ignore[attr-defined]
        with pytest.raises(RunError, match=r"step dedup: a part of its index is lost: (.|\n)*run it again"):
            planned.ask([(1, "look", ([],))])
