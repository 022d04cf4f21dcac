"""Settings from the command line and from a file: every fault is told, and all at once."""

from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ConfigError
from cluster.recipe import Recipe
from pipelines.config import bytes_of, configure, parse_sets, read_config
from pipelines.web import web
from stages.keep_first import KeepFirst
from stages.screen import Screen
from tests.fakes import CrashOn, DropWith, ReadLines, Upper
from tests.runs import one_step, two_steps


def config(tmp_path: Path, text: str) -> dict[str, Any]:
    (tmp_path / "run.yaml").write_text(text, encoding="utf-8")
    return read_config(str(tmp_path / "run.yaml"))


def faults(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, text)
    return [line.removeprefix(f"{tmp_path}/run.yaml: ") for line in str(caught.value).splitlines()]


def refused(recipe: Recipe, settings: dict[str, dict[str, Any]]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        configure(recipe, settings)
    return str(caught.value).splitlines()


def test_config_is_read(tmp_path: Path) -> None:
    text = "input: [a, größe]\noutput: o\nset:\n  DropWith: {word: x}\nworkers: 2\nmax_dead: 0\nfresh: true\n"
    assert config(tmp_path, text) == {
        "input": ["a", "größe"], "output": "o", "set": {"DropWith": {"word": "x"}}, "workers": 2, "max_dead": 0,
        "fresh": True,
    }  # fmt: skip


def test_every_unknown_key_and_wrong_type_is_told_at_once(tmp_path: Path) -> None:
    text = "inptu: a\nworkers: two\nfresh: 1\nset: [x]\nrunner: slurm\noutput:\n1: x\n"
    assert faults(tmp_path, text) == [
        "unknown key 'inptu'; did you mean 'input'?",
        "unknown key 1",
        "'output' should be str, found None",
        "'set' should be dict, found ['x']",
        "'workers' should be int, found 'two'",
        "'fresh' should be bool, found 1",
        "'runner' should be local or ray, found 'slurm'",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("workers: true", "'workers' should be int, found True"),
        ("max_dead: false", "'max_dead' should be int or float, found False"),
        ("input: [a, 1]", "'input' should be text or a list of texts, found ['a', 1]"),
        ("input: []", "'input' should be text or a list of texts, found []"),
        ("set: {DropWith: x}", "set.DropWith should be a mapping of settings, found 'x'"),
        ("set: {1: {word: x}}", "set.1 should be named by a stage or a step"),
        ("set: {DropWith: {1: x}}", "set.DropWith.1 should be the name of a setting"),
    ],
)
def test_value_of_another_type_is_told(tmp_path: Path, text: str, fault: str) -> None:
    assert faults(tmp_path, text) == [fault]


@pytest.mark.parametrize(
    ("text", "fault"), [("", "expected a mapping, found NoneType"), ("[1]", "expected a mapping, found list")]
)
def test_file_that_is_no_mapping_is_told(tmp_path: Path, text: str, fault: str) -> None:
    assert faults(tmp_path, text) == [fault]


