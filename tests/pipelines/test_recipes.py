"""Recipes by name and in YAML: read as they are written, refused with every fault."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.errors import ConfigError
from cluster.recipe import Recipe, Step
from pipelines.recipes import RECIPES, find_recipe, recipe_of
from stages.content_hash import ContentHash
from stages.drop_duplicates import DropDuplicates
from stages.keep_first import KeepFirst
from stages.read_parquet import ReadParquet
from tests.fakes import CrashOn, DropWith, ReadLines
from tests.runs import ONE_STEP, TWO_STEPS


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        recipe_of(yaml.safe_load(text), "r.yaml")
    return [line.removeprefix("r.yaml: ") for line in str(caught.value).splitlines()]


def step(text: str) -> str:
    return "steps:\n  - name: a\n    source: tests.fakes.ReadLines\n    " + text


def test_yaml_recipe_is_the_recipe_in_python(tmp_path: Path) -> None:
    (tmp_path / "twice.yaml").write_text(TWO_STEPS)
    assert find_recipe(str(tmp_path / "twice.yaml")) == Recipe(
        name="twice",
        about="lines without copies",
        steps=(
            Step("filter", ReadLines(), (DropWith("spam"), CrashOn("bad"), ContentHash())),
            Step("dedup", ReadParquet(), (DropDuplicates(),), after="filter", shuffle=KeepFirst()),
        ),
    )


def test_recipe_without_a_name_has_that_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "my-lines.yml").write_text(ONE_STEP.replace("name: lines\n", ""))
    assert find_recipe(str(tmp_path / "my-lines.yml")).name == "my-lines"


def test_step_without_stages_copies_its_source() -> None:
    assert recipe_of(yaml.safe_load(step("stages:")), "r").steps == (Step("a", ReadLines(), ()),)


def test_recipes_of_the_house_are_found_by_name() -> None:
    for name in RECIPES:
        assert find_recipe(name).name == name


def test_unknown_recipe_is_told_with_the_nearest_or_all() -> None:
    with pytest.raises(ConfigError, match=r"^no recipe 'wbe'; did you mean 'web'\?$"):
        find_recipe("wbe")
    known = ", ".join(sorted(RECIPES))
    with pytest.raises(ConfigError, match=rf"^no recipe 'zzz'; there is {known}, or a \.yaml file$"):
        find_recipe("zzz")
    with pytest.raises(ConfigError, match=r"^nowhere\.yaml: .*No such file"):
        find_recipe("nowhere.yaml")


def test_every_fault_of_a_recipe_is_told_at_once() -> None:
    text = """
nmae: x
steps:
  - name: a
    sorce: tests.fakes.ReadLines
    stages: [tests.fakes.Uper, {stage: tests.fakes.DropWith, wrod: x}]
  - name: "b/c"
    source: tests.fakes.ReadLines
    stages: tests.fakes.Upper
  - just text
"""
    assert faults(text) == [
        "unknown key 'nmae'; did you mean 'name'?",
        "step 1: unknown key 'sorce'; did you mean 'source'?",
        "step 1: tests.fakes.Uper: no stage 'Uper' in tests.fakes; did you mean 'Upper'?",
        "step 1: DropWith has no setting 'wrod'; did you mean 'word'?",
        "step 1: 'source' is missing",
        "step 2: 'name' should be letters, digits, - and _, found 'b/c'",
        "step 2: 'stages' should be a list, found 'tests.fakes.Upper'",
        "step 3: expected a mapping, found 'just text'",
    ]


@pytest.mark.parametrize("text", ["name: x", "steps:", "steps: []", "steps: {a: 1}"])
def test_recipe_without_steps_is_refused(text: str) -> None:
    assert faults(text)[0].startswith("'steps' should be a list of steps, found ")


def test_two_steps_of_one_name_are_refused() -> None:
    one = "  - {name: a, source: tests.fakes.ReadLines}\n"
    assert faults("steps:\n" + one + one) == ["two steps are called 'a'"]


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "-", "null", "7", "[x]", "x" * 101])
def test_step_needs_a_name_that_can_be_a_folder(name: str) -> None:
    (fault,) = faults(f"steps:\n  - {{name: {name}, source: tests.fakes.ReadLines}}")
    wanted = "have 100 characters at most, found 101" if len(name) > 100 else "be letters, digits, - and _, found "
    assert fault.startswith(f"step 1: 'name' should {wanted}")


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        ("stages: [tests.fakes.ReadLines]", "tests.fakes.ReadLines is a source, expected a stage"),
        ("stages: [stages.keep_first.KeepFirst]", "stages.keep_first.KeepFirst is a shuffle, expected a stage"),
        ("stages: [schemas.manifest.Counts]", "schemas.manifest.Counts is neither stage, source nor shuffle"),
        ("shuffle: tests.fakes.Upper", "tests.fakes.Upper is a stage, expected a shuffle"),
        ("stages: [{word: x}]", "expected {stage: dotted.path.Class, setting: value ...}, found {'word': 'x'}"),
        ("stages: [[a]]", "expected {stage: dotted.path.Class, setting: value ...}, found ['a']"),
        ("stages: [{stage: 5}]", "expected {stage: dotted.path.Class, setting: value ...}, found {'stage': 5}"),
        ("stages: [Upper]", "Upper: expected a dotted path such as stages.language.Language"),
        ("stages: [os.system]", "os.system: no stage 'system' in os"),
        ("after: [x]", "'after' should name an earlier step, found ['x']"),
        ("stages: [{stage: tests.fakes.Upper, 1: x}]", "Upper has no setting 1 (it has none)"),
    ],
)
def test_part_that_does_not_fit_is_told(part: str, fault: str) -> None:
    assert faults(step(part)) == [f"step 1: {fault}"]


def test_stage_as_a_source_is_told() -> None:
    assert faults("steps: [{name: a, source: tests.fakes.Upper}]") == [
        "step 1: tests.fakes.Upper is a stage, expected a source"
    ]


def test_recipe_that_is_a_list_is_told(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("- a\n")
    with pytest.raises(ConfigError, match="expected a mapping, found list"):
        find_recipe(str(tmp_path / "r.yaml"))


def test_yaml_recipe_cannot_run_code(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (tmp_path / "r.yaml").write_text(f"name: !!python/object/apply:os.mkdir ['{victim}']\n")
    with pytest.raises(ConfigError, match="could not determine a constructor"):
        find_recipe(str(tmp_path / "r.yaml"))
    assert not victim.exists()


def test_about_may_be_anything() -> None:
    data: dict[str, Any] = yaml.safe_load("about: 2024\n" + step("stages:"))
    assert recipe_of(data, "r").about == "2024"
