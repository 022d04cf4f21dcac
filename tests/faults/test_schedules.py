"""A few random kill schedules in every run of the tests; `benchmarks/kills.py` plays two hundred and fifty."""

import os
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.faults.differences import Difference, State, difference, state
from tests.faults.schedules import draw, play_all, summary
from tests.faults.subjects import SUBJECTS, Web
from tests.faults.test_kill_driver import SEED
from tests.runs import one_step, plan_over, run_local, write

FEW = {"web": 2, "refine": 0, "entigraph": 0}
MANY = {"web": 200, "refine": 25, "entigraph": 25}
LONG = bool(os.environ.get("HEADRACE_FAULTS"))


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(300 + 36000 * LONG)
@pytest.mark.parametrize("recipe", [name for name, n in (MANY if LONG else FEW).items() if n])
def test_random_kills_leave_no_trace(tmp_path: Path, recipe: str) -> None:
    numbers = range((MANY if LONG else FEW)[recipe])
    all_played = list(play_all(recipe, numbers, SEED, tmp_path))
    found = summary(all_played)
    sys.stdout.write(f"seed {SEED}: {found}\n")
    assert [line for line in all_played if not line["right"]] == []
    assert sum(found["kills"].values()) > 0


def test_the_same_seed_draws_the_same() -> None:
    drawn = [draw(Web, 7, number) for number in range(200)]
    assert drawn == [draw(Web, 7, number) for number in range(200)]
    assert drawn != [draw(Web, 8, number) for number in range(200)]
    assert sum(schedule.runner == "ray" for schedule in drawn) == 20
    assert {kill.victim for s in drawn if s.runner == "ray" for kill in s.kills} == set(Web.victims["ray"])
    assert {len(schedule.kills) for schedule in drawn} == {1, 2, 3, 4}


@pytest.fixture
def whole(tmp_path: Path) -> State:
    plan = plan_over(one_step(), write(tmp_path / "in", {"a.txt": "one\ntwo\n", "b.txt": "three\n"}))
    run_local(plan, tmp_path / "out")
    return state(tmp_path / "out")


def test_what_is_lost_twice_or_wrong_is_told(tmp_path: Path, whole: State) -> None:
    """The comparison itself: it sees each way in which an output can be other than it should be."""
    assert not difference(whole, state(tmp_path / "out"))
    [a, b] = sorted((tmp_path / "out/only/data").iterdir())
    rows = pq.read_table(a)

    def after(table: pa.Table) -> Difference:
        pq.write_table(table, a)
        return difference(whole, state(tmp_path / "out"))

    assert (after(rows.slice(1)).lost, after(rows.slice(1)).wrong) == (1, 1)  # and the row behind it has another place
    found = after(pa.concat_tables([rows, rows.slice(1)]))
    assert (found.lost, found.duplicated, found.wrong) == (0, 1, 0)
    texts = rows.set_column(rows.schema.get_field_index("text"), "text", pa.array(["one", "2"], pa.large_string()))
    assert (after(texts).lost, after(texts).duplicated, after(texts).wrong) == (0, 0, 1)
    assert after(rows.take([1, 0])).wrong == 2
    assert not after(rows)
    b.rename(b.with_name("z.parquet"))
    assert after(rows).wrong == 1
    (tmp_path / "out/only/data/.x.writing-1-2").touch()
    assert after(rows).half == 1


def test_every_subject_has_victims_on_both_runners() -> None:
    for subject in SUBJECTS.values():
        assert "driver" in subject.victims["local"]
        assert "driver" in subject.victims["ray"]
