"""What the README says is so."""

import importlib.util
from pathlib import Path

from pipelines.cli import COMMANDS
from pipelines.recipes import RECIPES, find_recipe
from stages.stage import name_of

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_every_command_is_named() -> None:
    assert [name for name in COMMANDS if f"headrace {name}" not in README] == []


def test_the_recipe_is_shown_as_it_is() -> None:
    shown = README.partition("## A recipe reads like")[2].partition("    headrace run german")[0]
    for step in find_recipe("web").steps:
        assert [name_of(part) for part in step.parts if f"{name_of(part)}(" not in shown] == []


def test_every_recipe_can_be_found_in_the_readme() -> None:
    assert [name for name in RECIPES if f"headrace run {name} " not in README] == []


def test_figures_are_those_of_the_results() -> None:
    spec = importlib.util.spec_from_file_location("table", ROOT / "benchmarks" / "table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.with_table(README) == README, "run: python benchmarks/table.py"
