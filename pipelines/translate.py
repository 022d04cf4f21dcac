"""Recipe `translate`: documents in other languages, and how odd a small model of the language finds them.

    headrace run translate --input DATA --output OUT --set Translate.languages=[hi] --set Perplexity.engine=SMALL_MODEL
    python -m pipelines.score_threshold --input OUT/perplexity/data --score perplexity --quantile 0.75
    headrace run translate ... --set Perplexity.max_perplexity=THAT --fresh         # no translation is paid for again

TransWeb-Edu (arXiv 2410.23956) translates FineWeb-Edu to French, German and Spanish by Mistral-7B-Instruct. Translated
text reads like a translation; Translationese (arXiv 2403.13638) drops what a model of 28 M parameters, trained on clean
text of the language, finds least likely, and with that is 0.9 % below clean data in understanding, 2.4 % in writing.
The share is not in the paper: 0.75 is an example. The default scorer knows English; take one of the language, and one
language a run.
"""

from cluster.recipe import Recipe, Step
from stages.rate.perplexity import Perplexity
from stages.read_parquet import ReadParquet
from stages.synthesize.translate import Translate


def translate() -> Recipe:
    """A step to translate and a step to score, so that another limit leaves the first as it is."""
    return Recipe(
        name="translate",
        about="documents translated with their paragraphs, and their perplexity (TransWeb-Edu, Translationese)",
        steps=(
            Step("translate", ReadParquet(table_bytes=2_000_000), (Translate(),)),
            Step("perplexity", ReadParquet(), (Perplexity(),), after="translate"),
        ),
    )
