"""Rows that take a process with them, found in processes apart; the worker lives."""

import signal
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from ray.exceptions import OutOfMemoryError

from cluster import trial, work
from cluster.careful import Careful, Killed, RowsNext
from cluster.commit import Target
from cluster.driver.assignment import Assignment, Busy, after_death
from cluster.plan import Plan
from cluster.shards import InputFile, Shard
from cluster.trial import CannotTellError, Trial, killers
from cluster.work import Opened, TableDone, run_shard
from schemas import columns as c
from schemas.manifest import Counts
from stages.dedup.seen import DropSeen
from stages.stage import Piece, Resources, Rows, Transform
from tests.fakes import CrashOn, OnGpu, SignalOn, Upper
from tests.faults.poison import HangOn
from tests.runs import one_step, plan_over, rows, write

SHARD = Shard("a", Piece("a"), InputFile("a", 1, ""))
DIED = "its process died of signal 11 (Segmentation fault)"


def table(*texts: str) -> pa.Table:
    return pa.table({"id": [*map(str, range(len(texts)))], "text": list(texts)}, pa.schema([c.ID, c.BODY]))


def of(*fatal: str, asked: list[list[str]] | None = None) -> Callable[[pa.Table], str | None]:
    """Dies of tables with one of these texts."""

    def dies(rows: pa.Table) -> str | None:
        texts = rows.column("text").to_pylist()
        if asked is not None:
            asked.append(texts)
        return f"of {texts}" if set(texts) & set(fatal) else None

    return dies


def test_parts_and_then_the_rows_of_those_that_a_process_dies_of() -> None:
    asked: list[list[str]] = []
    assert killers(table(*"abcdefghi"), of("e", asked=asked)) == {4: "of ['e']"}
    assert asked == [["a", "b", "c"], ["d", "e", "f"], ["g", "h", "i"], ["d"], ["e"]]
    assert killers(table(*"abcdefghi"), of("a", "e", "f")) == {0: "of ['a']", 4: "of ['e']"}  # the next time, f
    assert killers(table(*"ab"), of("b")) == {1: "of ['b']"}


def test_no_row_is_named_where_a_process_dies_of_every_part() -> None:
    assert killers(table("a"), of("a")) == {}
    assert killers(table(*"abcd"), of("a", "c")) == {}
    assert killers(table(), of()) == {}


def test_a_row_that_lives_alone_is_not_named() -> None:
    deaths = iter([*[None] * 2, "died", *[None] * 3])
    assert killers(table(*"abcdefghi"), lambda _: next(deaths)) == {}


@pytest.mark.parametrize(
    ("stage", "died"),
    [
        (SignalOn("bad"), DIED),
        (SignalOn("bad", signal.SIGABRT), "its process died of signal 6 (Aborted)"),
        (CrashOn("bad"), None),  # it raises, which the chain bisects
    ],
)
def test_how_a_process_dies_of_a_row(stage: Any, died: str | None) -> None:
    with closing(Trial((stage,))) as dies:
        assert dies(table("good", "bad")) == died
        assert dies(table("good")) is None


class Locked(CrashOn):
    """Cannot be sent to another process."""

    def __getstate__(self) -> dict[str, Any]:
        return {"lock": threading.Lock()}


@dataclass(frozen=True)
class Threaded(CrashOn):
    """As a client of a server: its thread would not be there behind a fork."""

    def open(self) -> Transform:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        return super().open()


@pytest.mark.parametrize(
    ("stage", "why"),
    [
        (CrashOn("bad", hard=True), r"SandboxDied: its process died of signal 9 \(Killed\), 2 times"),  # by whom?
        (HangOn("bad"), "timeout"),
        (Locked("bad"), "its stages cannot be sent to it: TypeError: cannot pickle '_thread.lock' object"),
        (Threaded("bad"), "its stages start threads where they are opened"),
    ],
)
def test_what_is_not_known_is_not_said(stage: Any, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "TABLE_S", 0.5)
    with pytest.raises(CannotTellError, match=why), closing(Trial((stage,))) as dies:
        dies(table("good", "bad"))


