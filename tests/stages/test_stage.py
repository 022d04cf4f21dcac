"""The contract: the walk of the schema, identity, and setting columns."""

import math
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from schemas import columns as c
from schemas.check import SchemaError
from stages import stage
from stages.stage import (
    Resources,
    Rows,
    Source,
    Stage,
    Transform,
    at_least,
    fingerprint,
    identity,
    name_of,
    set_columns,
    settings_of,
)
from tests.fakes import DropWith, ReadLines, Twice, Upper


@dataclass(frozen=True)
class Words:
    least: int = 3
    languages: tuple[str, ...] = ("en", "de")
    marks: frozenset[str] = frozenset({"b", "a"})
    inner: Any = None
    made: int = field(init=False, default=7)
    reads: ClassVar[pa.Schema] = pa.schema([c.N_WORDS, c.LANG])
    adds: ClassVar[pa.Schema] = pa.schema([c.N_TOKENS])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def open(self) -> Transform:
        return lambda table: table


@dataclass(frozen=True)
class Newer(Words):
    version: ClassVar[int] = 2


class Orphans(Twice):
    adds: ClassVar[pa.Schema] = pa.schema([])


def test_anything_of_the_shape_is_a_stage() -> None:
    assert isinstance(Upper(), Stage)
    assert isinstance(ReadLines(), Source)
    assert not isinstance(ReadLines(), Stage)
    assert not isinstance(Upper(), Source)


def test_name_is_the_class_name() -> None:
    assert name_of(Upper()) == "Upper"


def test_walk_appends_what_stages_add_and_replaces_what_is_there() -> None:
    schema, faults = stage.walk((Upper(), DropWith("x")), pa.schema([c.ID, c.BODY]))
    assert (schema.names, faults) == (["id", "text", "drop_reason"], [])


def test_walk_tells_every_fault_with_the_nearest_name() -> None:
    have = pa.schema([c.ID, pa.field("lang", pa.large_string()), pa.field("n_wrods", pa.int64())])
    assert stage.walk((Words(), Upper()), have)[1] == [
        "Words reads 'n_words', which no earlier stage adds; did you mean 'n_wrods'?",
        "Words reads 'lang' as string, found large_string",
        "Upper reads 'text', which no earlier stage adds",
    ]


def test_stage_that_makes_rows_needs_parents() -> None:
    faults = stage.walk((Orphans(),), pa.schema([c.ID, c.BODY]))[1]
    assert faults == ["Orphans makes new rows but neither it nor an earlier stage adds 'parents'"]
    assert stage.walk((Twice(), Orphans()), pa.schema([c.ID, c.BODY]))[1] == []


def test_check_raises_all_faults_as_one() -> None:
    with pytest.raises(SchemaError, match=r"'n_words'.*; Words reads 'lang'"):
        stage.check((Words(),), pa.schema([c.ID]))
    assert stage.check((Upper(),), pa.schema([c.BODY])).names == ["text"]


def test_settings_are_plain_and_in_order() -> None:
    assert settings_of(Words(inner=Words())) == {
        "least": 3,
        "languages": ["en", "de"],
        "marks": ["a", "b"],
        "inner": {"least": 3, "languages": ["en", "de"], "marks": ["a", "b"], "inner": None, "made": 7},
        "made": 7,
    }


def test_settings_in_mappings_are_plain_too() -> None:
    assert settings_of(Words(inner={1: ("a",)}))["inner"] == {"1": ["a"]}


def test_identity_is_class_version_and_settings_but_not_resources() -> None:
    assert identity(DropWith("x")) == {"stage": "tests.fakes.DropWith", "version": 1, "settings": {"word": "x"}}
    assert identity(Newer())["version"] == 2


def test_fingerprint_changes_with_each_part_of_identity() -> None:
    prints = {fingerprint(identity(s)) for s in (Words(), Words(least=4), Newer(), Words(marks=frozenset("c")))}
    assert len(prints) == 4
    assert fingerprint(identity(Words(marks=frozenset("ab")))) == fingerprint(identity(Words(marks=frozenset("ba"))))


def test_fingerprint_is_the_sha_256_of_canonical_json() -> None:
    # printf '{"a":"ü","b":[1,null]}' | sha256sum
    assert fingerprint({"b": [1, None], "a": "ü"}) == "5ddd266d13a5e8cd"


def test_set_columns_appends_and_replaces_in_place() -> None:
    table = pa.table({"id": ["a"], "text": ["x"], "url": ["u"]})
    table = set_columns(table, text=pa.array(["y"], c.TEXT), n_words=pa.array([1]))
    assert table.column_names == ["id", "text", "url", "n_words"]
    assert table.column("text").to_pylist() == ["y"]
    assert table.schema.field("n_words").metadata == c.N_WORDS.metadata


def test_set_columns_knows_the_error_between_stages() -> None:
    table = set_columns(pa.table({"id": ["a"]}), error=pa.array(["boom"], c.TEXT))
    assert c.is_transient(table.schema.field("error"))


def test_set_columns_refuses_what_is_no_column() -> None:
    with pytest.raises(KeyError, match="colour"):
        set_columns(pa.table({"id": ["a"]}), colour=pa.array(["red"]))


@pytest.mark.parametrize("name", ["edits", "answers", "parents"])
def test_a_column_of_the_inputs_own_is_in_the_way_of_what_stages_append(name: str) -> None:
    @dataclass(frozen=True)
    class Appends:
        reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
        adds: ClassVar[pa.Schema] = pa.schema([c.ALL[name]])
        rows: ClassVar[Rows] = "same"
        resources: ClassVar[Resources] = Resources()

        def open(self) -> Transform:
            return lambda table: table

    _, faults = stage.walk((Appends(),), pa.schema([c.BODY, pa.field(name, pa.string())]))
    assert faults == [f"Appends appends to {name!r}, which is string in the input: rename it there"]
    assert stage.walk((Appends(), Appends()), pa.schema([c.BODY]))[1] == []


def test_all_settings_that_are_too_small_are_told_at_once() -> None:
    given = SimpleNamespace(max_tokens=0, temperature=math.nan, context=None, most=1)
    with pytest.raises(ValueError) as caught:
        at_least(given, max_tokens=1, temperature=0, context=2, most=1)
    assert str(caught.value) == (
        "SimpleNamespace.max_tokens should be at least 1, got 0; "
        "SimpleNamespace.temperature should be at least 0, got nan"
    )
    at_least(given, context=2, most=1)
