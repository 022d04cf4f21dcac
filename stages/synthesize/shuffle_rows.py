"""A global shuffle: what was made from one document must not be packed side by side."""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from schemas import columns as c


@dataclass(frozen=True)
class ShuffleRows:
    """Rows of an earlier step in the order of `order` (DrawOrder) over the whole dataset, in shards of their own.

    "Variants of one entity in the same context gave 7 %, shuffled globally 97.5 %": an independent reproduction of
    Physics of Language Models 3.1 (methods 11). The shards are ranges of the order: read them by name.
    """

    key: ClassVar[str] = c.ORDER.name
    moves: ClassVar[bool] = True
    reads: ClassVar[pa.Schema] = pa.schema([c.ID, c.ORDER])
    adds: ClassVar[pa.Schema] = pa.schema([])
