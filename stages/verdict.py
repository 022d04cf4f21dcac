"""From a rule on one text to a transform of a table."""

from collections.abc import Callable, Iterator

import pyarrow as pa

from schemas import columns as c
from stages.stage import Transform, set_columns

EMPTY = "empty"  # datatrove's reason where a rule would divide by the length of nothing


def texts(table: pa.Table) -> Iterator[str]:
    """The texts of `table`, one by one; a null is an empty text."""
    for chunk in table.column(c.BODY.name).chunks:
        for value in chunk:
            yield value.as_py() or ""


def judged(reason: Callable[[str], str | None]) -> Transform:
    """The transform that sets `drop_reason` to `reason(text)`; None keeps the row."""

    def transform(table: pa.Table) -> pa.Table:
        return set_columns(table, drop_reason=reasons([reason(text) for text in texts(table)]))

    return transform


def by_array(judge: Callable[[pa.Array], list[str | None]]) -> Transform:
    """The transform that sets `drop_reason` to what `judge` makes of each array of texts."""

    def transform(table: pa.Table) -> pa.Table:
        values = [reason for array in table.column(c.BODY.name).chunks for reason in judge(array)]
        return set_columns(table, drop_reason=reasons(values))

    return transform


def reasons(values: list[str | None]) -> pa.Array:
    """The `drop_reason` column."""
    return pa.array(values, c.DROP_REASON.type)


def repeated_chars(elements: list[str]) -> tuple[int, int]:
    """(occurrences behind the first, their characters) of elements that come more than once."""
    unique = set(elements)
    n = len(elements) - len(unique)
    return n, sum(map(len, elements)) - sum(map(len, unique)) if n else 0
