"""Which row of a cluster stays: the same one whatever the order of shards, rows or workers.

Written as `first` (the smallest id: an arbitrary choice, but a fixed one) or as a column with its direction:
`highest n_chars`, `lowest perplexity`, `newest date` (the greatest text), `oldest date`. Several, the more important
one first, are joined by commas: `highest edu_score, highest n_chars`. Rows without a value come last; what is equal
in all is decided by id.
"""

from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from schemas import columns as c

DESCENDING = {"highest": True, "newest": True, "lowest": False, "oldest": False}
ANY = pa.null()  # a column whose type is the user's own


@dataclass(frozen=True)
class Criterion:
    """A column and its direction."""

    column: str
    descending: bool


def criteria(keep: str) -> tuple[Criterion, ...]:
    """`keep` read. `ValueError` says what is wrong with it."""
    if keep.strip() == "first":
        return ()
    found = []
    for part in keep.split(","):
        words = part.split()
        if len(words) != 2 or words[0] not in DESCENDING:
            known = ", ".join(f"'{word} COLUMN'" for word in DESCENDING)
            raise ValueError(f"keep should be 'first' or a list of {known}; got {part.strip()!r}")
        found.append(Criterion(words[1], DESCENDING[words[0]]))
    return tuple(found)


def reads(keep: str) -> pa.Schema:
    """The columns that `keep` needs: the id and those it names, of the type that schemas/ gives them, if it does."""
    fields = [c.ALL.get(criterion.column, pa.field(criterion.column, ANY)) for criterion in criteria(keep)]
    return pa.schema([c.ID, *dict.fromkeys(field for field in fields if field.name != c.ID.name)])


def ranked(rows: pl.DataFrame, keep: str) -> pl.DataFrame:
    """`rows` with the one that stays before the others of its cluster: by `keep`, then id, then shard and row.

    Files that overlap have rows of one id; the first of them by (shard, row) stays.
    """
    order = criteria(keep)
    return rows.sort(
        [*(criterion.column for criterion in order), c.ID.name, "shard", "row"],
        descending=[*(criterion.descending for criterion in order), False, False, False],
        nulls_last=True,
    )
