"""Recipe `dedup-lines`: any Parquet dataset without lines that it has said already.

CCNet's way (arXiv 1911.00359, 3.2): two lines are one if they are in lower case, with digits as 0 and without
punctuation and accents. Here over the whole dataset instead of a group of shards, and the first occurrence stays; CCNet
itself cut all of them: `--set RepeatedLines.in_documents=2`. `RepeatedLines.unit=paragraph` and
`RepeatedLines.scope=site` are the two other settings to know.
"""

from cluster.recipe import Recipe, Step
from stages.dedup.cut_lines import CutLines
from stages.dedup.lines import RepeatedLines
from stages.read_parquet import ReadParquet


def dedup_lines() -> Recipe:
    """Parquet in; the same rows with shorter texts out, without those that have too little left."""
    return Recipe(
        name="dedup-lines",
        about="texts without lines that come earlier in the dataset, as CCNet tells them (arXiv 1911.00359)",
        steps=(
            Step("read", ReadParquet(), ()),
            Step("cut", ReadParquet(), (CutLines(),), after="read", shuffle=RepeatedLines()),
        ),
    )
