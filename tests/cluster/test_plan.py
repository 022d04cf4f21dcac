"""Everything that can be known to be wrong is found before anything starts, and told at once."""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from cluster.errors import ConfigError
from cluster.plan import columns_of, make_plan
from cluster.recipe import Recipe, Step
from cluster.shards import list_inputs
from schemas import columns as c
from schemas.check import SchemaError
from stages.drop_duplicates import DropDuplicates
from stages.keep_first import KeepFirst
from stages.read_parquet import ReadParquet
from stages.stage import Resources
from tests.fakes import LINES, DropWith, OnGpu, ReadLines, Twice, Upper
from tests.runs import one_step, plan_over, two_steps, write


@dataclass(frozen=True)
class ReadNamed(ReadLines):
    """A source whose schema is in the file's name: `x-<column>`, `bad` cannot be read, `alien` does not fit."""

    schema_differs: ClassVar[bool] = True

    def schema(self, file: Any, uri: str) -> pa.Schema:
        name = uri.rpartition("/")[2].partition(".")[0]
        if name == "bad":
            raise ValueError("no such file format")
        if name == "alien":
            raise SchemaError(f"{uri}: column 'text' is missing")
        return pa.schema([*LINES, pa.field(name.partition("-")[2], pa.int64())])


class Hungry(Upper):
    resources: ClassVar[Resources] = Resources(cpus=2.0, memory_gb=8.0)


def faults(recipe: Recipe, *inputs: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        plan_over(recipe, *inputs)
    return str(caught.value).splitlines()


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    return Path(write(tmp_path / "in", {"a.txt": "a\n", "b.txt": "b\n"}))


def test_plan_has_a_shard_a_piece_and_the_schema_behind_the_last_stage(lines: Path) -> None:
    plan = plan_over(one_step(Upper(), Twice()), lines)
    assert [shard.piece.uri.rpartition("/")[2] for shard in plan.shards] == ["a.txt", "b.txt"]
    assert plan.steps[0].schema.names == ["id", "source", "text", "drop_reason", "parents"]


def test_later_step_starts_from_what_the_earlier_one_writes(lines: Path) -> None:
    plan = plan_over(two_steps(), lines)
    assert plan.steps[1].schema.names == [
        "id", "source", "text", "content_hash", "duplicate_of", "cluster_id", "cluster_size", "drop_reason",
    ]  # fmt: skip


def test_every_fault_of_every_step_is_told_at_once(lines: Path) -> None:
    recipe = Recipe("r", (
        Step("a", ReadLines(), (DropDuplicates(),)),
        Step("b", ReadParquet(), (), after="a", shuffle=KeepFirst()),
    ))  # fmt: skip
    assert faults(recipe, lines) == [
        "step a: DropDuplicates reads 'duplicate_of', which no earlier stage adds",
        "step b: KeepFirst reads 'content_hash', which no earlier stage adds",
    ]


def test_columns_that_are_not_written_do_not_reach_the_next_step(lines: Path) -> None:
    class NeedsReason(Upper):
        reads: ClassVar[pa.Schema] = pa.schema([c.DROP_REASON])

    recipe = two_steps(DropWith("x"))
    later = replace(recipe.steps[1], stages=(NeedsReason(),))
    (fault,) = faults(replace(recipe, steps=(recipe.steps[0], later)), lines)
    assert fault.startswith("step dedup: NeedsReason reads 'drop_reason', which no earlier stage adds")


def test_steps_must_stand_in_order(lines: Path) -> None:
    first, second = two_steps().steps
    message = "recipe r: its first step reads step 'filter', which is not there"
    assert faults(Recipe("r", (second, first)), lines) == [message]
    assert faults(Recipe("r", (first, replace(second, after="fitler"))), lines) == [
        "step dedup reads step 'fitler', which does not come before it; did you mean 'filter'?"
    ]


def test_shuffle_needs_an_earlier_step(lines: Path) -> None:
    recipe = Recipe("r", (Step("a", ReadLines(), (), shuffle=KeepFirst()),))
    assert "step a: KeepFirst shuffles the rows of an earlier step, but 'after' names none" in faults(recipe, lines)


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("content_hsah", "KeepFirst.key is 'content_hsah', which no earlier stage adds; did you mean 'content_hash'?"),
        ("text", "KeepFirst.key is 'text', a large_string; a key is a hash: uint64 or binary of 8 bytes or more"),
    ],
)
def test_shuffle_needs_a_key_that_is_a_hash(lines: Path, key: str, fault: str) -> None:
    first, second = two_steps().steps
    assert faults(Recipe("r", (first, replace(second, shuffle=KeepFirst(key)))), lines) == [f"step dedup: {fault}"]


def test_input_without_rows_is_told_with_what_could_not_be_read(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "", "b.txt": "!bad\n"})
    first, detail = faults(one_step(), tmp_path)
    assert first == "input without rows: ReadLines found none in 2 input files, 1 unreadable pieces:"
    assert detail == f"  file://{tmp_path}/b.txt at 0: bad line"
    assert faults(one_step(), tmp_path / "a.txt") == [
        f"input without rows: ReadLines found none in file://{tmp_path}/a.txt"
    ]


