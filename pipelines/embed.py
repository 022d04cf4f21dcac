"""Recipe `embed`: a vector for each document, which semantic dedup goes on from. Three commands:

    headrace run embed --input DATA --output vectors
    python -m pipelines.centroids --input vectors/embed/data --output centroids.npy
    headrace run dedup-semantic --input vectors/embed/data --output out --set AssignCentroid.centroids=centroids.npy

DATA is Parquet with a column `text`; `--set Embed.engine=transformers:FOLDER` takes another model.
"""

from cluster.recipe import Recipe, Step
from stages.rate.embed import Embed
from stages.read_parquet import ReadParquet


def embed() -> Recipe:
    """Documents in; the same documents with a column `embedding` out."""
    return Recipe(
        name="embed",
        about="a vector for each document, for dedup-semantic",
        steps=(Step("embed", ReadParquet(), (Embed(),)),),
    )
