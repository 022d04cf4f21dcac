"""A run brings an output to what the plan says: it goes on, it refuses what is not its own, it ends with its totals."""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from cluster import run as module
from cluster.errors import AccountError, ConfigError, DeadRowsError, RunError, ShardError
from cluster.local import LocalRunner
from cluster.plan import Plan
from cluster.recipe import Recipe, Step
from cluster.storage import Folder
from stages.content_hash import ContentHash
from stages.read_parquet import ReadParquet
from stages.stage import Transform
from tests.fakes import CrashOn, DropWith, ReadLines, Upper
from tests.runs import account, dataset, manifests, one_step, plan_over, rows, run_local, texts, two_steps, write

FILES = {"a.txt": "a\nspam\nb\n", "b.txt": "c\nb\n"}


@dataclass(frozen=True)
class Newer(Upper):
    """Upper, of which there is another version."""

    version: ClassVar[int] = 1


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """All that is in a folder, hidden files too, with the time of the last change."""
    return {str(f): (f.stat().st_mtime_ns, f.read_bytes()) for f in folder.rglob("*") if f.is_file()}


def refusal(plan: Plan, out: Path, **options: Any) -> list[str]:
    """The lines with which `out` is refused; it is left as it was."""
    before = tree(out)
    with pytest.raises(ConfigError) as caught:
        run_local(plan, out, **options)
    assert tree(out) == before
    return str(caught.value).splitlines()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return Path(write(tmp_path / "in", FILES))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_totals_are_returned_and_written(source: Path, out: Path) -> None:
    result = run_local(plan_over(two_steps(DropWith("spam")), source), out)
    assert {k: result[k] for k in ("recipe", "status", "final")} == {
        "recipe": "twice", "status": "done", "final": "dedup",
    }  # fmt: skip
    assert account(result) == [
        {"name": "filter", "shards": 2, "rows_in": 5, "emitted": 0, "out": 4, "dropped": {"DropWith.spam": 1},
         "dead": 0, "unreadable": 0},
        {"name": "dedup", "shards": 2, "rows_in": 4, "emitted": 0, "out": 3,
         "dropped": {"DropDuplicates.duplicate": 1}, "dead": 0, "unreadable": 0},
    ]  # fmt: skip
    assert json.loads((out / "run.json").read_text()) == result
    assert result["cpu_seconds"] == pytest.approx(sum(s["cpu_seconds"] for s in result["steps"]), abs=0.002)


def test_step_json_says_what_the_step_is(source: Path, out: Path) -> None:
    plan = plan_over(two_steps(DropWith("spam")), source)
    run_local(plan, out)
    first, second = (json.loads((out / name / "step.json").read_text()) for name in ("filter", "dedup"))
    assert (first["recipe"], first["step"], first["upstream"], second["upstream"]) == (
        "twice",
        "filter",
        None,
        "filter",
    )
    assert first["stages"] == ["DropWith", "ContentHash"]
    assert first["fingerprint"] == plan.steps[0].fingerprint
    assert [i["uri"].rpartition("/")[2] for i in first["inputs"]] == ["a.txt", "b.txt"]
    assert second["inputs"] == second["index"] == []
    assert sum('"uri"' in line for line in (out / "filter/step.json").read_text().splitlines()) == 2  # a line each
    assert first["schema"]["text"] == "large_string"


def test_reasons_stand_in_the_order_of_the_stages(tmp_path: Path, out: Path) -> None:
    write(tmp_path / "in", {"a.txt": "z\na1\na2\nb\n!drop\nc\n"})
    recipe = one_step(DropWith("z"), Upper(), DropWith("A"), DropWith("B"))
    result = run_local(plan_over(recipe, tmp_path / "in"), out)
    assert list(result["steps"][0]["dropped"].items()) == [
        ("ReadLines.rejected", 1), ("DropWith.A", 2), ("DropWith.B", 1), ("DropWith.z", 1),
    ]  # fmt: skip


def test_finished_run_is_left_as_it_is(source: Path, out: Path) -> None:
    plan = plan_over(two_steps(DropWith("spam")), source)
    first = run_local(plan, out)
    before = {name: what for name, what in tree(out).items() if not name.endswith("n.json") and "step.json" not in name}
    second = run_local(plan, out)
    after = tree(out)
    assert {n: after[n] for n in before if "status" not in n} == {n: w for n, w in before.items() if "status" not in n}
    assert account(second) == account(first)


