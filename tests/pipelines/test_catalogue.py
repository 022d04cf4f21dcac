"""What there is, read from the code."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from cluster.errors import ConfigError
from pipelines import catalogue
from pipelines.catalogue import recipes_text, stage_classes, stages_text
from pipelines.recipes import RECIPES
from tests.fakes import DropWith, Upper
from tests.runs import two_steps


@dataclass(frozen=True)
class Everything:
    """Has one of every kind of setting.

    And a second paragraph.
    """

    word: str
    n: int = 3
    langs: tuple[str, ...] = ("en",)
    most: int | None = None
    made: list[str] = field(default_factory=lambda: ["a"])
    inner: int = field(init=False, default=0)

    def open(self) -> Any:
        return None


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "stage_classes", lambda: iter([Everything, DropWith, Upper]))


@pytest.mark.usefixtures("fakes")
def test_stages_are_listed_with_their_settings_and_defaults() -> None:
    assert stages_text().splitlines()[:7] == [
        "Everything: Has one of every kind of setting.",
        "    word = (must be given)  (str)",
        "    n = 3  (int)",
        "    langs = ('en',)  (tuple[str, ...])",
        "    most = None  (int | None)",
        "    made = ['a']  (list[str])",
        "DropWith: Drops rows whose text contains `word`, with the word as the reason.",
    ]


@pytest.mark.usefixtures("fakes")
def test_one_stage_is_told_in_full() -> None:
    lines = stages_text("Everything").splitlines()
    assert lines[0] == "tests.pipelines.test_catalogue.Everything"
    assert lines[2:5] == ["Has one of every kind of setting.", "", "And a second paragraph."]
    assert lines[-1] == "    made = ['a']  (list[str])"


@pytest.mark.usefixtures("fakes")
def test_unknown_stage_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"^no stage 'Uper'; did you mean 'Upper'\?$"):
        stages_text("Uper")


def test_stages_of_the_house_are_found_once_each() -> None:
    names = [cls.__name__ for cls in stage_classes()]
    assert {"KeepFirst", "ReadWarc", "ReadParquet", "ContentHash", "DropDuplicates"} <= set(names)
    assert len(names) == len(set(names))


def test_recipes_are_listed_with_steps_and_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "RECIPES", {"twice": "here"})
    monkeypatch.setattr(catalogue, "find_recipe", lambda name: two_steps(Upper()))
    assert recipes_text().splitlines() == [
        "twice: ",
        "  filter: ReadLines -> Upper -> ContentHash",
        "  dedup: reads filter, KeepFirst over all rows -> DropDuplicates",
    ]


def test_recipes_of_the_house_are_all_listed() -> None:
    listed = [line.partition(":")[0] for line in recipes_text().splitlines() if not line.startswith(" ")]
    assert listed == sorted(RECIPES)
