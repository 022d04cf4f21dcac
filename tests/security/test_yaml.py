"""Recipes, configs, settings and prompts are plain data: no objects, no bombs; a refusal names file and line."""

from pathlib import Path

import pytest
import yaml

from cluster.errors import ConfigError
from pipelines import plain_yaml
from pipelines.config import parse_sets, read_config
from pipelines.recipes import find_recipe
from stages.prompts import load_prompt

LAUGHS = "\n".join(["a0: &a0 [x, x, x, x, x, x, x, x, x]"] + [
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)
])  # fmt: skip
HOSTILE = [
    ("name: x\nsteps: !!python/object/apply:os.mkdir [made]\n", r"line 2, column 8"),
    ("name: x\nuser: !!python/name:os.system\nsteps: []\n", r"line 2, column 7"),
    ("name: !!python/object/new:os.mkdir [made]\n", r"line 1, column 7"),
    ("steps: !made x\n", r"line 1, column 8"),
    ("name: x\nsteps: " + "[" * 100_000, r"more than 50 deep\n.*line 2, column 57"),
    ("name: x\nsteps: &s [*s]\n", r"holds itself\n.*line 2, column 8"),
    (LAUGHS + "\nsteps: *a8\n", r"stands for more than 100,000 values\n.*line 1, column 1"),
    ("steps: [\n", r"line 2, column 1"),
    ("steps: \x00\n", r"special characters are not allowed\n.*position 7"),
]


@pytest.mark.parametrize(("text", "where"), HOSTILE)
def test_recipes_and_configs_are_plain_data(
    tmp_path: Path, text: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hostile.yaml").write_text(text)
    for read in (find_recipe, read_config):
        with pytest.raises(ConfigError, match=rf"(?s)hostile\.yaml: .*{where}"):
            read("hostile.yaml")
    assert not Path("made").exists()


@pytest.mark.parametrize("text", ["user: !!python/object/apply:os.mkdir [made]\n", "user: !!python/name:os.system\n"])
def test_prompts_are_plain_data(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hostile.yaml").write_text("name: x\nversion: 1\n" + text)
    with pytest.raises(ValueError, match=r"(?s)hostile\.yaml: could not determine a constructor.*line 3, column 7"):
        load_prompt(str(tmp_path / "hostile.yaml"))
    assert not Path("made").exists()


def test_a_setting_on_the_command_line_is_plain_data() -> None:
    with pytest.raises(ConfigError, match=r"--set A\.b=!!python/name:os\.system: could not determine a constructor"):
        parse_sets(["A.b=!!python/name:os.system"])
    with pytest.raises(ConfigError, match="more than 50 deep"):
        parse_sets(["A.b=" + "[" * 100_000])


def test_aliases_are_read_as_they_always_were() -> None:
    assert plain_yaml.load("a: &a [1, no]\nb: *a\nc: {<<: {d: 1}, e: 2}") == {
        "a": [1, "no"], "b": [1, "no"], "c": {"d": 1, "e": 2},
    }  # fmt: skip
    assert plain_yaml.load("") is None
    with pytest.raises(yaml.YAMLError, match="expected a single document"):
        plain_yaml.load("a\n---\nb\n")
