"""That a table is what its source says it is."""

import pyarrow as pa


def assert_fits(table: pa.Table, schema: pa.Schema) -> None:
    """Exactly the columns of `schema`, of their types, without a null where there should be none."""
    assert {field.name: field.type for field in table.schema} == {field.name: field.type for field in schema}
    assert [f.name for f in schema if not f.nullable and table.column(f.name).null_count] == []
