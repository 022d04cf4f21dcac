"""Going on with what an output holds: every kind of change is named, and the redo that is offered does what it says."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.errors import ConfigError
from cluster.plan import Plan
from cluster.recipe import Recipe, Step
from schemas import columns as c
from stages.content_hash import ContentHash
from stages.drop_duplicates import DropDuplicates
from stages.keep_first import KeepFirst
from stages.read_parquet import ReadParquet
from stages.stage import Resources, Rows, Transform
from stages.synthesize.order import DrawOrder
from stages.synthesize.shuffle_rows import ShuffleRows
from tests.cluster.test_crash_points import kill, points_of
from tests.fakes import DropWith, ReadLines, Twice, Upper
from tests.runs import account, dataset, plan_over, run_local, write

STEPS = ("filter", "dedup", "mix", "short")
ALL_AGAIN = "--redo filter to do it all again, --fresh to start over, or give another --output"


@dataclass(frozen=True)
class Prompted:
    """What a model stage is known by."""

    model: str = "small"
    prompt_hash: str = "aa"
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources(memory_gb=0.5)

    def open(self) -> Transform:
        return lambda table: table


def recipe(**steps: Step) -> Recipe:
    """Every kind of step: 1 -> N and a model, dedup, a global shuffle, and a second branch behind the dedup."""
    there = {
        "filter": Step("filter", ReadLines(), (Twice(), Prompted(), ContentHash())),
        "dedup": Step("dedup", ReadParquet(), (DropDuplicates(), DrawOrder()), after="filter", shuffle=KeepFirst()),
        "mix": Step("mix", ReadParquet(), (), after="dedup", shuffle=ShuffleRows()),
        "short": Step("short", ReadParquet(), (DropWith("a"),), after="dedup"),
        **steps,
    }
    return Recipe("whole", tuple(there.values()))


def changed(name: str, **values: Any) -> Recipe:
    """`recipe` with one of its steps changed."""
    step = next(step for step in recipe().steps if step.name == name)
    return recipe(**{name: replace(step, **values)})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an input and the output of a whole run over it."""
    folder = tmp_path_factory.mktemp("finished")
    source = write(folder / "in", {"a.txt": "a\nb\nc\n", "b.txt": "b\nd\n"})
    for file in Path(source).iterdir():
        os.utime(file, (1, 1))
    run_local(plan_over(recipe(), source), folder / "out")
    return folder


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished / "out", tmp_path / "out"))


@pytest.fixture
def source(finished: Path) -> Path:
    return finished / "in"


def refused(plan: Plan, out: Path, *redo: str) -> tuple[str, list[str]]:
    """(the way out, the differences) of a refusal; nothing has changed."""
    before = {f: f.stat().st_mtime_ns for f in out.rglob("*") if f.is_file()}
    with pytest.raises(ConfigError) as caught:
        run_local(plan, out, redo=redo)
    assert {f: f.stat().st_mtime_ns for f in out.rglob("*") if f.is_file()} == before
    first, *rest = str(caught.value).splitlines()
    return first.removeprefix(f"output {out} holds another run's data (").removesuffix("):"), rest


def made(out: Path) -> dict[str, int]:
    """When each step's manifests were put."""
    return {name: max(m.stat().st_mtime_ns for m in (out / name / "manifests").glob("*")) for name in STEPS}


