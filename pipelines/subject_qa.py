"""Recipe `subject-qa`: questions and answers on snippets of web pages, by subject (Llama-3-SynE).

    headrace run subject-qa --input DATA --output OUT --set SubjectQA.form=qa
    headrace run subject-qa --input DATA --output OUT --set SubjectQA.subject=topic            # a column has the label

Chen et al. 2024 (arXiv 2407.18743) sort science pages by discipline, and have Mistral-7B-Instruct write a question and
an answer on a snippet of each. A fifth of such data among 1:7 of Chinese and English was best, two fifths hurt; up to
30 % of wrong answers did no harm, more than half did. A page that teaches nothing in any of the disciplines is dropped.
"""

from cluster.recipe import Recipe, Step
from stages.read_parquet import ReadParquet
from stages.synthesize.faithfulness import Faithfulness
from stages.synthesize.subject_qa import SubjectQA


def subject_qa() -> Recipe:
    """Pages in; questions and answers out, with what their texts have that the page lacks."""
    return Recipe(
        name="subject-qa",
        about="questions and answers on snippets of pages, by subject (Llama-3-SynE, arXiv 2407.18743)",
        steps=(Step("subject-qa", ReadParquet(table_bytes=2_000_000), (SubjectQA(), Faithfulness())),),
    )
