"""Recipe `instruction`: documents in, documents with questions and answers out (Instruction Pre-Training).

    headrace run instruction --input DATA --output OUT --set InstructionPairs.rounds=3

Cheng et al. 2024 (arXiv 2406.14491): a synthesizer that was tuned for it writes about five pairs on each text; in 2
rounds on general text, of which a fifth is converted, in 3 on a domain, whose texts are all converted. The second text
of a chain was written in sight of the first and its pairs, and both become one text. What has no pairs stays as it is.
"""

from cluster.recipe import Recipe, Step
from stages.read_parquet import ReadParquet
from stages.synthesize.instruction_pairs import InstructionPairs
from stages.synthesize.instruction_texts import InstructionTexts


def instruction() -> Recipe:
    """Chains are within a table, so one of a few megabytes is a fair choice."""
    return Recipe(
        name="instruction",
        about="documents with questions and answers on them, some as examples of others (arXiv 2406.14491)",
        steps=(
            Step(
                name="instruction",
                source=ReadParquet(table_bytes=4_000_000),
                stages=(InstructionPairs(), InstructionTexts()),
            ),
        ),
    )
