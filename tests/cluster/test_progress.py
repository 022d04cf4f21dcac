"""What a person, a log and another process see of a step; and when too many rows have died."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cluster.errors import DeadRowsError
from cluster.shards import InputFile, Shard
from cluster.signals import progress as module
from cluster.signals.progress import Progress, bar, duration, line
from cluster.storage import Folder
from cluster.work import TableDone
from schemas.manifest import Counts, Manifest
from stages.stage import Piece


class Clock:
    """A clock that stands until it is set."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def shard(name: str, size: int = 100) -> Shard:
    uri = f"file:///{name}"
    return Shard(name, Piece(uri), InputFile(uri, size, ""))


def manifest(name: str, **counts: Any) -> Manifest:
    return Manifest("only", name, "f", {}, (), Counts(**counts), (), {}, 0.0, 0.0)


def progress(folder: Path, *, done: dict[str, Manifest] | None = None, total: int = 4, size: int = 400) -> Progress:
    counts = sum((m.counts for m in (done or {}).values()), Counts())
    told = Progress("only", Folder(str(folder)), max_dead=0.1, done=len(done or {}), counts=counts, quiet=True)
    told.begin(total, size)
    return told


def table(fraction: float, deaths: tuple[tuple[str, int], ...] = (), **counts: Any) -> TableDone:
    return TableDone(0, Counts(**counts), fraction, deaths)


def test_snapshot_adds_up_what_is_done_and_what_is_running(tmp_path: Path, clock: Clock) -> None:
    told = progress(tmp_path, done={"z": manifest("z", rows_in=10, out=10)})
    told.started(shard("a"))
    told.started(shard("b"))
    told.table(shard("a"), table(0.5, rows_in=4, out=3, dropped={"A.x": 1}))
    told.committed(shard("a"), manifest("a", rows_in=8, out=6, dropped={"A.x": 2}, unreadable=1))
    told.table(shard("b"), table(0.25, rows_in=2, out=2))
    clock.now += 4
    seen = told.snapshot()
    assert {k: seen[k] for k in ("done", "shards", "running", "rows_in", "out", "dropped", "dead", "unreadable")} == {
        "done": 2, "shards": 4, "running": ["b"], "rows_in": 20, "out": 18, "dropped": 2, "dead": 0, "unreadable": 1,
    }  # fmt: skip


def test_rate_is_of_this_run_alone(tmp_path: Path, clock: Clock) -> None:
    told = progress(tmp_path, done={"z": manifest("z", rows_in=1000, out=1000)})
    told.started(shard("a"))
    told.table(shard("a"), table(1.0, rows_in=30, out=30))
    clock.now += 10
    assert told.snapshot()["rows_per_second"] == 3.0


def test_time_left_is_by_bytes_of_what_this_run_has_to_do(tmp_path: Path, clock: Clock) -> None:
    told = progress(tmp_path, size=400)
    told.started(shard("a", 100))
    told.started(shard("b", 200))
    told.committed(shard("a", 100), manifest("a", rows_in=1, out=1))
    told.read(shard("b", 200), 0.5)
    told.read(shard("b", 200), 0.25)  # a reader does not go back
    clock.now += 10
    assert told.snapshot()["eta_seconds"] == 10  # 200 of 400 bytes in 10 s


@pytest.mark.parametrize(("seconds", "size"), [(0.5, 100), (100, 0)])
def test_time_left_is_not_guessed_without_grounds(tmp_path: Path, clock: Clock, seconds: float, size: int) -> None:
    told = progress(tmp_path)
    told.started(shard("a", size))
    told.table(shard("a", size), table(0.5, rows_in=1, out=1))
    clock.now += seconds
    assert told.snapshot()["eta_seconds"] is None


def test_no_time_is_left_when_all_is_done(tmp_path: Path, clock: Clock) -> None:
    told = progress(tmp_path, done={"z": manifest("z")}, total=1, size=0)
    clock.now += 10
    assert told.snapshot()["eta_seconds"] is None


