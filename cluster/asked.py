"""What models were asked for the rows of a table, added up from the column `answers`, where each row says it itself."""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from schemas import columns as c

SUMS = ("calls", "from_ledger", "prompt_tokens", "completion_tokens")


@dataclass(frozen=True)
class Asked:
    """Sums over the entries of one stage. `from_ledger`: of the calls, those that the ledger answered."""

    stage: str
    calls: int = 0
    from_ledger: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


def asked_of(tables: Iterable[pa.Table]) -> tuple[Asked, ...]:
    """By stage, earlier steps' included; nothing where no row has such a column."""
    parts = []
    for table in tables:
        if not c.has(table.schema, c.ANSWERS):
            continue
        for chunk in table.column(c.ANSWERS.name).chunks:
            entries = pc.list_flatten(chunk)
            if len(entries):
                parts.append(pa.table({name: entries.field(name) for name in ("stage", *SUMS)}))
    if not parts:
        return ()
    sums = pa.concat_tables(parts).group_by("stage").aggregate([(name, "sum") for name in SUMS])
    found = [Asked(row["stage"], *(row[f"{name}_sum"] for name in SUMS)) for row in sums.to_pylist()]
    return tuple(sorted(found, key=lambda one: one.stage))