KINDS: dict[str, tuple[Recipe, str, list[str]]] = {
    "setting": (changed("short", stages=(DropWith("b"),)), "short", ["  DropWith.word was 'a', is 'b'"]),
    "setting of a source": (
        changed("short", source=ReadParquet(table_bytes=9)), "short", ["  ReadParquet.table_bytes was 32000000, is 9"],
    ),
    "setting of a dedup": (
        changed("dedup", shuffle=KeepFirst(keep="highest source")), "dedup",
        ["  KeepFirst.keep was 'first', is 'highest source'"],
    ),
    "setting behind a dedup": (
        changed("dedup", stages=(DropDuplicates(), DrawOrder(seed=7))), "dedup", ["  DrawOrder.seed was 42, is 7"],
    ),
    "model": (
        changed("filter", stages=(Twice(), Prompted("large"), ContentHash())), "filter",
        ["  Prompted.model was 'small', is 'large'"],
    ),
    "prompt": (
        changed("filter", stages=(Twice(), Prompted(prompt_hash="bb"), ContentHash())), "filter",
        ["  Prompted.prompt_hash was 'aa', is 'bb' (the text of the prompt has changed)"],
    ),
    "1 to N": (
        changed("filter", stages=(Prompted(), ContentHash())), "filter", ["  step filter: Twice was removed"],
    ),
    "no global shuffle": (
        changed("mix", shuffle=None), "mix", ["  step mix: ShuffleRows was removed"],
    ),
    "another step before": (
        changed("mix", after="filter", shuffle=None), "mix",
        ["  step mix: ShuffleRows was removed", "  step mix read step dedup, reads step filter"],
    ),
    "two branches": (
        recipe(
            mix=Step("mix", ReadParquet(), (), after="dedup"),
            short=Step("short", ReadParquet(), (Upper(),), after="dedup"),
        ),
        "mix short",
        ["  step mix: ShuffleRows was removed", "  step short: DropWith was removed", "  step short: Upper was added"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_change_is_named_and_the_redo_that_is_offered_does_it(
    kind: str, source: Path, out: Path, tmp_path: Path
) -> None:
    other, roots, differences = KINDS[kind]
    plan = plan_over(other, source)
    hint, lines = refused(plan, out)
    assert lines == differences
    redo = tuple(roots.split())
    behind = {"filter": set(STEPS), "dedup": {"dedup", "mix", "short"}, "mix": {"mix"}, "short": {"short"}}
    again = set().union(*(behind[name] for name in redo))
    kept = [name for name in sorted(STEPS) if name not in again]
    words = " ".join(f"--redo {name}" for name in redo)
    what = f"to keep {', '.join(kept)} and do the rest again" if kept else "to do it all again"
    assert hint == f"{words} {what}, --fresh to start over, or give another --output"
    before = made(out)
    result = run_local(plan, out, redo=redo)
    after = made(out)
    assert {name for name in STEPS if after[name] != before[name]} == again
    expected = run_local(plan, tmp_path / "expected")
    assert account(result) == account(expected)
    assert dataset(out) == dataset(tmp_path / "expected")


@pytest.mark.parametrize(
    ("part", "root"),
    [(ReadLines, "filter"), (Twice, "filter"), (KeepFirst, "dedup"), (DrawOrder, "dedup"), (ShuffleRows, "mix")],
)
def test_version_of_every_kind_of_part_is_named(
    part: type, root: str, source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    was = getattr(part, "version", 1)
    monkeypatch.setattr(part, "version", 9, raising=False)
    plan = plan_over(recipe(), source)
    hint, lines = refused(plan, out)
    assert (hint.partition(" to ")[0], lines) == (f"--redo {root}", [f"  {part.__name__}: version was {was}, is 9"])
    assert run_local(plan, out, redo=(root,))["status"] == "done"
    assert run_local(plan, out)["status"] == "done"


def test_input_that_was_added_changed_or_removed_is_named(finished: Path, out: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    before = Path(finished / "in")
    for name in ("a.txt", "b.txt"):
        shutil.copy2(before / name, source / name)
    write(source, {"b.txt": "B\n", "c.txt": "new\n"})
    os.utime(source / "b.txt", (2, 2))
    plan = plan_over(recipe(), source)
    hint, lines = refused(plan, out)
    assert hint == ALL_AGAIN
    assert lines == sorted(
        [f"  input file://{before}/{name} was removed" for name in ("a.txt", "b.txt")]
        + [f"  input file://{source}/{name} was added" for name in ("a.txt", "b.txt", "c.txt")]
    )
    run_local(plan, out, redo=("filter",))
    shutil.copy2(before / "b.txt", source / "b.txt")
    assert refused(plan_over(recipe(), source), out)[1] == [
        f"  input file://{source}/b.txt has changed: (2, '2.0') then, (4, '1.0') now"
    ]


def test_of_many_inputs_a_hundred_are_named(out: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "in", {f"{n:03d}.txt": "x\n" for n in range(120)})
    _, lines = refused(plan_over(recipe(), source), out)
    assert len(lines) == 101
    assert lines[-1] == "  input and 22 more"


def test_step_that_the_recipe_has_no_more_is_done_away_with(source: Path, out: Path) -> None:
    less = Recipe("whole", recipe().steps[:3])
    hint, lines = refused(plan_over(less, source), out)
    assert lines == ["  step short is not in recipe whole any more"]
    assert hint.startswith("--redo short to keep dedup, filter, mix and do the rest again, ")
    run_local(plan_over(less, source), out, redo=("short",))
    assert not list((out / "short").rglob("*.*"))


def test_step_that_comes_in_between(source: Path, out: Path) -> None:
    first, dedup, *rest = recipe().steps
    between = Step("upper", ReadParquet(), (Upper(), ContentHash()), after="filter")
    more = Recipe("whole", (first, between, replace(dedup, after="upper"), *rest))
    hint, lines = refused(plan_over(more, source), out)
    assert lines == ["  step dedup read step filter, reads step upper"]
    assert hint.startswith("--redo dedup to keep filter and do the rest again, ")
    assert run_local(plan_over(more, source), out, redo=("dedup",))["steps"][3]["out"] == 4


def test_redo_of_what_has_not_changed(source: Path, out: Path) -> None:
    before, expected = made(out), dataset(out)
    run_local(plan_over(recipe(), source), out, redo=("dedup",))
    assert {name for name, at in made(out).items() if at != before[name]} == {"dedup", "mix", "short"}
    assert dataset(out) == expected


def test_redo_that_does_not_go_far_enough_is_refused(source: Path, out: Path) -> None:
    plan = plan_over(changed("filter", stages=(Twice(), Prompted("large"), ContentHash())), source)
    hint, lines = refused(plan, out, "mix", "short")
    assert lines == ["  Prompted.model was 'small', is 'large'"]
    assert hint == ALL_AGAIN


def test_redo_of_a_step_that_is_not_there(source: Path, out: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        run_local(plan_over(recipe(), source), out, redo=("dedupe",))
    assert str(caught.value) == "--redo dedupe: recipe whole has no such step; did you mean 'dedup'?"


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_redo_that_is_killed_while_it_clears_is_begun_again(source: Path, out: Path, tmp_path: Path, when: str) -> None:
    plan = plan_over(changed("dedup", stages=(DropDuplicates(), DrawOrder(seed=7))), source)
    run_local(plan, tmp_path / "expected")

    def again(output: Path) -> Callable[[], Any]:
        return lambda: run_local(plan, output, redo=("dedup",))

    shutil.copytree(out, tmp_path / "counted")
    for at in range(0, min(points_of(again(tmp_path / "counted")), 40), 3):
        output = Path(shutil.copytree(out, tmp_path / str(at)))
        kill(again(output), at, when)
        again(output)()
        assert dataset(output) == dataset(tmp_path / "expected"), f"point {at}"


def test_rows_of_the_global_shuffle_are_those_of_the_redone_dedup(source: Path, out: Path) -> None:
    plan = plan_over(changed("dedup", stages=(DropDuplicates(), DropWith("d"), DrawOrder(seed=7))), source)
    run_local(plan, out, redo=("dedup",))
    found = [row for f in sorted((out / "mix/data").glob("*")) for row in pq.read_table(f).to_pylist()]
    assert sorted(row["text"] for row in found) == ["a", "b", "c"]
    assert [row["order"] for row in found] == sorted(row["order"] for row in found)
