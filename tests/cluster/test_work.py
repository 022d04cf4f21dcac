"""One shard from its file to its commit, told in reports; and the same shard row by row, when a worker died at it."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from cluster.careful import Careful, RowsNext, careful_apply
from cluster.chain import Chain
from cluster.commit import Target, read_manifests
from cluster.errors import AccountError
from cluster.plan import Plan
from cluster.work import Opened, TableDone, causes_of_death, run_shard
from schemas import columns as c
from schemas.manifest import Counts, Manifest
from stages.stage import Resources, Rows, Transform, WorkerBrokenError
from tests.fakes import LINES, CrashOn, DropWith, ReadLines, Twice, Upper
from tests.runs import one_step, plan_over, rows, texts, write

WHOLE = Careful()
LINES_IN = "a\nb\nspam\nc\n!drop\nbad\n!bad\nd\ne\nf\n"


def go(
    plan: Plan,
    out: Path,
    attempt: int = 1,
    careful: Careful = WHOLE,
    number: int = 0,
) -> list[Any]:
    planned = plan.steps[0]
    opened = Opened(planned, planned.step.stages)
    return list(run_shard(opened, Target(str(out / planned.name)), plan.shards[number], attempt, careful))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_over(one_step(DropWith("spam"), CrashOn("bad"), Upper()), write(tmp_path / "in", {"a.txt": LINES_IN}))


def test_reports_tell_each_table_and_end_in_the_manifest(plan: Plan, tmp_path: Path) -> None:
    *tables, manifest = go(plan, tmp_path / "out")
    assert [(t.table, t.counts, t.deaths) for t in tables] == [
        (0, Counts(4, 0, 3, {"DropWith.spam": 1}), ()),
        (1, Counts(4, 0, 2, {"ReadLines.rejected": 1}, dead=1), (("CrashOn: ValueError", 1),)),
        (2, Counts(1, 0, 1), ()),
    ]
    assert [t.fraction for t in tables] == sorted(t.fraction for t in tables)
    assert tables[-1].fraction == 1.0
    assert manifest.counts == Counts(9, 0, 6, {"DropWith.spam": 1, "ReadLines.rejected": 1}, 1, 1)
    assert sum((t.counts for t in tables), Counts(unreadable=1)) == manifest.counts


def test_manifest_names_the_input_and_what_could_not_be_read(plan: Plan, tmp_path: Path) -> None:
    manifest = go(plan, tmp_path / "out")[-1]
    file = plan.inputs[0]
    assert manifest.source == {"uri": file.uri, "start": 0, "stop": None, "size": file.size, "etag": file.etag}
    assert manifest.unreadable == ((LINES_IN.index("!bad"), "bad line"),)
    assert list(manifest.stages) == ["DropWith", "CrashOn", "Upper"]
    assert (manifest.stages["CrashOn"].rows_in, manifest.stages["CrashOn"].rows_out) == (7, 6)
    assert manifest.seconds >= manifest.stages["Upper"].seconds >= 0.0


def test_attempt_is_recorded_with_dead_rows(plan: Plan, tmp_path: Path) -> None:
    go(plan, tmp_path / "out", attempt=3)
    assert [(row["text"], row["attempt"]) for row in rows(tmp_path / "out/only/dead")] == [("bad", 3)]


def test_careful_table_of_few_rows_goes_row_by_row_and_is_the_same(plan: Plan, tmp_path: Path) -> None:
    whole = go(plan, tmp_path / "whole")
    careful = go(plan, tmp_path / "careful", careful=Careful(table=1))
    tried = [RowsNext(1, 0, 1), RowsNext(1, 1, 2), RowsNext(1, 2, 3)]
    ahead = [r for r in careful if isinstance(r, RowsNext)]
    assert careful[: len(ahead)] == ahead  # of what is before it in the shard
    assert [r for r in ahead if r.last] == tried
    assert ahead[-1] == RowsNext(1, 0, 0)
    assert [r for r in careful if isinstance(r, TableDone)] == whole[:-1]
    for part in ("data", "removed"):
        assert rows(tmp_path / f"careful/only/{part}") == rows(tmp_path / f"whole/only/{part}")


@dataclass(frozen=True)
class Told:
    """Notes the texts that it is given."""

    seen: list[str]
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            self.seen.extend(table.column("text").to_pylist())
            return table

        return apply


def test_table_that_a_worker_died_at_is_tried_before_what_is_before_it(tmp_path: Path) -> None:
    lines = "".join(f"{i}\n" for i in range(12))
    told = Told([])
    plan = plan_over(one_step(told), write(tmp_path / "in", {"a.txt": lines}))
    told.seen.clear()
    whole = go(plan, tmp_path / "whole")
    assert told.seen == [str(i) for i in range(12)]
    told.seen.clear()
    careful = go(plan, tmp_path / "careful", attempt=3, careful=Careful(1, 1, 2))
    assert told.seen == [str(i) for i in [4, 5, 6, 7, *range(4), *range(8, 12)]]
    assert careful[-1].counts == whole[-1].counts == Counts(12, 0, 12)
    assert rows(tmp_path / "careful/only/data") == rows(tmp_path / "whole/only/data")


def test_killers_are_dead_and_not_tried_again(plan: Plan, tmp_path: Path) -> None:
    killers = ((0, 1, "worker died: SIGKILL"), (2, 0, "worker died: out of memory"))
    reports = go(plan, tmp_path / "out", attempt=4, careful=Careful(table=2, killers=killers))
    assert {(r.first, r.last) for r in reports if isinstance(r, RowsNext)} == {(0, 0)}
    dead = [(row["text"], row["stage"], row["error"]) for row in rows(tmp_path / "out/only/dead")]
    assert dead == [
        ("b", "DropWith", "worker died: SIGKILL"),
        ("bad", "CrashOn", "ValueError: cannot take 'bad'"),
        ("f", "DropWith", "worker died: out of memory"),
    ]
    assert texts(tmp_path / "out/only/data") == ["A", "C", "D", "E"]
    assert reports[-1].counts.missing == 0


def test_careful_batch_of_a_table_whose_rows_are_all_killers() -> None:
    table = LINES.empty_table().from_pylist([{"id": "1", "source": "s", "text": "x"}], LINES)
    (batch,) = careful_apply(Chain((Upper(),)), table, 0, 2, Careful(killers=((0, 0, "died"),)))
    assert not isinstance(batch, RowsNext)
    assert (batch.kept.num_rows, batch.counts) == (0, Counts(dead=1))


def test_shard_without_rows_is_committed(tmp_path: Path) -> None:
    plan = plan_over(one_step(Upper()), write(tmp_path / "in", {"a.txt": "", "b.txt": "b\n"}))
    (manifest,) = go(plan, tmp_path / "out", number=0)
    assert manifest.counts == Counts()
    assert texts(tmp_path / "out/only/data") == []


def test_rows_that_are_made_close_the_account(tmp_path: Path) -> None:
    plan = plan_over(one_step(Twice(), DropWith("b")), write(tmp_path / "in", {"a.txt": "a\nb\n"}))
    manifest = go(plan, tmp_path / "out")[-1]
    assert manifest.counts == Counts(2, 2, 2, {"DropWith.b": 2})
    assert [row["parents"] is None for row in rows(tmp_path / "out/only/data")] == [True, False]


def test_error_of_the_source_names_shard_and_step_and_leaves_nothing(tmp_path: Path) -> None:
    class Tears(ReadLines):
        def _read(self, file: Any, piece: Any) -> Any:
            for number, table in enumerate(super()._read(file, piece)):
                if number == 1 and torn:
                    raise OSError("connection reset")
                yield table

    torn: list[int] = []
    plan = plan_over(one_step(Upper(), source=Tears()), write(tmp_path / "in", {"a.txt": LINES_IN}))
    torn.append(1)
    with pytest.raises(OSError, match="connection reset") as caught:
        go(plan, tmp_path / "out")
    assert caught.value.__notes__ == [f"in step only, shard {plan.shards[0].name} ({plan.shards[0].piece.uri})"]
    assert not list((tmp_path / "out").rglob("*.*"))


def test_breach_of_the_contract_commits_nothing(tmp_path: Path) -> None:
    class Loses(Upper):
        def open(self) -> Any:
            return lambda table: table.slice(1)

    plan = plan_over(one_step(Loses()), write(tmp_path / "in", {"a.txt": "a\nb\n"}))
    with pytest.raises(AccountError, match="Loses broke its contract"):
        go(plan, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.*"))


def test_reader_that_is_let_go_leaves_nothing(plan: Plan, tmp_path: Path) -> None:
    planned = plan.steps[0]
    target = Target(str(tmp_path / "out"))
    reports = run_shard(Opened(planned, planned.step.stages), target, plan.shards[0], 1, Careful())
    assert isinstance(next(reports), TableDone)
    reports.close()  # type: ignore[attr-defined]
    assert read_manifests(target.folder) == {}
    assert not list((tmp_path / "out").rglob("*.*"))


def test_same_shard_twice_is_the_same_to_the_row(plan: Plan, tmp_path: Path) -> None:
    first, second = go(plan, tmp_path / "x")[-1], go(plan, tmp_path / "y")[-1]
    assert isinstance(first, Manifest)
    assert (first.files[0], first.counts, first.shard) == (second.files[0], second.counts, second.shard)
    assert rows(tmp_path / "x/only/data") == rows(tmp_path / "y/only/data")


def test_causes_of_death_are_stage_and_kind_of_error() -> None:
    dead = (
        Chain((CrashOn("b"),))
        .apply(
            LINES.empty_table().from_pylist(
                [{"id": str(i), "source": "s", "text": t} for i, t in enumerate("abb")], LINES
            )
        )
        .dead
    )
    assert causes_of_death(dead) == (("CrashOn: ValueError", 2),)
    assert causes_of_death([]) == ()


@dataclass(frozen=True)
class Slowest:
    """Several tables at a time; the first one ends only once all the others have, if `last` says how many there are."""

    tables: int
    last: int
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"

    @property
    def resources(self) -> Resources:
        return Resources(memory_gb=0.5, tables=self.tables)

    def open(self) -> Transform:
        others = threading.Semaphore(0)

        def apply(table: pa.Table) -> pa.Table:
            if table.column("text")[0].as_py() == "0":
                for _ in range(self.last):
                    assert others.acquire(timeout=60)
            else:
                others.release()
            return table

        return apply


def test_tables_that_overtake_each_other_come_out_in_order(tmp_path: Path) -> None:
    lines = "".join(f"{i}\n" for i in range(40))
    # 10 tables, 3 at a time: five may go past the first before it has to be waited for.
    plan = plan_over(one_step(Slowest(3, last=5), CrashOn("17")), write(tmp_path / "in", {"a.txt": lines}))
    reports = go(plan, tmp_path / "out")
    assert [report.table for report in reports[:-1]] == list(range(10))
    assert texts(tmp_path / "out/only/data") == [str(i) for i in range(40) if i != 17]
    assert reports[-1].counts == Counts(40, 0, 39, dead=1)


def test_after_a_death_the_tables_that_may_have_caused_it_go_one_by_one(tmp_path: Path) -> None:
    lines = "".join(f"{i}\n" for i in range(1, 41))
    plan = plan_over(one_step(InTurn(2)), write(tmp_path / "in", {"a.txt": lines}))
    reports = go(plan, tmp_path / "out", attempt=2, careful=Careful(table=3))
    assert [r.first for r in reports if isinstance(r, RowsNext) and r.last] == [0, 1, 2, 3]
    assert texts(tmp_path / "out/only/data") == [str(i) for i in range(1, 41)]


@dataclass(frozen=True)
class InTurn:
    """Raises when two tables are in it at one time and one of them may have taken a worker with it: lines 1 to 28."""

    tables: int
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"

    @property
    def resources(self) -> Resources:
        return Resources(memory_gb=0.5, tables=self.tables)

    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            suspect = int(table.column("text")[0].as_py()) <= 28
            assert suspect == (threading.current_thread() is threading.main_thread())
            return table

        return apply


def test_error_of_one_table_is_the_shards_error(tmp_path: Path) -> None:
    plan = plan_over(one_step(Slowest(2, last=0), Broken()), write(tmp_path / "in", {"a.txt": "1\n2\n3\n4\n5\n"}))
    with pytest.raises(WorkerBrokenError, match="dead"):
        go(plan, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.*"))


class Broken(Upper):
    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            raise WorkerBrokenError("dead")

        return apply