def test_run_goes_on_where_manifests_are_missing(source: Path, out: Path) -> None:
    plan = plan_over(two_steps(DropWith("spam")), source)
    run_local(plan, out)
    expected, written = dataset(out), {m: m.stat().st_mtime_ns for m in manifests(out)}
    lost = [min(written), max(written)]
    for manifest in lost:
        manifest.unlink()
    run_local(plan, out)
    assert dataset(out) == expected
    again = [m for m in manifests(out) if m.stat().st_mtime_ns != written[m]]
    assert sorted(again) == lost


def test_finished_later_step_does_not_need_the_earlier_one_to_stay(source: Path, out: Path) -> None:
    plan = plan_over(two_steps(), source)
    run_local(plan, out)
    expected = dataset(out)
    Folder(str(out / "filter")).clear()
    run_local(plan, out)
    assert dataset(out) == expected


@pytest.mark.parametrize(
    ("first", "second", "differences"),
    [
        ((DropWith("a"),), (DropWith("b"),), ["  DropWith.word was 'a', is 'b'"]),
        ((Upper(),), (Upper(), DropWith("x")), ["  step only: DropWith was added"]),
        ((DropWith("x"), Upper()), (Upper(),), ["  step only: DropWith was removed"]),
        ((DropWith("x"), Upper()), (Upper(), DropWith("x")), ["  step only: its stages stand in another order"]),
        (
            (DropWith("a"), DropWith("b")),
            (DropWith("c"), DropWith("b")),
            ["  DropWith.word was 'a', is 'c'"],
        ),
        ((DropWith("a"),), (DropWith("a"), DropWith("a")), ["  step only: DropWith (2) was added"]),
        (
            (CrashOn("x"), Upper()),
            (CrashOn("y", hard=True), DropWith("z")),
            [
                "  CrashOn.hard was False, is True",
                "  CrashOn.word was 'x', is 'y'",
                "  step only: Upper was removed",
                "  step only: DropWith was added",
            ],
        ),
    ],
)
def test_other_stages_or_settings_are_refused(
    source: Path, out: Path, first: tuple[Any, ...], second: tuple[Any, ...], differences: list[str]
) -> None:
    run_local(plan_over(one_step(*first), source), out, max_dead=1.0)
    assert refusal(plan_over(one_step(*second), source), out) == [
        f"output {out} holds another run's data (--redo only to do it all again, --fresh to start over, "
        "or give another --output):",
        *differences,
    ]


def test_other_settings_of_the_source_are_refused(source: Path, out: Path) -> None:
    run_local(plan_over(one_step(), source), out)
    assert refusal(plan_over(one_step(source=ReadLines(2)), source), out)[1:] == ["  ReadLines.table_rows was 4, is 2"]


