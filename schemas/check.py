"""What a schema or a table has not that is asked of it, and the nearest name of what it has."""

import difflib

import pyarrow as pa


class SchemaError(ValueError):
    """A table or a schema does not have what is asked of it; the message lists all faults."""


def nearest(name: str, known: list[str]) -> str:
    """`; did you mean 'x'?` for the nearest known name, or nothing."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def missing(have: pa.Schema, want: pa.Schema, who: str) -> list[str]:
    """Faults of `have` against `want`: columns that are not there or have another type. A wanted null is any type."""
    faults = []
    for field in want:
        if field.name not in have.names:
            hint = nearest(field.name, have.names)
            faults.append(f"{who} reads {field.name!r}, which no earlier stage adds{hint}")
        elif field.type not in (pa.null(), have.field(field.name).type):
            there = have.field(field.name).type
            faults.append(f"{who} reads {field.name!r} as {field.type}, found {there}")
    return faults


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with exactly the columns of `schema`, in its order; absent ones are null, the rest is left out."""
    arrays = [
        table.column(field.name) if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
