"""Recipe `conversation`: texts, mathematical ones above all, as conversations in seven styles (MIND).

    headrace run conversation --input DATA --output OUT --set Conversation.draw=1
    headrace run conversation --input DATA --output OUT --set Conversation.styles=[mind-debate,mind-interview]

Akter et al. 2024 (arXiv 2410.12881) made 64 B tokens of conversations from 14 B of OpenWebMath: GSM8K +13.4, MATH +2.3,
MMLU +4.6. Every piece of 500 tokens is told in all styles, or in as many as `draw` says; each is a row, and those of a
document are neighbours, so sort the result by `order` before it is packed.
"""

from cluster.recipe import Recipe, Step
from stages.read_parquet import ReadParquet
from stages.synthesize.conversation import Conversation
from stages.synthesize.order import DrawOrder


def conversation() -> Recipe:
    """Documents in; conversations on their pieces out, with a place in a global order by chance."""
    return Recipe(
        name="conversation",
        about="conversations on pieces of documents, in seven styles (MIND, arXiv 2410.12881)",
        steps=(Step("conversation", ReadParquet(table_bytes=1_000_000), (Conversation(), DrawOrder())),),
    )