def plan_of(folder: Path, text: str, *stages: Any) -> Plan:
    return plan_over(one_step(*stages), write(folder / "in", {"a.txt": text}))


def go(plan: Plan, out: Path, careful: Careful) -> list[Any]:
    planned = plan.steps[0]
    opened = Opened(planned, planned.step.stages)
    return list(run_shard(opened, Target(str(out / "only")), plan.shards[0], 2, careful))


LINES_IN = "a\nb\n!drop\nc\nd\ne\nf\nbad\ng\nh\ni\n"  # tables of four: the killer is the last row of the second
SEGFAULT = SignalOn("bad")


@pytest.mark.parametrize("careful", [Careful(1, apart=True), Careful(0, apart=True)])
def test_the_row_is_found_in_the_table_where_the_worker_died_or_behind_it(tmp_path: Path, careful: Careful) -> None:
    reports = go(plan_of(tmp_path, LINES_IN, SEGFAULT), tmp_path / "out", careful)
    assert [r for r in reports if isinstance(r, Killed)] == [Killed(((1, 3, f"worker died: {DIED}"),))]
    tried = [RowsNext(t, 0, n) for t, n in ((0, 3), (1, 4)) if t >= (careful.table or 0)]
    assert [r for r in reports if isinstance(r, RowsNext) and r.last] == tried
    assert reports.index(RowsNext(careful.table or 0, 0, 0)) < reports.index(tried[0])
    assert [r.counts for r in reports if isinstance(r, TableDone)] == [
        Counts(4, 0, 3, {"ReadLines.rejected": 1}),
        Counts(4, 0, 3, dead=1),
        Counts(3, 0, 3),
    ]
    assert [row["text"] for row in rows(tmp_path / "out/only/data")] == [*"abcdefghi"]
    assert [(row["text"], row["error"], row["attempt"]) for row in rows(tmp_path / "out/only/dead")] == [
        ("bad", f"worker died: {DIED}", 2)
    ]


def test_rows_that_are_known_are_not_tried_again_and_another_of_their_table_is_found(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "bad 1\na\nb\nbad 2\n", SEGFAULT)
    reports = go(plan, tmp_path / "out", Careful(0, killers=((0, 0, "worker died: before"),), apart=True))
    assert [r for r in reports if isinstance(r, Killed)] == [Killed(((0, 3, f"worker died: {DIED}"),))]
    assert [row["error"] for row in rows(tmp_path / "out/only/dead")] == [
        "worker died: before", f"worker died: {DIED}"
    ]  # fmt: skip


@dataclass(frozen=True)
class Counted:
    """Writes a line to `file` for each process that opens it; only `most` can."""

    file: str
    gpus: float = 0.0
    most: int = 9
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"

    @property
    def resources(self) -> Resources:
        return Resources(gpus=self.gpus, memory_gb=0.5)

    def open(self) -> Transform:
        with Path(self.file).open("a") as file:
            file.write("opened\n")
        if Path(self.file).read_text().count("opened") > self.most:
            raise ValueError("there is no room for another")
        return lambda table: table


@pytest.mark.parametrize(("gpus", "last", "processes"), [(0.0, None, 2), (0.5, None, 1), (0.0, 3, 1)])
def test_a_model_is_not_loaded_beside_itself_and_known_rows_are_not_looked_for(
    tmp_path: Path, gpus: float, last: int | None, processes: int
) -> None:
    opened = tmp_path / "opened"
    plan = plan_of(tmp_path, LINES_IN.replace("bad", "good"), Counted(str(opened), gpus))
    after = after_death(
        Busy(None, Assignment(SHARD), table=1, rows=RowsNext(1, 0, last) if last else None), "", lambda *_: None, True
    )
    reports = go(plan, tmp_path / "out", after.careful)
    assert opened.read_text() == "opened\n" * processes
    by_worker = {(r.first, r.last) for r in reports if isinstance(r, RowsNext) and r.table == 1 and r.last}
    assert by_worker >= {(n, n + 1) for n in range(last or 4)}
    assert reports[-1].counts.out == 10


