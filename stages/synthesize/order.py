"""A place for each row in a global order by chance: variants of a document must not be neighbours (methods 11)."""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from schemas import columns as c
from stages.stage import Resources, Rows, Transform, set_columns
from stages.synthesize.relations import draw


@dataclass(frozen=True)
class DrawOrder:
    """Adds `order`, a hash of `seed` and id: rows sorted by it (then by id) over a whole dataset are shuffled.

    The numbers are spread evenly over 64 bits, so ranges of equal width hold equally many rows. Models that met the
    variants of a document side by side did not learn its facts: Physics of Language Models 3.1 (arXiv 2309.14316).
    """

    seed: int = 42

    reads: ClassVar[pa.Schema] = pa.schema([c.ID])
    adds: ClassVar[pa.Schema] = pa.schema([c.ORDER])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources(memory_gb=0.5)

    def open(self) -> Transform:
        return self.drawn

    def drawn(self, table: pa.Table) -> pa.Table:
        """`table` with the order."""
        numbers = [draw(self.seed, "order", id_) for id_ in table.column(c.ID.name).to_pylist()]
        return set_columns(table, order=pa.array(numbers, c.ORDER.type))