def test_shard_that_is_tried_again_starts_from_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = progress(tmp_path)
    told.started(shard("a"))
    told.table(shard("a"), table(0.5, rows_in=4, out=4))
    told.failed(shard("a"), "OSError: connection reset\nmore")
    assert (told.snapshot()["rows_in"], told.snapshot()["running"], told.retries) == (0, [], 1)
    told.started(shard("a"))
    told.table(shard("a"), table(0.5, rows_in=4, out=4))
    assert told.snapshot()["rows_in"] == 4
    assert "only: shard a is tried again: OSError: connection reset\n" in capsys.readouterr().err


def test_status_is_written_at_both_ends_and_every_ten_seconds(tmp_path: Path, clock: Clock) -> None:
    def written() -> int:
        return int(json.loads((tmp_path / "status.json").read_text())["rows_in"])

    with progress(tmp_path) as told:
        assert written() == 0
        told.started(shard("a"))
        clock.now += 5
        told.table(shard("a"), table(0.1, rows_in=1, out=1))
        assert written() == 0
        clock.now += 5
        told.beat()
        assert written() == 1
        told.table(shard("a"), table(0.2, rows_in=1, out=1))
    assert written() == 2


def test_a_barrier_is_told_of_before_the_shards(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    def written() -> Any:
        return json.loads((tmp_path / "status.json").read_text())

    heard: list[Any] = []
    with Progress("dedup", Folder(str(tmp_path)), max_dead=0.1, quiet=True, hear=heard.append) as told:
        assert told.snapshot()["fraction"] == 0.0
        told.phase("rows", 4000, 1000)
        assert written()["barrier"] == {"phase": "rows", "tasks": 4000, "done": 1000}
        clock.now += 10
        told.task_done()
        assert written()["barrier"]["done"] == 1001
        assert written()["fraction"] == 0.2502
        assert bar(told.snapshot(), 60).plain.splitlines()[0].startswith("dedup ██████░░")
        clock.now += 10
        told.begin(64, 900)
        assert (written()["barrier"], written()["seconds"], written()["fraction"]) == (None, 0.0, 0.0)
    assert capsys.readouterr().err.splitlines() == [
        "dedup: before its shards, rows: 1,000 of 4,000 tasks",
        "dedup: before its shards, rows: 1,001 of 4,000 tasks",
        *["dedup: shards 0/64 (0 running), 0 in, 0 kept, 0 dropped, 0/s"] * 2,
    ]
    looks = [(event.tasks, event.waiting) for event in heard]
    assert looks == [((1000, 3000), 0), ((1001, 2999), 0), ((0, 0), 64), ((0, 0), 64)]


def test_log_has_a_line_when_there_is_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with progress(tmp_path):
        pass
    first, last = capsys.readouterr().err.splitlines()
    assert first == last == "only: shards 0/4 (0 running), 0 in, 0 kept, 0 dropped, 0/s"


def test_terminal_has_a_bar_instead_of_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Console(force_terminal=True, record=True, width=80, file=(tmp_path / "screen").open("w"))
    monkeypatch.setattr(module, "Console", lambda stderr: screen)
    with Progress("only", Folder(str(tmp_path)), max_dead=0.1) as told:
        told.begin(2, 9)
        told.started(shard("a"))
        told.note("[red]not markup[/red]")
    screen.file.close()
    shown = (tmp_path / "screen").read_text()
    assert "░" in shown
    assert "[red]not markup[/red]" in shown


def test_few_dead_rows_are_allowed(tmp_path: Path) -> None:
    told = progress(tmp_path)
    told.started(shard("a"))
    told.table(shard("a"), table(1.0, (("A: ValueError", 1),), rows_in=10, out=9, dead=1))
    told.committed(shard("a"), manifest("a", rows_in=10, out=9, dead=1))
    assert told.judge_end() is None


def test_too_many_dead_rows_are_told_with_their_causes_and_place(tmp_path: Path) -> None:
    told = progress(tmp_path, done={"z": manifest("z", rows_in=5, out=2, dead=3)})
    told.started(shard("a"))
    deaths = (("A: ValueError", 1), ("B: KeyError", 3))
    told.table(shard("a"), table(1.0, deaths, rows_in=10, out=6, dead=4))
    told.committed(shard("a"), manifest("a", rows_in=10, out=6, dead=4))
    with pytest.raises(DeadRowsError) as caught:
        told.judge_end()
    assert str(caught.value).splitlines() == [
        f"step only: 7 of 15 rows died, more than --max-dead 0.1 allows; they are in {tmp_path}/only/dead",
        "         3  B: KeyError",
        "         1  A: ValueError",
        "         3  in earlier runs",
    ]


def test_deaths_of_an_attempt_that_failed_are_not_told_twice(tmp_path: Path) -> None:
    told = progress(tmp_path)
    for _ in range(2):
        told.started(shard("a"))
        told.table(shard("a"), table(0.5, (("A: ValueError", 2),), rows_in=4, out=2, dead=2))
        if told.retries == 0:
            told.failed(shard("a"), "OSError")
    told.committed(shard("a"), manifest("a", rows_in=4, out=2, dead=2))
    with pytest.raises(DeadRowsError, match=r"\n         2  A: ValueError$"):
        told.judge_end()


def test_run_is_not_stopped_before_enough_rows_were_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "JUDGE_FROM_ROWS", 10)
    told = progress(tmp_path)
    told.started(shard("a"))
    told.table(shard("a"), table(0.5, rows_in=9, out=1, dead=8))
    with pytest.raises(DeadRowsError, match="8 of 10 rows died"):
        told.table(shard("a"), table(0.6, rows_in=1, out=1))


