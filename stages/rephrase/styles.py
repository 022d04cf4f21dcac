"""The styles of rewriting: how a document is cut for each, how long an answer may be, what is done to it.

WRAP (arXiv 2401.16380) packs sentences to about 300 tokens. It names no limit of an answer; twice the input is ours.
Nemotron-CC (arXiv 2412.02595) goes by the settings of NeMo Curator's recipe (methods 3.2), FinePhrase by datatrove's
example: 2,048 new tokens in a context of 8,192 (methods 3.3). How guards differ for a style is ours: a digest is short,
a question is not as long as the text, the result of a calculation is a new number.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from schemas.check import nearest

Cut = Literal["sentences", "lines"]
Form = Literal["prose", "markdown", "passages", "list", "pairs"]


@dataclass(frozen=True)
class Style:
    """One way of rewriting. Lengths in tokens of the model.

    `max_input` holds the prompt too where documents are cut at lines, and a segment alone where at sentences.
    `form`: what is made of an answer (answers.py). `guards`: how they differ from the defaults of stages/guards.
    """

    cut: Cut
    max_input: int
    max_output: int
    min_document: int = 0
    min_segment: int = 0
    min_result: int = 0
    form: Form = "prose"
    guards: dict[str, Any] = field(default_factory=dict, hash=False)


WRAP = Style("sentences", max_input=300, max_output=600)
ANY_LENGTH: dict[str, Any] = {"min_length_ratio": 0.05, "max_length_ratio": None}
DIGEST: dict[str, Any] = {"min_length_ratio": 0.1}

STYLES: dict[str, Style] = {
    "wrap-easy": WRAP,
    "wrap-medium": WRAP,
    "wrap-hard": WRAP,
    "wrap-qa": WRAP,
    # TinyHelen (arXiv 2501.00522): it leaves out noise, so a text may become much shorter
    "leaner": Style("sentences", max_input=300, max_output=600, guards=DIGEST),
    # methods 3.2: min_doc, min_seg, max_input, max_output; documents under 50 tokens (diverse_qa 100) are dropped
    "nemotron-wikipedia-paraphrasing": Style("lines", 512, 512, 5, 5, 50),
    "nemotron-diverse-qa": Style("lines", 1000, 600, 30, 30, 100, "pairs", ANY_LENGTH),
    "nemotron-distill": Style("lines", 2000, 1600, 30, 10, 50, "prose", DIGEST),
    "nemotron-extract-knowledge": Style("lines", 1400, 1400, 30, 30, 50, "passages", DIGEST),
    "nemotron-knowledge-list": Style("lines", 1000, 600, 30, 30, 50, "list", DIGEST),
    # methods 3.3
    "finephrase-math": Style("lines", 6144, 2048, form="markdown", guards={**ANY_LENGTH, "novel_numbers": None}),
    "finephrase-table": Style("lines", 6144, 2048, form="markdown", guards=ANY_LENGTH),
    "finephrase-faq": Style("lines", 6144, 2048, form="markdown", guards=ANY_LENGTH),
    "finephrase-tutorial": Style("lines", 6144, 2048, form="markdown", guards=ANY_LENGTH),
}


def find_style(name: str, who: str) -> Style:
    """The style called `name`; `ValueError` with the nearest. `who` asks."""
    if name not in STYLES:
        raise ValueError(f"{who}: no style {name!r}{nearest(name, list(STYLES)) or '; there is ' + ', '.join(STYLES)}")
    return STYLES[name]
