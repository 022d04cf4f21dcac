"""Recipe `dialogue`: a dialogue of several turns on each document, by way of its facts and a plan (R2S).

    headrace run dialogue --input DATA --output OUT --set Dialogue.engine=openai:http://host:8000/v1#MODEL

R2S has a model find the facts of a document, plan questions of several kinds, and only then write: three requests a
document. The rows have the turns as `messages`, for tuning with a chat template, and as `text`. A dialogue whose
speakers do not take turns is dropped, as is one with numbers or addresses that the document lacks.
"""

from cluster.recipe import Recipe, Step
from stages.read_parquet import ReadParquet
from stages.synthesize.dialogue import Dialogue
from stages.synthesize.faithfulness import Faithfulness


def dialogue() -> Recipe:
    """Documents in, a dialogue on each out."""
    return Recipe(
        name="dialogue",
        about="dialogues of several turns grounded in documents: facts, plan, dialogue (R2S)",
        steps=(Step("dialogue", ReadParquet(table_bytes=2_000_000), (Dialogue(), Faithfulness())),),
    )
