"""Recipe `dedup-semantic`: documents that say the same in other words, by their embeddings. Two commands:

    python -m pipelines.centroids --input DATA --output centroids.npy
    headrace run dedup-semantic --input DATA --output OUT --set AssignCentroid.centroids=centroids.npy

DATA is Parquet with the embeddings in a column `embedding` (another: --column there, and `column` of both stages here).
The first command needs torch (`pip install 'headrace[models]'`), the run does not. `SemanticDuplicates.epsilon` says
how alike is too alike: which value takes what depends on the model that made the embeddings.
"""

from cluster.recipe import Recipe, Step
from stages.dedup.semantic import AssignCentroid, SemanticDuplicates
from stages.drop_duplicates import DropDuplicates
from stages.read_parquet import ReadParquet


def dedup_semantic() -> Recipe:
    """Parquet with embeddings in; the same rows without semantic duplicates out. The centroids must be given."""
    return Recipe(
        name="dedup-semantic",
        about="semantic duplicates by their embeddings: SemDeDup (arXiv 2303.09540)",
        steps=(
            Step("assign", ReadParquet(), (AssignCentroid(),)),
            Step("dedup", ReadParquet(), (DropDuplicates(),), after="assign", shuffle=SemanticDuplicates()),
        ),
    )
