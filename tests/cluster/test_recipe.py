"""Stages from plain data and back; every setting that does not fit is told with the nearest name."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from cluster.errors import ConfigError
from cluster.recipe import Recipe, Step, build, change, load_class, numbered, read_settings, restore
from stages.keep_first import KeepFirst
from stages.stage import EXECUTION, execution_of, identity
from tests.fakes import CrashOn, DropWith, ReadLines, Upper
from tests.runs import one_step, two_steps


@dataclass(frozen=True)
class Settings:
    """One of every kind of setting."""

    n: int = 1
    share: float = 0.5
    on: bool = False
    word: str = "x"
    most: int | None = None
    name: str | None = None
    kind: Literal["a", "b"] = "a"
    langs: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    any: Any = None

    def __post_init__(self) -> None:
        if self.n > 99:
            raise ValueError(f"n should be below 100, got {self.n}")


def value(name: str, given: Any) -> Any:
    faults, values = read_settings(Settings, {name: given})
    return faults or values[name]


@pytest.mark.parametrize(
    ("name", "given", "read"),
    [
        ("n", 3, 3), ("n", "3", 3), ("n", 3.0, 3), ("share", 1, 1.0), ("share", "0.25", 0.25),
        ("on", True, True), ("on", "False", False), ("word", "y", "y"), ("word", 7, "7"), ("word", "", ""),
        ("most", None, None), ("most", "null", None), ("most", 5, 5), ("name", "y", "y"), ("kind", "b", "b"),
        ("langs", ["en", "de"], ("en", "de")), ("langs", "en, de,", ("en", "de")), ("sizes", ["1", 2], (1, 2)),
        ("langs", [], ()), ("any", {"a": [1]}, {"a": [1]}),
    ],
)  # fmt: skip
def test_setting_is_read_as_its_type(name: str, given: Any, read: Any) -> None:
    assert value(name, given) == read
    assert type(value(name, given)) is type(read)


@pytest.mark.parametrize(
    ("name", "given", "wanted"),
    [
        ("n", "three", "int"), ("n", 3.5, "int"), ("n", True, "int"), ("n", None, "int"), ("n", [3], "int"),
        ("n", float("inf"), "int"), ("n", float("nan"), "int"), ("n", 1 << 63, "int"), ("share", ".nan", "float"),
        ("share", float("nan"), "float"), ("langs", {"en": 1}, "tuple[str, ...]"),
        ("share", "half", "float"), ("share", False, "float"),
        ("on", 1, "bool"), ("on", "yes", "bool"), ("word", ["x"], "str"), ("word", {"x": 1}, "str"),
        ("word", None, "str"), ("word", True, "str"), ("kind", "c", "'a' or 'b'"),
        ("kind", [], "'a' or 'b'"), ("most", "five", "int | None"), ("langs", 5, "tuple[str, ...]"),
        ("langs", [True], "tuple[str, ...]"), ("sizes", ["one"], "tuple[int, ...]"),
    ],
)  # fmt: skip
def test_setting_of_another_type_is_refused(name: str, given: Any, wanted: str) -> None:
    assert value(name, given) == [f"Settings.{name} should be {wanted}, got {given!r}"]


def test_unknown_setting_is_told_with_the_nearest_or_all() -> None:
    assert read_settings(DropWith, {"wrod": "x"})[0] == ["DropWith has no setting 'wrod'; did you mean 'word'?"]
    assert read_settings(CrashOn, {"zz": 1})[0] == ["CrashOn has no setting 'zz' (it has word, hard, once)"]
    assert read_settings(Upper, {"zz": 1})[0] == ["Upper has no setting 'zz' (it has none)"]


def test_stage_is_built_from_its_path_and_settings() -> None:
    assert build("tests.fakes.DropWith", {"word": "x"}) == DropWith("x")


def test_every_fault_of_a_stage_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        build("tests.fakes.CrashOn", {"hard": "maybe", "onec": "x"})
    assert str(caught.value).splitlines() == [
        "CrashOn.hard should be bool, got 'maybe'",
        "CrashOn has no setting 'onec'; did you mean 'once'?",
    ]


def test_setting_that_is_not_given_but_must_be_is_told() -> None:
    with pytest.raises(ConfigError, match=r"^DropWith: .*missing 1 required positional argument: 'word'"):
        build("tests.fakes.DropWith", {})


def test_what_the_stage_itself_refuses_is_told() -> None:
    with pytest.raises(ConfigError, match=r"^Settings: n should be below 100, got 100"):
        build("tests.cluster.test_recipe.Settings", {"n": 100})


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("tests.fakes.Uper", "tests.fakes.Uper: no stage 'Uper' in tests.fakes; did you mean 'Upper'?"),
        ("tests.fake.Upper", "tests.fake.Upper: cannot import 'tests.fake': .*; did you mean 'fakes'?"),
        ("nowhere.at.All", "nowhere.at.All: cannot import 'nowhere.at': No module named 'nowhere'"),
        ("Upper", "Upper: expected a dotted path such as stages.language.Language"),
        ("", ": expected a dotted path"),
        (".fakes.Upper", ".fakes.Upper: cannot import '.fakes'"),
        ("tests..Upper", "tests..Upper: cannot import 'tests.'"),
        ("tests.fakes.LINES", "tests.fakes.LINES: no stage 'LINES' in tests.fakes"),
        ("os.path", "os.path: no stage 'path' in os"),
    ],
)
def test_class_that_is_not_there_is_told_with_the_nearest(path: str, message: str) -> None:
    with pytest.raises(ConfigError, match="^" + message.replace("?", r"\?")):
        load_class(path)


def test_module_that_cannot_be_imported_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_stages.py").write_text("import no_such_library\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ConfigError, match="cannot import 'broken_stages': No module named 'no_such_library'"):
        load_class("broken_stages.Upper")


def test_stage_is_restored_from_its_identity() -> None:
    for stage in (DropWith("x"), Upper(), KeepFirst(), Settings(langs=("en",), most=3, any={"a": [1]})):
        assert restore(identity(stage)) == stage


@dataclass(frozen=True)
class Runs:
    model: str = "m"
    engine: str = field(default="here", metadata=EXECUTION)


def test_stage_is_restored_with_the_way_it_was_carried_out() -> None:
    stage = Runs("other", engine="there")
    assert restore(identity(stage)) == Runs("other")
    assert restore(identity(stage), execution_of(stage)) == stage


def test_second_stage_of_a_kind_is_numbered() -> None:
    assert numbered((Upper(), DropWith("a"), Upper(), Upper())) == ["Upper", "DropWith", "Upper (2)", "Upper (3)"]


def test_change_sets_all_stages_of_the_name_and_passes_over_others() -> None:
    step = one_step(DropWith("a"), Upper(), DropWith("b")).steps[0]
    changed, faults = change(step, {"DropWith": {"word": "c"}, "ReadLines": {"table_rows": "2"}, "Other": {"x": 1}})
    assert faults == []
    assert changed == Step("only", ReadLines(2), (DropWith("c"), Upper(), DropWith("c")))


def test_change_reaches_the_shuffle_and_keeps_the_rest() -> None:
    step = two_steps().steps[1]
    changed, faults = change(step, {"KeepFirst": {"key": "id"}})
    assert (changed.shuffle, changed.after, faults) == (KeepFirst(key="id"), "filter", [])


def test_change_tells_what_is_wrong_and_leaves_the_stage() -> None:
    step = Step("only", ReadLines(), (DropWith("a"), Settings()))
    changed, faults = change(step, {"DropWith": {"word": None}, "Settings": {"n": 100}})
    assert faults == ["DropWith.word should be str, got None", "Settings: n should be below 100, got 100"]
    assert changed == step


def test_last_step_is_the_result() -> None:
    assert two_steps().final == "dedup"
    assert Recipe("one", one_step().steps).final == "only"
