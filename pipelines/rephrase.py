"""Recipe `rephrase`: any Parquet dataset with a column `text`, and each document once more in other words.

    headrace run rephrase --input DATA --output OUT --set Rephrase.styles=[wrap-qa]
        --set Rephrase.engine=openai:http://host:8000/v1#mistralai/Mistral-7B-Instruct-v0.2

Real and synthetic rows are 1:1 for one style, as WRAP mixes them (Maini et al. 2024, arXiv 2401.16380); `mix=false`
puts the rewrite in the place of the text. Other styles are those of Nemotron-CC (arXiv 2412.02595) and FinePhrase. A
rewrite that a guard rejects leaves the original, and `answers` says why. Shuffle the result before it is packed.
"""

from cluster.recipe import Recipe, Step
from stages.read_parquet import ReadParquet
from stages.rephrase.rephrase import Rephrase


def rephrase() -> Recipe:
    """Documents in; the same documents and their rewrites out."""
    return Recipe(
        name="rephrase",
        about="documents and their rewrites in the styles of WRAP, Nemotron-CC and FinePhrase (arXiv 2401.16380)",
        steps=(Step(name="rephrase", source=ReadParquet(), stages=(Rephrase(),)),),
    )
