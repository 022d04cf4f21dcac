"""What models were asked for the rows of a table, added up from the column `answers`, where each row says it itself."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

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
    columns = [table.column(c.ANSWERS.name) for table in tables if c.has(table.schema, c.ANSWERS)]
    rows = summed([chunk for column in columns for chunk in column.chunks], ("stage",), SUMS)
    found = [Asked(row["stage"], *(row[name] for name in SUMS)) for row in rows]
    return tuple(sorted(found, key=lambda one: one.stage))


def summed(answers: Iterable[pa.ListArray], by: Sequence[str], sums: Sequence[str]) -> list[dict[str, Any]]:
    """The entries of `answers` by what they say of `by`: how many (`entries`), and their `sums`."""
    flat = [entries for entries in map(pc.list_flatten, answers) if len(entries)]
    if not flat:
        return []
    parts = [pa.table({name: entries.field(name) for name in (*by, *sums)}) for entries in flat]
    found = pa.concat_tables(parts).group_by(list(by)).aggregate([([], "count_all"), *((n, "sum") for n in sums)])
    return [
        {name: row[name] for name in by}
        | {"entries": row["count_all"]}
        | {name: row[f"{name}_sum"] or 0 for name in sums}
        for row in found.to_pylist()
    ]
