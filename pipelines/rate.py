"""Recipe `rate`: documents by their educational value, as FineWeb-Edu was made of FineWeb.

    headrace run rate --input DATA --output OUT
    headrace run rate --input DATA --output OUT --set FineWebEdu.engine=transformers:FOLDER --set FineWebEdu.threshold=2

DATA is Parquet with a column `text`. The default engine is the released classifier, by its name on the hub; on a GPU
add `?gpus=0.25` or so to it. `FineWebEdu.threshold=null` only adds the scores, and `SelectByScore` selects by them.
"""

from cluster.recipe import Recipe, Step
from stages.rate.fineweb_edu import FineWebEdu
from stages.read_parquet import ReadParquet


def rate() -> Recipe:
    """Documents in; those that the FineWeb-Edu classifier gives 3 or more out, with their scores."""
    return Recipe(
        name="rate",
        about="documents of educational value, by FineWeb-Edu's classifier (arXiv 2406.17557)",
        steps=(Step("rate", ReadParquet(), (FineWebEdu(),)),),
    )
