"""Recipe `augment`: each document in several variants, in an order by chance (Physics of Language Models 3.1).

    headrace run augment --input DATA --output OUT --set Augment.subject=title --set Augment.permute=2
    headrace run augment --input DATA --output OUT --set Augment.multi=0                      # no model

A model that has met a fact in one wording only cannot tell it when it is asked; one that has met it in five, with the
sentences in other orders and the full name in place of pronouns, can (Allen-Zhu and Li 2023, arXiv 2309.14316: 9.7 %
of answers right, and 96 %). Variants that stood side by side undid that in a reproduction, so the result is shuffled
over the whole dataset: pack its shards in the order of their names.
"""

from cluster.recipe import Recipe, Step
from stages.read_parquet import ReadParquet
from stages.synthesize.augment import Augment
from stages.synthesize.order import DrawOrder
from stages.synthesize.shuffle_rows import ShuffleRows


def augment() -> Recipe:
    """Documents in, their variants out."""
    return Recipe(
        name="augment",
        about="variants of each document: rewrites, sentences in other orders, full names (arXiv 2309.14316)",
        steps=(
            Step(
                name="augment",
                source=ReadParquet(table_bytes=2_000_000),
                stages=(Augment(), DrawOrder()),
            ),
            Step(name="shuffle", after="augment", source=ReadParquet(), shuffle=ShuffleRows(), stages=()),
        ),
    )
