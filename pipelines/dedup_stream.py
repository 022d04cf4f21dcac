"""Recipe `dedup-stream`: near duplicates of any Parquet dataset in a single pass, by MinHash.

Bands as in `dedup`; a row that shares one with a row that stayed before it goes. Nothing waits for the last row, texts
are not compared, and which row of a cluster stays is a matter of order: `dedup` where that matters.
"""

from cluster.recipe import Recipe, Step
from stages.dedup.bands import MinHashBands
from stages.dedup.seen import DropSeen
from stages.read_parquet import ReadParquet


def dedup_stream() -> Recipe:
    """Parquet in; the same rows without those that share a band with a row seen before out, with their bands."""
    return Recipe(
        name="dedup-stream",
        about="near duplicates by MinHash in one pass, against an index of the rows that stayed",
        steps=(Step("dedup", ReadParquet(), (MinHashBands(), DropSeen())),),
    )