def test_file_that_is_no_yaml_or_not_there_is_told(tmp_path: Path) -> None:
    assert faults(tmp_path, "a: [1")[0].startswith("while parsing a flow sequence")
    with pytest.raises(ConfigError, match=r"nowhere.yaml: .*No such file"):
        read_config(str(tmp_path / "nowhere.yaml"))
    (tmp_path / "latin.yaml").write_bytes("output: größe".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin.yaml: 'utf-8' codec"):
        read_config(str(tmp_path / "latin.yaml"))


def test_yaml_cannot_run_code(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    for tag in ("python/object/apply:os.mkdir", "python/object/new:os.mkdir"):
        assert "could not determine a constructor" in faults(tmp_path, f"output: !!{tag} ['{victim}']")[0]
        with pytest.raises(ConfigError, match="could not determine a constructor"):
            parse_sets([f"DropWith.word=!!{tag} ['{victim}']"])
    assert not victim.exists()


def test_sets_are_read_as_yaml() -> None:
    sets = ["A.n=3", "A.share=0.5", "B.langs=[en, de]", "A.on=true", "B.word=a=b.c", "A.n=4", "B.none=null", "B.e="]
    assert parse_sets(sets) == {
        "A": {"n": 4, "share": 0.5, "on": True},
        "B": {"langs": ["en", "de"], "word": "a=b.c", "none": None, "e": None},
    }


def test_an_engine_that_is_a_name_alone_is_no_mapping() -> None:
    assert parse_sets(["A.engine=template:", "A.more={b: 1}"]) == {"A": {"engine": "template:", "more": {"b": 1}}}


def test_every_malformed_set_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_sets(["DropWith.word", "word=x", ".word=x", "DropWith.=x", "A.b=[1", "A.c=1"])
    lines = str(caught.value).splitlines()
    assert lines[0] == "--set DropWith.word: expected stage.setting=value, such as ExtractText.engine=resiliparse"
    assert [line.partition(": ")[0] for line in lines if line.startswith("--set")] == [
        "--set DropWith.word", "--set word=x", "--set .word=x", "--set DropWith.=x", "--set A.b=[1",
    ]  # fmt: skip


def test_settings_reach_stage_source_and_shuffle_in_every_step() -> None:
    recipe = configure(two_steps(DropWith("a")), {"DropWith": {"word": "b"}, "ReadLines": {"table_rows": "7"}})
    assert recipe.steps[0].source == ReadLines(7)
    assert recipe.steps[0].stages[0] == DropWith("b")
    assert configure(recipe, {"KeepFirst": {"key": "id"}}).steps[1].shuffle == KeepFirst("id")


def test_step_sets_all_its_parts_that_have_the_setting() -> None:
    recipe = one_step(DropWith("a"), CrashOn("b"), Upper())
    changed = configure(recipe, {"only": {"word": "c", "hard": True}})
    assert changed.steps[0].stages == (DropWith("c"), CrashOn("c", hard=True), Upper())


def test_recipe_without_settings_is_the_same() -> None:
    assert configure(two_steps(), {}) == two_steps()


def test_every_unfit_setting_is_told_with_the_nearest_name() -> None:
    settings = {
        "DropWit": {"word": "x"},
        "DropWith": {"wrod": "x"},
        "ReadLines": {"table_rows": "many"},
        "filter": {"table_row": 1},
        "Zebra": {"x": 1},
    }
    assert refused(two_steps(DropWith("a")), settings) == [
        "recipe twice has no stage or step 'DropWit'; did you mean 'DropWith'?",
        "recipe twice has no stage or step 'Zebra'; it has filter, dedup, ContentHash, DropDuplicates, DropWith, "
        "KeepFirst, ReadLines, ReadParquet",
        "step filter has no setting 'table_row'; did you mean 'table_rows'?",
        "ReadLines.table_rows should be int, got 'many'",
        "DropWith has no setting 'wrod'; did you mean 'word'?",
    ]


def test_fault_of_a_stage_that_is_in_two_steps_is_told_once() -> None:
    first, second = two_steps(DropWith("a")).steps
    recipe = Recipe("r", (first, type(second)("dedup", second.source, (DropWith("a"),), "filter")))
    assert refused(recipe, {"DropWith": {"word": None}}) == ["DropWith.word should be str, got None"]


@pytest.mark.parametrize(
    ("size", "n_bytes"),
    [("2GiB", 2 << 30), ("4 gb", 4_000_000_000), ("1.5MB", 1_500_000), ("10kb", 10_000), ("77", 77), (5, 5)],
)
def test_sizes_are_read(size: str | int, n_bytes: int) -> None:
    assert bytes_of(size) == n_bytes


@pytest.mark.parametrize("size", ["", "GB", "-1GB", "2TB", "1e9", "2,5GB"])
def test_what_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(ValueError, match="should be a size such as 4GB, 512MiB or a number of bytes, got "):
        bytes_of(size)


def test_screen_goes_with_the_filters_behind_it() -> None:
    """A page must not be dropped before extraction for what nothing behind it would drop it for."""
    settings = {"Language": {"languages": ["de"]}, "GopherQuality": {"min_doc_words": 20, "stop_words": ["der", "die"]}}
    screen = next(stage for stage in configure(web(), settings).steps[0].stages if isinstance(stage, Screen))
    assert (screen.languages, screen.min_words, screen.stop_words) == (("de",), 20, ("der", "die"))
    own = {**settings, "Screen": {"languages": ["de", "en"], "min_words": None}}
    screen = next(stage for stage in configure(web(), own).steps[0].stages if isinstance(stage, Screen))
    assert (screen.languages, screen.min_words, screen.stop_words) == (("de", "en"), None, ("der", "die"))
