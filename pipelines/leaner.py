"""Recipe `leaner`: documents in plain and few words, and how far they keep to a vocabulary (TinyHelen).

    headrace run leaner --input DATA --output OUT --set LeanWords.most=0.1
    headrace run leaner --input DATA --output OUT --set LeanWords.vocabulary=WORDS.txt

Yang et al. 2025 (arXiv 2501.00522) rewrite 71 M tokens without noise and with few words, so that models with 2,000
tokens in their vocabulary learn from them what larger ones learn from the web. The rewriting is a style of Rephrase,
with its guards; a text that was not rewritten stays as it was, says why in `answers`, and is measured all the same.
"""

from cluster.recipe import Recipe, Step
from stages.read_parquet import ReadParquet
from stages.rephrase.rephrase import Rephrase
from stages.synthesize.lean_words import LeanWords


def leaner() -> Recipe:
    """Documents in, the same in leaner language out."""
    return Recipe(
        name="leaner",
        about="documents rewritten in plain words, and their share of rare ones (TinyHelen, arXiv 2501.00522)",
        steps=(
            Step(
                "leaner",
                ReadParquet(table_bytes=2_000_000),
                (Rephrase(styles=("leaner",), mix=False, tokens="words"), LeanWords()),
            ),
        ),
    )
