"""Recipe `reading`: the texts of a domain with exercises that they hold already, for a model that is to learn it.

    headrace run reading --input DATA --output OUT --set ReadingComprehension.domain=law

AdaptLLM (Cheng et al. 2024, arXiv 2309.09530) trains on such texts, mixed with general instructions, in place of raw
ones. It asks no model; `reading-tasks` has one write the exercises, as TransformLLM does for law. `instruction` is what
the same authors did next.
"""

from cluster.recipe import Recipe, Step
from stages.read_parquet import ReadParquet
from stages.synthesize.reading import ReadingComprehension
from stages.synthesize.reading_tasks import ReadingTasks


def reading() -> Recipe:
    """Documents in, as many documents out."""
    return Recipe(
        name="reading",
        about="texts with exercises of reading comprehension mined from them, no model (AdaptLLM, arXiv 2309.09530)",
        steps=(Step(name="reading", source=ReadParquet(), stages=(ReadingComprehension(),)),),
    )


def reading_tasks() -> Recipe:
    """The same, with exercises that a model writes."""
    return Recipe(
        name="reading-tasks",
        about="texts with exercises of reading comprehension that a model writes (TransformLLM)",
        steps=(Step(name="reading", source=ReadParquet(table_bytes=2_000_000), stages=(ReadingTasks(),)),),
    )
