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


def test_a_key_stands_once() -> None:
    with pytest.raises(yaml.YAMLError, match="the key 'workers' again, first in line 1: keep one"):
        load("workers: 1\noutput: a\nworkers: 2")
    assert load("a: {x: 1}\nb: {x: 2}") == {"a": {"x": 1}, "b": {"x": 2}}
