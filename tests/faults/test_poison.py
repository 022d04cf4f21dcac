"""Documents that hang or eat memory in a stage, on Ray: the worker goes, the row is found and dies alone."""

import os
import re
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from cluster import limits
from cluster.limits import limit_of, watched
from cluster.run import Options, run
from cluster.stream import RayRunner
from tests.fakes import Upper
from tests.faults.poison import BombOn, HangOn
from tests.runs import account, one_step, plan_over, texts, write

LONG = pytest.mark.skipif("HEADRACE_FAULTS" not in os.environ, reason="the long form: make faults")
LINES = "".join(f"line {i}\n" for i in range(6)) + "bad\n" + "".join(f"line {i}\n" for i in range(6, 12))
KEPT = [f"LINE {i}" for i in range(12)]
STUCK_S = 6.0  # a worker that is starved for so long is only tried again


def go(folder: Path, *stages: Any, stuck_after: float = STUCK_S) -> dict[str, Any]:
    plan = plan_over(one_step(*stages), write(folder / "in", {"a.txt": LINES, "b.txt": "other\n"}))
    return run(plan, str(folder / "out"), RayRunner(2, stuck_after=stuck_after), Options(quiet=True, max_dead=0.2))


def dead(folder: Path) -> list[dict[str, Any]]:
    return [row for file in sorted((folder / "out/only/dead").iterdir()) for row in pq.read_table(file).to_pylist()]


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("gpus", [0.0, pytest.param(0.5, marks=LONG)])
def test_row_that_hangs_dies_alone(tmp_path: Path, gpus: float) -> None:
    [step] = account(go(tmp_path, Upper(), HangOn("BAD", gpus=gpus)))
    assert (step["rows_in"], step["out"], step["dead"]) == (14, 13, 1)
    assert texts(tmp_path / "out/only/data") == [*KEPT, "OTHER"]
    [row] = dead(tmp_path)
    assert row["text"] == "BAD" if gpus else "bad"
    assert row["error"].startswith("worker died: ")


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_row_that_hangs_once_leaves_no_trace(tmp_path: Path) -> None:
    [step] = account(go(tmp_path, HangOn("bad", once=str(tmp_path / "hung")), Upper()))
    assert (step["out"], step["dead"]) == (14, 0)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_row_that_eats_memory_dies_alone(tmp_path: Path) -> None:
    begun = psutil.virtual_memory().available
    if begun < 8e9:
        pytest.skip("it takes 4 GB before it is stopped, and would take them from others")
    [step] = account(go(tmp_path, BombOn("bad", most_gb=7.0), Upper(), stuck_after=300.0))
    assert (step["rows_in"], step["out"], step["dead"]) == (14, 13, 1)
    assert texts(tmp_path / "out/only/data") == [*KEPT, "OTHER"]
    [row] = dead(tmp_path)
    assert (row["text"], row["stage"]) == ("bad", "BombOn")
    assert re.match("MemoryError|worker died: ", row["error"])


def test_memory_is_what_stages_say_four_times_and_never_the_node() -> None:
    assert limit_of(2.0, 64 << 30) == 8_000_000_000
    assert limit_of(0.5, 64 << 30) == 4 << 30
    assert limit_of(16.0, 10_000_000_000) == 8_000_000_000


def test_the_clock_runs_only_while_a_report_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """And of several threads, the first deadline counts."""
    armed: list[float | None] = []
    monkeypatch.setattr(limits.faulthandler, "dump_traceback_later", lambda left, **_: armed.append(round(left, 1)))
    monkeypatch.setattr(limits.faulthandler, "cancel_dump_traceback_later", lambda: armed.append(None))
    now = count(100.0, 0.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(now))

    def reports() -> Iterator[int]:
        yield 1
        inner = watched(iter([7]), 3.0)
        assert next(inner) == 7
        inner.close()
        yield 2

    outer = watched(reports(), 10.0)
    assert next(outer) == 1
    assert armed == [10.0, None]
    assert next(outer) == 2
    assert armed[2:] == [10.0, 3.0, 10.0, None]
    assert list(outer) == []
    assert armed[-1] is None
    assert list(watched(iter("ab"), None)) == ["a", "b"]