def test_stages_of_no_module_are_tried_as_well() -> None:
    class Local(SignalOn):
        """As one of a notebook."""

    with closing(Trial((Local("bad"),))) as dies:
        assert dies(table("good", "bad")) == DIED


def test_stages_that_a_process_apart_cannot_open_are_tried_by_the_worker(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of(tmp_path, LINES_IN, Counted(str(tmp_path / "opened"), most=1))
    reports = go(plan, tmp_path / "out", Careful(1, apart=True))
    assert [(r.first, r.last) for r in reports if isinstance(r, RowsNext) and r.last][1:] == [
        (n, n + 1) for n in range(4)
    ]
    assert reports[-1].counts.out == 10
    said = "a process apart cannot tell what a worker died of (the sandbox cannot load its function: ValueError: there"
    assert said in capfd.readouterr().err


def test_the_search_ends_soon_behind_the_table_where_nothing_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "LOOK_S", -1.0)
    reports = go(plan_of(tmp_path, LINES_IN, CrashOn("bad")), tmp_path / "out", Careful(0, apart=True))
    assert next(r for r in reports if isinstance(r, RowsNext) and r.last) == RowsNext(0, 0, 3)
    assert RowsNext(1, 0, 4) not in reports


def test_a_driver_keeps_what_it_is_told_and_counts_anew() -> None:
    state = Busy(None, Assignment(SHARD, errors=1, deaths=2, careful=Careful(1, apart=True)), rows=RowsNext(1, 0, 4))
    assert state.hears(Killed(((1, 3, "died"),)))
    assert state.assignment == Assignment(SHARD, 1, careful=Careful(killers=((1, 3, "died"),)))
    assert state.rows is None
    state.table = 2
    again = after_death(state, "died", lambda *_: None, apart=True)
    assert again.careful == Careful(2, killers=((1, 3, "died"),), apart=True)


@pytest.mark.parametrize(
    ("error", "silent", "last_words", "fell"),
    [
        ("The actor died unexpectedly.\nWorker unexpectedly exits with a connection error code 2.", 0.0, "", True),
        ("The actor died unexpectedly.\nThe actor died because its node has died. Node Id: 3f", 0.0, "", False),
        ("The actor died unexpectedly.", 31.0, "", False),  # it hung, and would again
        ("The actor died unexpectedly.", 0.0, "WorkerBrokenError: the device is dead", False),
    ],
)
def test_only_a_worker_that_fell_by_itself_is_looked_into(
    error: str, silent: float, last_words: str, fell: bool
) -> None:
    state = Busy(None, Assignment(SHARD), last_words=last_words)
    state.heard -= silent
    assert state.fell(RuntimeError(error)) is fell


def test_nor_one_that_the_node_had_no_memory_for() -> None:
    """A process apart would take as much once more."""
    assert not Busy(None, Assignment(SHARD)).fell(OutOfMemoryError("the node was running low on memory"))


class Pays(Upper):
    """For answers."""

    def open_with_ledger(self, ledger: object) -> Transform:
        return self.open()


@pytest.mark.parametrize(
    ("stages", "apart"),
    [
        ((Upper(),), True),
        ((), False),
        ((Upper(), OnGpu("!")), False),
        ((Upper(), Pays()), False),
        ((Upper(), DropSeen()), False),
    ],
)
def test_which_stages_may_be_called_twice(tmp_path: Path, stages: tuple[Any, ...], apart: bool) -> None:
    assert Opened(plan_of(tmp_path, "a\n", Upper()).steps[0], stages).apart is apart
