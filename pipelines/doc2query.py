"""Recipe `doc2query`: documents with queries that they answer, for retrieval.

    headrace run doc2query --input DATA --output OUT                                     # behind each text
    headrace run doc2query --input DATA --output OUT --set Doc2Query.output=rows         # (query, document) to train on

Nogueira et al. 2019 (arXiv 1904.08375) expand a document by what people may ask when they look for it, so that a search
by words finds it in their words too. As rows, each query names its document in `parents`.
"""

from cluster.recipe import Recipe, Step
from stages.read_parquet import ReadParquet
from stages.synthesize.doc2query import Doc2Query


def doc2query() -> Recipe:
    """Documents in; documents with queries, or queries, out."""
    return Recipe(
        name="doc2query",
        about="documents expanded by the queries that they answer (doc2query, arXiv 1904.08375)",
        steps=(Step("doc2query", ReadParquet(table_bytes=2_000_000), (Doc2Query(),)),),
    )
