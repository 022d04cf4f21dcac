"""Every column is described once, and text never overflows."""

import pyarrow as pa

from schemas import columns as c


def test_column_carries_meaning_and_unit() -> None:
    field = c.column("n", pa.int64(), "how many", unit="rows")
    assert field.metadata == {b"meaning": b"how many", b"unit": b"rows"}
    assert field.nullable


def test_column_without_unit_has_none() -> None:
    assert c.column("x", pa.string(), "a name").metadata == {b"meaning": b"a name"}


def test_transient_columns_are_marked() -> None:
    assert c.is_transient(c.HTML)
    assert c.is_transient(c.ERROR)
    assert not c.is_transient(c.BODY)
    assert not c.is_transient(pa.field("foreign", pa.string()))


def test_every_column_has_a_meaning_and_its_own_name() -> None:
    assert all(field.metadata[b"meaning"] for field in c.ALL.values())
    assert all(name == field.name for name, field in c.ALL.items())


def test_every_field_of_the_module_is_in_all() -> None:
    fields = {name for name, value in vars(c).items() if isinstance(value, pa.Field)}
    missing = {name for name in fields if getattr(c, name).name not in c.ALL}
    assert missing == set()


def test_scores_and_counts_say_their_unit() -> None:
    counted = [f for f in c.ALL.values() if f.name.startswith("n_") or f.name.endswith("_score")]
    assert len(counted) >= 5
    assert [f.name for f in counted if b"unit" not in f.metadata] == []


def test_texts_are_large_strings() -> None:
    assert {c.BODY.type, c.HTML.type, c.DEAD_ERROR.type, c.TRACEBACK.type} == {pa.large_string()}


def test_id_is_never_null() -> None:
    assert not c.ID.nullable
    assert c.URL.nullable
