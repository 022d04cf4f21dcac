"""Recipe `dedup`: near duplicates of any Parquet dataset, by MinHash.

FineWeb's setting (arXiv 2406.17557): shingles of 5 words, 14 bands of 8, one row of a cluster stays. Ours besides: a
row goes only if its true similarity to one that stays is at least 0.7 (`--set NearDuplicates.verify=null` for
FineWeb's own way), and the rows that stay keep their bands, so that the result is the index for what comes later.
"""

from cluster.recipe import Recipe, Step
from stages.dedup.bands import MinHashBands
from stages.dedup.near import NearDuplicates
from stages.drop_duplicates import DropDuplicates
from stages.read_parquet import ReadParquet


def dedup() -> Recipe:
    """Parquet in; the same rows without near duplicates out, each with the size of its cluster."""
    return Recipe(
        name="dedup",
        about="near duplicates by MinHash, as FineWeb does it, and verified (arXiv 2406.17557)",
        steps=(
            Step("bands", ReadParquet(), (MinHashBands(),)),
            Step("dedup", ReadParquet(), (DropDuplicates(),), after="bands", shuffle=NearDuplicates(verify=0.7)),
        ),
    )