def test_rows_that_the_source_rejects_are_rows(tmp_path: Path) -> None:
    assert len(plan_over(one_step(), write(tmp_path, {"a.txt": "!drop\n"})).shards) == 1


def test_empty_file_among_others_is_a_shard(tmp_path: Path) -> None:
    assert len(plan_over(one_step(), write(tmp_path, {"a.txt": "", "b.txt": "b\n"})).shards) == 2


def test_only_as_much_is_read_as_shows_a_row(lines: Path) -> None:
    class Counting(ReadLines):
        def open(self) -> Any:
            def read(file: Any, piece: Any) -> Iterator[Any]:
                opened.append(piece.uri)
                yield from self._read(file, piece)

            return read

    opened: list[str] = []
    plan_over(one_step(source=Counting()), lines)
    assert len(opened) == 1


def test_no_input_is_told() -> None:
    with pytest.raises(ConfigError, match="no input: give --input"):
        make_plan(one_step(), ())


def test_inputs_with_other_columns_are_named(tmp_path: Path) -> None:
    write(tmp_path, {"1-x.txt": "a\n", "2-x.txt": "a\n", "3-y.txt": "a\n"})
    assert faults(one_step(source=ReadNamed()), tmp_path) == [
        f"input file://{tmp_path}/3-y.txt has other columns than file://{tmp_path}/1-x.txt: "
        "pyarrow.Field<x: int64>, pyarrow.Field<y: int64>"
    ]


def test_file_that_cannot_be_read_is_left_to_the_run_where_others_can(tmp_path: Path) -> None:
    plan = plan_over(one_step(source=ReadNamed()), write(tmp_path, {"a-x.txt": "a\n", "bad.txt": "a\n"}))
    assert len(plan.shards) == 2
    assert faults(one_step(source=ReadNamed()), tmp_path / "bad.txt") == [
        f"file://{tmp_path}/bad.txt: no such file format"
    ]


def test_file_without_the_columns_is_told_even_where_others_have_them(tmp_path: Path) -> None:
    write(tmp_path, {"a-x.txt": "a\n", "alien.txt": "a\n"})
    assert faults(one_step(source=ReadNamed()), tmp_path) == [f"file://{tmp_path}/alien.txt: column 'text' is missing"]


def test_stages_share_a_worker_until_one_needs_a_gpu(lines: Path) -> None:
    groups = plan_over(one_step(Upper(), Hungry(), OnGpu(), OnGpu("!"), Upper()), lines).steps[0].groups
    names = [[type(stage).__name__ for stage in group.stages] for group in groups]
    assert names == [["Upper", "Hungry"], ["OnGpu"], ["OnGpu"], ["Upper"]]
    assert groups[0].resources == Resources(cpus=2.0, memory_gb=8.0)


def fingerprints(recipe: Recipe, *inputs: Path) -> list[str]:
    return [step.fingerprint for step in plan_over(recipe, *inputs).steps]


def test_fingerprint_does_not_depend_on_the_order_of_inputs(lines: Path) -> None:
    a, b = lines / "a.txt", lines / "b.txt"
    assert fingerprints(two_steps(), a, b) == fingerprints(two_steps(), b, a) == fingerprints(two_steps(), lines)


def test_changed_setting_changes_its_step_and_those_behind(lines: Path) -> None:
    one, other = fingerprints(two_steps(DropWith("a")), lines), fingerprints(two_steps(DropWith("b")), lines)
    assert (one[0] != other[0], one[1] != other[1]) == (True, True)


def test_changed_setting_of_a_later_step_leaves_the_earlier(lines: Path) -> None:
    recipe = two_steps()
    later = replace(recipe.steps[1], source=ReadParquet(table_bytes=1000))
    one, other = fingerprints(recipe, lines), fingerprints(replace(recipe, steps=(recipe.steps[0], later)), lines)
    assert (one[0] == other[0], one[1] != other[1]) == (True, True)


def test_changed_input_changes_every_step(lines: Path) -> None:
    before = fingerprints(two_steps(), lines)
    write(lines, {"a.txt": "another\n"})
    assert not set(before) & set(fingerprints(two_steps(), lines))


def test_planned_step_travels_to_workers(lines: Path) -> None:
    (step, _) = plan_over(two_steps(DropWith("a")), lines).steps
    copy = pickle.loads(pickle.dumps(step))
    assert (copy.fingerprint, copy.schema.metadata, copy.schema) == (
        step.fingerprint,
        step.schema.metadata,
        step.schema,
    )
    assert len(pickle.dumps(step)) < 20_000


def test_columns_say_what_they_are() -> None:
    assert columns_of(pa.schema([c.N_WORDS, c.HTML, pa.field("mine", pa.int8())])) == [
        "n_words: int64  words of text by the language's tokenizer",
        "html: large_string  the page, decoded to Unicode (not written)",
        "mine: int8  ",
    ]


def test_inputs_are_listed_once_for_plan_and_run(lines: Path) -> None:
    plan = plan_over(one_step(), lines)
    assert plan.inputs == list_inputs([str(lines)])