def test_rows_that_a_replay_brought_back_are_dead_no_more(tmp_path: Path) -> None:
    done = {"a": manifest("a", rows_in=4, out=2, dead=2), "a-replay-1": manifest("a-replay-1", out=2, dead=-2)}
    assert progress(tmp_path, done=done).judge_end() is None


def test_step_without_rows_is_judged_well(tmp_path: Path) -> None:
    assert progress(tmp_path).judge_end() is None


def test_line_says_everything_once() -> None:
    snapshot = {
        "step": "filter", "shards": 12, "done": 3, "running": ["a", "b"], "rows_in": 12345, "out": 12000,
        "dropped": 34, "dead": 5, "unreadable": 2, "rows_per_second": 1234.5, "eta_seconds": 75, "fraction": 0.5,
    }  # fmt: skip
    assert line(snapshot) == (
        "filter: shards 3/12 (2 running), 12,345 in, 12,000 kept, 34 dropped, 5 dead, 2 unreadable, 1,234/s, 1m15s left"
    )
    assert all(len(part) <= 60 for part in str(bar(snapshot, 60)).splitlines())
    assert str(bar(snapshot, 200)).count("█") == str(bar(snapshot, 200)).count("░")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.4, "59s"), (59.6, "1m00s"), (75, "1m15s"), (3600, "1h00m"), (93_784, "26h03m")]
)
def test_duration_is_read_at_a_glance(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_rows_that_stages_made_count_where_rows_may_die(tmp_path: Path) -> None:
    """A document that fans out to a hundred rows, one of them dead: 1 % of 101, not all of 1."""
    for max_dead, dies in ((0.02, False), (0.005, True)):
        progress = Progress("s", Folder(str(tmp_path)), max_dead=max_dead, quiet=True)
        progress.counts = Counts(rows_in=1, emitted=100, out=100, dead=1)
        if dies:
            with pytest.raises(DeadRowsError, match="1 of 101 rows died"):
                progress.judge_end()
        else:
            progress.judge_end()
