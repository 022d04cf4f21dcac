"""Rows leave the stream by verdict, error or bisection, and every one of them is counted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from cluster.chain import Batch, Chain, add_costs, killed_row
from cluster.errors import AccountError, RunError
from schemas import columns as c
from schemas.manifest import Counts, StageCost
from stages.stage import EXECUTION, Resources, Rows, Transform, set_columns
from tests.fakes import LINES, CrashOn, DropWith, FailRow, Twice, Upper


@dataclass(frozen=True)
class Does:
    """Whatever `what` does with a table."""

    what: Callable[[pa.Table], Any]
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def open(self) -> Transform:
        return self.what


class Makes(Does):
    adds: ClassVar[pa.Schema] = pa.schema([c.PARENTS])
    rows: ClassVar[Rows] = "any"


class AddsWords(Does):
    adds: ClassVar[pa.Schema] = pa.schema([c.N_WORDS])


def table(*texts: str) -> pa.Table:
    return pa.table({"id": [f"{i}" for i in range(len(texts))], "text": texts}, pa.schema([c.ID, c.BODY]))


def texts(tables: list[pa.Table], column: str = "text") -> list[Any]:
    return [value for t in tables for value in t.column(column).to_pylist()]


def breach(stage: Any, *rows: str) -> str:
    with pytest.raises(AccountError) as caught:
        Chain((stage,)).apply(table(*rows))
    return str(caught.value)


def test_stages_follow_one_another() -> None:
    batch = Chain((Upper(), DropWith("B"), Does(lambda t: t))).apply(table("a", "b"))
    assert texts([batch.kept]) == ["A"]
    assert batch.counts == Counts(dropped={"DropWith.B": 1})
    assert list(batch.costs) == ["Upper", "DropWith", "Does"]
    assert (batch.costs["DropWith"].rows_in, batch.costs["DropWith"].rows_out) == (2, 1)


def test_no_stages_keep_the_table() -> None:
    batch = Chain(()).apply(table("a"))
    assert (texts([batch.kept]), batch.counts, batch.costs) == (["a"], Counts(), {})


def test_dropped_rows_carry_stage_and_reason_and_what_they_were() -> None:
    batch = Chain((Upper(), DropWith("B"), Upper())).apply(table("a", "b", "bb"))
    (removed,) = batch.removed
    assert removed.select(["text", "drop_stage", "drop_reason"]).to_pylist() == [
        {"text": "B", "drop_stage": "DropWith", "drop_reason": "B"},
        {"text": "BB", "drop_stage": "DropWith", "drop_reason": "B"},
    ]
    assert not {"drop_reason", "drop_stage", "error"} & set(batch.kept.column_names)


def test_stages_behind_the_last_row_are_not_called() -> None:
    def never(_: pa.Table) -> pa.Table:
        raise AssertionError("called without rows")

    batch = Chain((DropWith("a"), Does(never))).apply(table("a", "a"))
    assert (batch.kept.num_rows, batch.counts.dropped) == (0, {"DropWith.a": 2})


def test_rows_that_a_stage_gives_up_are_dead_even_when_it_drops_them_too() -> None:
    both = Does(lambda t: set_columns(
        t, error=pa.array(["KeyError: x", None], c.TEXT), drop_reason=pa.array(["spam", "spam"])
    ))  # fmt: skip
    batch = Chain((both,)).apply(table("a", "b"), attempt=3)
    (dead,) = batch.dead
    assert dead.to_pylist() == [
        {"id": "0", "text": "a", "stage": "Does", "error": "KeyError: x", "traceback": "", "attempt": 3}
    ]
    assert batch.counts == Counts(dead=1, dropped={"Does.spam": 1})


def test_row_that_raises_is_found_and_the_rest_goes_on_in_order() -> None:
    batch = Chain((CrashOn("bad"), Upper())).apply(table(*"abc", "bad", *"de", "bad", "f"), attempt=2)
    assert texts([batch.kept]) == list("ABCDEF")
    assert [(d["id"], d["stage"], d["error"], d["attempt"]) for t in batch.dead for d in t.to_pylist()] == [
        ("3", "CrashOn", "ValueError: cannot take 'bad'", 2),
        ("6", "CrashOn", "ValueError: cannot take 'bad'", 2),
    ]
    assert batch.counts == Counts(dead=2)
    assert "in CrashOn(word='bad', hard=False, once=None) on 1 rows, first id 3" in texts(batch.dead, "traceback")[0]


def test_all_rows_may_die() -> None:
    batch = Chain((CrashOn("bad"), Upper())).apply(table("bad", "bad", "bad"))
    assert (batch.kept.num_rows, batch.counts) == (0, Counts(dead=3))


def test_stage_that_fails_once_loses_nothing() -> None:
    calls: list[int] = []

    def flaky(t: pa.Table) -> pa.Table:
        calls.append(t.num_rows)
        if len(calls) == 1:
            raise OSError("no space left on device")
        return t

    batch = Chain((Does(flaky),)).apply(table("a", "b"))
    assert (texts([batch.kept]), calls, batch.counts) == (["a", "b"], [2, 2], Counts())


def test_bisecting_costs_a_logarithm_of_calls() -> None:
    calls: list[int] = []

    def poisoned(t: pa.Table) -> pa.Table:
        calls.append(t.num_rows)
        return CrashOn("bad").open()(t)

    Chain((Does(poisoned),)).apply(table(*["a"] * 500, "bad", *["a"] * 523))
    assert len(calls) == 2 + 2 * 10


def test_made_rows_are_counted_as_emitted() -> None:
    batch = Chain((Twice(), Upper())).apply(table("a", "b"))
    assert texts([batch.kept]) == ["A", "B", "A", "B"]
    assert batch.counts == Counts(emitted=2)
    assert batch.kept.column("parents").to_pylist() == [None, None, ["0"], ["1"]]


def test_made_rows_add_up_when_some_die_and_some_are_dropped() -> None:
    batch = Chain((CrashOn("bad"), Twice(), DropWith("c"), FailRow("d"))).apply(table("a", "bad", "c", "d"))
    account = Counts(rows_in=4, out=batch.kept.num_rows) + batch.counts
    assert account == Counts(4, 3, 2, {"DropWith.c": 2}, dead=3)
    assert account.missing == 0


def test_rows_made_by_a_stage_that_dies_of_some_add_up() -> None:
    def twice_but(t: pa.Table) -> pa.Table:
        return Twice().open()(CrashOn("bad").open()(t))

    batch = Chain((Makes(twice_but),)).apply(table("a", "bad", "b"))
    assert (batch.kept.num_rows, batch.counts) == (4, Counts(emitted=2, dead=1))


def test_row_may_be_replaced_by_its_heirs() -> None:
    def merge(t: pa.Table) -> pa.Table:
        ids = [None, *t.column("id").to_pylist()]  # a null among the parents is no parent
        return set_columns(t.slice(0, 1), id=pa.array(["all"]), parents=pa.array([ids], c.PARENTS.type))

    batch = Chain((Makes(merge),)).apply(table("a", "b", "c"))
    assert (batch.kept.column("id").to_pylist(), batch.counts) == (["all"], Counts(emitted=-2))


def test_row_without_heir_is_a_breach() -> None:
    def half(t: pa.Table) -> pa.Table:
        return set_columns(t.slice(1), parents=pa.nulls(t.num_rows - 1, c.PARENTS.type))

    assert breach(Makes(half), "a", "b") == (
        "Makes broke its contract: 1 rows have no heir, first id 0: keep the row, or name it in 'parents'"
    )


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (lambda t: t.slice(1), "it returned other rows than it was given (2 in, 1 out)"),
        (lambda t: pa.concat_tables([t, t]), "it returned other rows than it was given (2 in, 4 out)"),
        (lambda t: t.take([1, 0]), "it returned other rows than it was given (2 in, 2 out)"),
        (lambda t: t.drop_columns(["id"]), "it lost 'id'"),
        (lambda t: t.drop_columns(["text"]), "it lost 'text'"),
        (lambda t: None, "it returned NoneType, not a table"),
        (lambda t: t.to_pylist(), "it returned list, not a table"),
        (
            lambda t: t.set_column(1, "text", t.column("text").cast(pa.string())),
            "it made 'text' string, it was large_string",
        ),
    ],
)
def test_breach_of_the_contract_says_what_was_returned(what: Callable[[pa.Table], Any], message: str) -> None:
    assert breach(Does(what), "a", "b") == f"Does broke its contract: {message}"


def test_columns_that_a_stage_says_it_adds_must_come() -> None:
    assert breach(AddsWords(lambda t: t), "a") == "AddsWords broke its contract: it did not add 'n_words'"
    wrong = AddsWords(lambda t: t.append_column("n_words", pa.array([1], pa.int32())))
    assert breach(wrong, "a") == "AddsWords broke its contract: it added 'n_words' as int32, its schema says int64"


def test_transient_columns_may_be_let_go() -> None:
    rows = table("a").append_column(c.HTML, pa.array(["<p>"], c.TEXT))
    batch = Chain((Does(lambda t: t.drop_columns(["html"])),)).apply(rows)
    assert batch.kept.column_names == ["id", "text"]


def test_breach_behind_a_bisection_is_told_too() -> None:
    def loses_rows_unless_bad(t: pa.Table) -> pa.Table:
        return CrashOn("bad").open()(t).slice(1)

    with pytest.raises(AccountError, match="returned other rows"):
        Chain((Does(loses_rows_unless_bad),)).apply(table("a", "bad"))


def test_what_headrace_says_on_purpose_is_not_bisected() -> None:
    def refuses(_: pa.Table) -> pa.Table:
        raise RunError("the model server is gone")

    with pytest.raises(RunError, match="the model server is gone"):
        Chain((Does(refuses),)).apply(table("a", "b"))


def test_table_in_chunks_is_the_same_as_in_one() -> None:
    chunked = pa.concat_tables([table("a", "bad"), table("b", "c").slice(0, 1)])
    batch = Chain((Upper(), CrashOn("BAD"), DropWith("B"))).apply(chunked)
    assert (texts([batch.kept]), batch.counts) == (["A"], Counts(dead=1, dropped={"DropWith.B": 1}))


def test_table_without_rows_passes() -> None:
    assert Chain((Upper(), DropWith("a"))).apply(table()).kept.num_rows == 0


def test_source_counts_its_rows_and_rejects_its_own() -> None:
    rows = pa.Table.from_pylist(
        [{"id": "1", "text": "a"}, {"id": "2", "text": "!drop", "drop_reason": "rejected"}], LINES
    )
    batch = Chain(()).admit(rows, "ReadLines")
    assert batch.counts == Counts(rows_in=2, dropped={"ReadLines.rejected": 1})
    assert (texts([batch.kept]), texts(batch.removed, "drop_stage")) == (["a"], ["ReadLines"])


def test_row_with_columns_called_as_those_of_a_failure_can_die() -> None:
    rows = table("bad").append_column("stage", pa.array([7])).append_column("attempt", pa.array(["x"]))
    for stage in (CrashOn("bad"), FailRow("bad")):
        (dead,) = Chain((stage,)).apply(rows).dead
        assert dead.select(["stage", "attempt"]).to_pylist() == [{"stage": type(stage).__name__, "attempt": 1}]


def test_killed_row_is_dead_without_a_traceback() -> None:
    dead = killed_row(table("x"), "Upper", "worker died: SIGKILL", 4).to_pylist()
    assert dead == [
        {"id": "0", "text": "x", "stage": "Upper", "error": "worker died: SIGKILL", "traceback": "", "attempt": 4}
    ]


def test_stage_that_cannot_open_is_named() -> None:
    class Broken(Upper):
        def open(self) -> Transform:
            raise FileNotFoundError("model.bin")

    with pytest.raises(FileNotFoundError) as caught:
        Chain((Broken(),))
    assert caught.value.__notes__ == ["while opening Broken()"]


def test_stage_that_cannot_open_is_told_with_the_settings_at_fault_alone() -> None:
    @dataclass(frozen=True)
    class Model(Upper):
        engine: str = field(default="openai:http://host:8000/v1?concurrency=8#m", metadata=EXECUTION)
        other: str = "http://elsewhere"
        size: int = 3
        most: int = 7

        def open(self) -> Transform:
            raise FileNotFoundError("http://host:8000/v1: nobody there; size is too much")

    with pytest.raises(FileNotFoundError) as caught:
        Chain((Model(),))
    assert caught.value.__notes__ == [
        "while opening Model(size=3, engine='openai:http://host:8000/v1?concurrency=8#m')"
    ]


def test_batches_join_and_costs_add_up() -> None:
    first = Batch(table("a"), counts=Counts(rows_in=2, dead=1), costs={"A": StageCost(2, 1)})
    second = Batch(table(), counts=Counts(dropped={"B.x": 1}), costs={"B": StageCost(1, 0), "A": StageCost(1, 1)})
    joined = first.join(second)
    assert (joined.kept.num_rows, joined.counts) == (0, Counts(2, 0, 0, {"B.x": 1}, 1))
    assert joined.costs == add_costs(first.costs, second.costs) == {"A": StageCost(3, 2), "B": StageCost(1, 0)}
