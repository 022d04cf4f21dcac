"""Which row of a cluster stays: the same one whatever the order of shards, rows or workers.

Written as `first` (the smallest id: an arbitrary choice, but a fixed one) or as a column with what is wanted of it:

    highest n_chars                       the greatest number: the longest text, the best score
    lowest perplexity                     the least
    newest date, oldest date              the greatest or least text; dates in ISO 8601 of one time zone
    prefer source_name wiki|books|news    values, the dearest first; others come behind them

Several, the more important one first, are joined by commas: `prefer lang en|de, highest edu_score, highest n_chars`.
Rows without a value (null, or NaN) come last; what is equal in all is decided by id.
"""

from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from schemas import columns as c
from schemas.tables import is_text

DESCENDING = {"highest": True, "newest": True, "lowest": False, "oldest": False}
PREFER = "prefer"
FORMS = (*(f"'{word} COLUMN'" for word in DESCENDING), f"'{PREFER} COLUMN VALUE|VALUE'")
ANY = pa.null()  # a column whose type is the user's own


@dataclass(frozen=True)
class Criterion:
    """A column and its direction; with `values`, the rank of its value among them instead of the value."""

    column: str
    descending: bool
    values: tuple[str, ...] = ()

    def key(self, type_: pl.DataType) -> pl.Expr:
        """What rows are sorted by, from a column of `type_`; null for a row without a value."""
        column = pl.col(self.column)
        if self.values:
            rank = {value: number for number, value in enumerate(self.values)}
            text = column.cast(pl.String)
            rank_ = text.replace_strict(rank, default=len(rank), return_dtype=pl.Int64)
            return pl.when(text.is_null()).then(None).otherwise(rank_)
        return column.fill_nan(None) if type_.is_float() else column


def criteria(keep: str) -> tuple[Criterion, ...]:
    """`keep` read. `ValueError` says what is wrong with it."""
    if keep.strip() == "first":
        return ()
    found = []
    for part in keep.split(","):
        words = part.split(maxsplit=2)
        values = tuple(value.strip() for value in words[2].split("|")) if len(words) == 3 else ()
        if len(words) == 3 and words[0] == PREFER and all(values) and len(set(values)) == len(values):
            found.append(Criterion(words[1], False, values))
        elif len(words) == 2 and words[0] in DESCENDING:
            found.append(Criterion(words[1], DESCENDING[words[0]]))
        else:
            raise ValueError(f"keep should be 'first' or a list of {', '.join(FORMS)}; got {part.strip()!r}")
    return tuple(found)


def reads(keep: str) -> pa.Schema:
    """The columns that `keep` needs: the id and those it names, of the type that schemas/ gives them, if it does."""
    fields = [c.ALL.get(criterion.column, pa.field(criterion.column, ANY)) for criterion in criteria(keep)]
    return pa.schema([c.ID, *dict.fromkeys(field for field in fields if field.name != c.ID.name)])


def faults(keep: str, schema: pa.Schema) -> list[str]:
    """What `keep` asks of rows of `schema` that their columns cannot give."""
    found = []
    for criterion in criteria(keep):
        type_ = schema.field(criterion.column).type
        if pa.types.is_nested(type_) or pa.types.is_null(type_):
            found.append(f"keep orders rows by {criterion.column!r}, a {type_}; it takes numbers, dates and text")
        elif criterion.values and not (is_text(type_) or pa.types.is_integer(type_) or pa.types.is_boolean(type_)):
            found.append(f"keep prefers values of {criterion.column!r}, a {type_}; it takes text and whole numbers")
    return found


def ranked(rows: pl.DataFrame, keep: str) -> pl.DataFrame:
    """`rows` with the one that stays before the others of its cluster: by `keep`, then id, then shard and row.

    Files that overlap have rows of one id; the first of them by (shard, row) stays.
    """
    order = criteria(keep)
    return rows.sort(
        [*(criterion.key(rows.schema[criterion.column]) for criterion in order), c.ID.name, "shard", "row"],
        descending=[*(criterion.descending for criterion in order), False, False, False],
        nulls_last=True,
    )
