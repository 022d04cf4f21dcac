"""The verdict of a deduplication, carried out."""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from schemas import columns as c
from stages.stage import Resources, Rows, Transform, set_columns

REASON = pa.scalar("duplicate", pa.string())


@dataclass(frozen=True)
class DropDuplicates:
    """Drop each row that names another in `duplicate_of`. Reason: `duplicate`."""

    reads: ClassVar[pa.Schema] = pa.schema([c.DUPLICATE_OF])
    adds: ClassVar[pa.Schema] = pa.schema([c.DROP_REASON])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def open(self) -> Transform:
        return drop_duplicates


def drop_duplicates(table: pa.Table) -> pa.Table:
    """Fill `drop_reason` where `duplicate_of` is not null."""
    copies = pc.is_valid(table.column(c.DUPLICATE_OF.name))
    return set_columns(table, drop_reason=pc.if_else(copies, REASON, pa.scalar(None, pa.string())))
