"""EntiGraph (arXiv 2409.07431): a small corpus to a large one, by what it says of each two or three of its entities."""

from cluster.recipe import Recipe, Step
from stages.dedup.bands import MinHashBands
from stages.dedup.near import NearDuplicates
from stages.drop_duplicates import DropDuplicates
from stages.read_parquet import ReadParquet
from stages.synthesize.budget import ShareBudget
from stages.synthesize.entigraph import EntiGraph
from stages.synthesize.extract_entities import ExtractEntities
from stages.synthesize.faithfulness import Faithfulness
from stages.synthesize.order import DrawOrder
from stages.synthesize.shuffle_rows import ShuffleRows


def entigraph() -> Recipe:
    """A table holds a document or a few: one may become ten thousand rows, and they are in memory together."""
    return Recipe(
        name="entigraph",
        about="texts on every two and three entities of each document, within a budget (EntiGraph)",
        steps=(
            Step(name="entities", source=ReadParquet(), stages=(ExtractEntities(),)),
            Step(
                name="entigraph",
                after="entities",
                source=ReadParquet(table_bytes=20_000),
                shuffle=ShareBudget(),
                stages=(EntiGraph(), Faithfulness(), MinHashBands()),
            ),
            Step(
                name="dedup",
                after="entigraph",
                source=ReadParquet(),
                shuffle=NearDuplicates(verify=0.7),
                stages=(DropDuplicates(), DrawOrder()),
            ),
            Step(name="shuffle", after="dedup", source=ReadParquet(), shuffle=ShuffleRows(), stages=()),
        ),
    )
