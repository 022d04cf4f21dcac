"""Recipe `dedup-substring`: what repeats within and across documents, taken out of all but its first place.

Lee et al. 2021 (arXiv 2107.06499) cut 50 tokens of BPE or more; here it is 50 words, which are more. Behind the dedup
of whole documents, which is cheaper and leaves less to compare. Another length is a setting of both shuffles.
"""

from cluster.recipe import Recipe, Step
from stages.dedup.substring import ExactSubstring, Winnowing
from stages.dedup.substring_cut import CutSpans
from stages.read_parquet import ReadParquet


def dedup_substring() -> Recipe:
    """Parquet files of documents in; the same without repeated spans out."""
    return Recipe(
        name="dedup-substring",
        about="spans of 50 words or more that stand before, cut out (arXiv 2107.06499)",
        steps=(
            Step(name="read", source=ReadParquet(), stages=()),
            Step(name="winnow", after="read", source=ReadParquet(), shuffle=Winnowing(), stages=()),
            Step(
                name="cut",
                after="winnow",
                source=ReadParquet(),
                shuffle=ExactSubstring(),
                stages=(CutSpans(),),
            ),
        ),
    )
