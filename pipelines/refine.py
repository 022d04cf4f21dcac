"""Recipe `refine`: documents that small models have judged and cleaned (ProX, arXiv 2409.17115).

Every document is read by a model that keeps or drops it, then by one that writes a program to clean it: lines to
remove, strings to replace. Programs are carried out here, kept in `edits`, and can be run again without the model.
It comes behind quality filters and is none: an error page with nothing to cut out is kept as it is.

The models by default are the released ones for web text; those for mathematics are `gair-prox/math-doc-refining-lm` and
`gair-prox/math-chunk-refining-lm`. Any folder does, and any server whose model's tokenizer is at hand:

    --set ProxChunks.engine=openai:http://host:8000/v1?tokenizer=FOLDER#name

The refiner that headrace brings is small, needs no hub and has no document stage:

    --set ProxDocument.engine=null --set ProxChunks.engine=transformers:headrace-refiner
"""

from cluster.recipe import Recipe, Step
from stages.read_parquet import ReadParquet
from stages.refine.chunk import ProxChunks
from stages.refine.document import ProxDocument


def refine() -> Recipe:
    """Parquet in; the rows that are kept, with refined texts, out."""
    return Recipe(
        name="refine",
        about="documents judged and cleaned by small models that write programs, ProX (arXiv 2409.17115)",
        steps=(Step("refine", ReadParquet(), (ProxDocument(), ProxChunks())),),
    )