def test_other_version_of_a_stage_is_refused(source: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_local(plan_over(one_step(Newer()), source), out)
    monkeypatch.setattr(Newer, "version", 2)
    assert refusal(plan_over(one_step(Newer()), source), out)[1:] == ["  Newer: version was 1, is 2"]


def test_other_inputs_are_refused(source: Path, out: Path) -> None:
    run_local(plan_over(one_step(), source), out)
    (source / "a.txt").unlink()
    write(source, {"b.txt": "changed\n", "c.txt": "new\n"})
    os.utime(source / "b.txt", (1, 1))
    first, second, third = refusal(plan_over(one_step(), source), out)[1:]
    assert first == f"  input file://{source}/a.txt was removed"
    assert second.startswith(f"  input file://{source}/b.txt has changed: (4, '")
    assert second.endswith("(8, '1.0') now")
    assert third == f"  input file://{source}/c.txt was added"


def test_other_recipe_is_refused(source: Path, out: Path) -> None:
    run_local(plan_over(one_step(), source), out)
    other = replace(one_step(), name="other")
    assert refusal(plan_over(other, source), out)[1:] == ["  step only of recipe lines"]
    assert refusal(plan_over(two_steps(), source), out)[1:] == ["  step only of recipe lines"]


def later(recipe: Recipe, **changes: Any) -> Recipe:
    return replace(recipe, steps=(recipe.steps[0], replace(recipe.steps[1], **changes)))


def test_other_later_step_is_refused(source: Path, out: Path) -> None:
    run_local(plan_over(later(two_steps(), stages=(DropWith("a"), DropWith("b"))), source), out)
    for stages in ((DropWith("c"), DropWith("b")), (DropWith("b"), DropWith("a"))):
        lines = refusal(plan_over(later(two_steps(), stages=stages), source), out)
        assert lines[1] == f"  DropWith.word was 'a', is {stages[0].word!r}"
    lines = refusal(plan_over(later(two_steps(), source=ReadParquet(table_bytes=5)), source), out)
    assert "  ReadParquet.table_bytes was 32000000, is 5" in lines


def test_change_of_an_earlier_step_is_told_once(source: Path, out: Path) -> None:
    run_local(plan_over(two_steps(DropWith("a")), source), out)
    assert refusal(plan_over(two_steps(DropWith("b")), source), out)[1:] == ["  DropWith.word was 'a', is 'b'"]


def test_later_step_over_another_earlier_step_that_is_gone_is_refused(source: Path, out: Path) -> None:
    run_local(plan_over(two_steps(DropWith("a")), source), out)
    Folder(str(out / "filter")).clear()
    (line,) = refusal(plan_over(two_steps(DropWith("b")), source), out)[1:]
    assert line == "  step dedup was made from another filter"


def test_folder_of_somebody_else_is_refused_even_when_fresh(source: Path, out: Path) -> None:
    write(out, {"thesis.tex": "", "photos/cat.jpg": "", "only/notes.txt": ""})
    for fresh in (False, True):
        assert refusal(plan_over(one_step(), source), out, fresh=fresh) == [
            f"output {out}: holds files that are not headrace's: only/, photos/, thesis.tex"
        ]


@pytest.mark.parametrize("text", ["[]", "{}", '{"recipe": "lines"}', '"x"'])
def test_step_json_of_somebody_else_is_refused(source: Path, out: Path, text: str) -> None:
    write(out, {"only/step.json": text})
    assert refusal(plan_over(one_step(), source), out) == [f"output {out}: holds files that are not headrace's: only/"]


def test_step_json_that_is_broken_is_named(source: Path, out: Path) -> None:
    write(out, {"only/step.json": "{"})
    assert refusal(plan_over(one_step(), source), out)[0].startswith(f"file://{out}/only/step.json: not JSON: ")


def test_output_that_is_a_file_or_cannot_be_written_is_refused(source: Path, tmp_path: Path) -> None:
    write(tmp_path, {"file": "x"})
    with pytest.raises(ConfigError, match=r"output .*file: "):
        run_local(plan_over(one_step(), source), tmp_path / "file")
    with pytest.raises(ConfigError, match=r"(output|cannot write to) .*file/out: "):
        run_local(plan_over(one_step(), source), tmp_path / "file" / "out")


def test_hidden_files_and_empty_folders_are_no_strangers(source: Path, out: Path) -> None:
    write(out, {".gitkeep": "", "only/.step.json.writing-1-0a1b2c3d": "{"})
    (out / "empty").mkdir()
    assert run_local(plan_over(one_step(), source), out)["status"] == "done"
    assert not list(out.rglob("*.writing-*"))


def test_killed_writers_leave_no_temporary_files_behind(source: Path, out: Path) -> None:
    plan = plan_over(two_steps(), source)
    run_local(plan, out)
    left = ("", "filter/", "filter/data/", "dedup/manifests/", "dedup/shuffle/rows/", "dedup/shuffle/verdicts/")
    write(out, {f"{under}.x.writing-1-0a1b2c3d": "" for under in left})
    run_local(plan, out)
    assert not list(out.rglob(".*"))


def test_fresh_takes_away_what_the_output_holds(source: Path, out: Path) -> None:
    run_local(plan_over(two_steps(DropWith("a")), source), out)
    write(out, {"report.html": "<p>"})
    plan = plan_over(one_step(DropWith("b")), source)
    result = run_local(plan, out, fresh=True)
    assert sorted(f.name for f in out.iterdir()) == ["only", "run.json", "status.json"]
    assert result["steps"][0]["dropped"] == {"DropWith.b": 2}


def test_fresh_run_is_a_run_over_nothing(source: Path, out: Path) -> None:
    assert run_local(plan_over(one_step(), source), out, fresh=True)["status"] == "done"


def test_run_that_is_going_on_has_no_totals(source: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Looks(LocalRunner):
        def __enter__(self) -> "Looks":
            seen.append((out / "run.json").exists())
            return self

    seen: list[bool] = []
    plan = plan_over(one_step(), source)
    run_local(plan, out)
    module.run(plan, str(out), Looks(), module.Options(quiet=True))
    assert seen == [False]


def test_too_many_dead_rows_fail_the_run_and_a_larger_limit_lets_it_go_on(tmp_path: Path, out: Path) -> None:
    plan = plan_over(two_steps(CrashOn("bad")), write(tmp_path / "in", {"a.txt": "a\nbad\nb\n"}))
    with pytest.raises(DeadRowsError, match="step filter: 1 of 3 rows died"):
        run_local(plan, out)
    failed = json.loads((out / "run.json").read_text())
    assert (failed["status"], [s["name"] for s in failed["steps"]]) == ("failed", ["filter"])
    written = {m: m.stat().st_mtime_ns for m in manifests(out)}
    assert run_local(plan, out, max_dead=0.34)["status"] == "done"
    assert {m: m.stat().st_mtime_ns for m in written} == written


def test_failed_run_says_so_whatever_ended_it(source: Path, out: Path) -> None:
    class Stopped(Upper):
        def open(self) -> Transform:
            def stop(table: Any) -> Any:
                raise KeyboardInterrupt

            return stop

    with pytest.raises(KeyboardInterrupt):
        run_local(plan_over(one_step(Stopped()), source), out)
    assert json.loads((out / "run.json").read_text())["status"] == "failed"
    assert not list(out.rglob("*.parquet"))


def test_stage_that_cannot_open_fails_the_run_with_its_name(source: Path, out: Path) -> None:
    class Lost(Upper):
        def open(self) -> Transform:
            raise FileNotFoundError("model.bin")

    with pytest.raises(RunError, match=r"^step only cannot start: FileNotFoundError: model.bin\nwhile opening .*Lost"):
        run_local(plan_over(one_step(Lost()), source), out)


class Flaky(ReadLines):
    """Fails with `error` while there are `failures`, once it may."""

    error: ClassVar[Exception] = OSError("connection reset")
    failures: ClassVar[list[int]] = []

    def _read(self, file: Any, piece: Any) -> Any:
        for table in super()._read(file, piece):
            yield table
            if self.failures:
                self.failures.pop()
                raise self.error


def test_transient_error_costs_an_attempt(source: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.local.WAIT_S", 0.0)
    plan = plan_over(one_step(source=Flaky()), source)
    monkeypatch.setattr(Flaky, "failures", [1, 1])
    assert account(run_local(plan, out))[0]["out"] == 5
    monkeypatch.setattr(Flaky, "failures", [1, 1, 1])
    with pytest.raises(
        ShardError, match=r"step only, shard a-.* \(file:.*a.txt\): OSError: connection reset \(attempt 3"
    ):
        run_local(plan, out, fresh=True)


def test_permanent_error_is_not_tried_again(source: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_over(one_step(source=Flaky()), source)
    monkeypatch.setattr(Flaky, "failures", [1])
    monkeypatch.setattr(Flaky, "error", ValueError("no such codec"))
    with pytest.raises(ShardError, match=r"ValueError: no such codec \(attempt 1\)"):
        run_local(plan, out)


def test_shards_before_the_one_that_failed_are_kept(source: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class SecondFails(LocalRunner):
        def _run_shard(self, opened: Any, target: Any, shard: Any, progress: Any) -> None:
            if shard.name.startswith("b-"):
                raise RunError("stopped")
            super()._run_shard(opened, target, shard, progress)

    plan = plan_over(one_step(), source)
    with pytest.raises(RunError, match="stopped"):
        module.run(plan, str(out), SecondFails(), module.Options(quiet=True))
    (first,) = (m.stat().st_mtime_ns for m in manifests(out))
    run_local(plan, out)
    assert min(m.stat().st_mtime_ns for m in manifests(out)) == first
    assert texts(out / "only/data") == ["a", "spam", "b", "c", "b"]


def test_output_is_one_however_it_is_spelt(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = plan_over(one_step(), source)
    run_local(plan, "out")
    written = {m: m.stat().st_mtime_ns for m in manifests(tmp_path / "out")}
    assert len(written) == 2
    for spelling in ("out/", "./out", str(tmp_path / "out"), f"file://{tmp_path}/out/"):
        assert run_local(plan, spelling)["steps"][0]["out"] == 5
    assert {m: m.stat().st_mtime_ns for m in manifests(tmp_path / "out")} == written
    assert sorted(f.name for f in tmp_path.iterdir()) == ["in", "out"]


def test_run_in_memory_is_the_run_on_disk(source: Path, out: Path) -> None:
    plan = plan_over(two_steps(DropWith("spam"), CrashOn("c")), source)
    on_disk = run_local(plan, out, max_dead=1.0)
    in_memory = run_local(plan, "memory://run-test/out", max_dead=1.0)
    assert account(in_memory) == account(on_disk)
    names = [str(f.relative_to(out)) for f in out.rglob("*.parquet")]
    found = MemoryFileSystem().find("/run-test/out")
    assert sorted(n.removeprefix("/run-test/out/") for n in found if n.endswith(".parquet")) == sorted(names)
    again = run_local(plan, "memory://run-test/out/", max_dead=1.0)
    assert account(again) == account(on_disk)
    run_local(plan_over(one_step(), source), "memory://run-test/out", fresh=True)
    assert Folder("memory://run-test/out").folders() == ["only"]
    MemoryFileSystem.store.clear()


def test_output_whose_address_would_name_many_places_is_refused(source: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"output memory://out\[1\]: an address with \*, \? or \[ may name many places"
    ):
        run_local(plan_over(one_step(), source), "memory://out[1]")


def test_names_may_be_of_any_script_and_alike(tmp_path: Path, out: Path) -> None:
    files = {"größe/часть.txt": "a\n", "x/часть.txt": "b\n", "x/a b#1?.txt": "c\n", "[1]/part.txt": "d\n"}
    plan = plan_over(two_steps(), write(tmp_path / "in é", files))
    result = run_local(plan, out / "sortie é")
    assert account(result)[1]["out"] == 4
    sources = {row["text"]: row["source"] for row in rows(out / "sortie é/dedup/data")}
    assert sources["a"] == f"file://{tmp_path}/in é/größe/часть.txt#0"


def test_file_without_rows_among_others_is_a_shard_of_every_step(tmp_path: Path, out: Path) -> None:
    plan = plan_over(
        two_steps(DropWith("all")), write(tmp_path / "in", {"a.txt": "", "b.txt": "all\nall\n", "c.txt": "c\n"})
    )
    assert [(s["shards"], s["out"]) for s in run_local(plan, out)["steps"]] == [(3, 1), (3, 1)]


def test_run_of_which_nothing_is_kept_is_done(tmp_path: Path, out: Path) -> None:
    plan = plan_over(two_steps(DropWith("all")), write(tmp_path / "in", {"a.txt": "all\n"}))
    assert [s["out"] for s in run_local(plan, out)["steps"]] == [0, 0]


def test_three_steps_follow_one_another(source: Path, out: Path) -> None:
    first, second = two_steps(DropWith("spam")).steps
    third = Step("last", ReadParquet(), (Upper(),), after="dedup")
    run_local(plan_over(Recipe("three", (first, second, third)), source), out)
    assert sorted(texts(out / "last/data")) == ["A", "B", "C"]


def test_two_steps_may_read_the_same_one(source: Path, out: Path) -> None:
    first = Step("first", ReadLines(), (ContentHash(),))
    branches = [Step(name, ReadParquet(), (DropWith(name),), after="first") for name in ("a", "b")]
    result = run_local(plan_over(Recipe("tree", (first, *branches)), source), out)
    assert [(s["name"], s["out"]) for s in result["steps"]] == [("first", 5), ("a", 3), ("b", 3)]


def test_shard_that_an_earlier_step_got_later_makes_a_dedup_begin_again(source: Path, out: Path) -> None:
    """What a replay does: the verdicts of a shuffle hold for all rows or for none."""
    plan = plan_over(two_steps(), source)
    run_local(plan, out)
    first = next(m for m in sorted((out / "filter/manifests").iterdir()) if m.name.startswith("a-"))
    text = first.read_text()
    expected = sorted(texts(out / "dedup/data"))
    for left in out.glob("dedup/*/a-*"):
        left.unlink()
    judged = out / "dedup/shuffle/plan.json"
    judged.write_text(json.dumps({"shards": [first.stem.replace("a-", "b-")], "partitions": 1}))
    assert text == first.read_text()
    (verdicts,) = (out / "dedup/shuffle/verdicts").iterdir()
    before = verdicts.stat().st_mtime_ns
    run_local(plan, out)
    assert verdicts.stat().st_mtime_ns > before
    assert sorted(texts(out / "dedup/data")) == expected


def test_rows_that_get_lost_between_two_steps_fail_the_run(source: Path, out: Path) -> None:
    class Skips(ReadParquet):
        def open(self) -> Any:
            return lambda file, piece: (table.slice(1) for table in ReadParquet().open()(file, piece))

    first, _ = two_steps().steps
    recipe = Recipe("r", (first, Step("second", Skips(), (), after="filter")))
    with pytest.raises(AccountError, match="step second read 3 rows of step filter, which kept 5"):
        run_local(plan_over(recipe, source), out)
