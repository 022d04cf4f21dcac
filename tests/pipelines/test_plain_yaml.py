"""YAML without the truth values of YAML 1.1."""

import pytest
import yaml

from pipelines.config import parse_sets
from pipelines.plain_yaml import load


def test_no_is_a_language_and_false_is_false() -> None:
    assert load("[no, on, yes, y, off, true, False, 1, 0.5, null, 'x']") == [
        "no", "on", "yes", "y", "off", True, False, 1, 0.5, None, "x",
    ]  # fmt: skip
    assert parse_sets(["Language.languages=[no, da]"]) == {"Language": {"languages": ["no", "da"]}}


def test_nothing_but_plain_data_is_made() -> None:
    with pytest.raises(yaml.YAMLError, match="could not determine a constructor"):
        load("!!python/object/apply:os.system ['true']")
