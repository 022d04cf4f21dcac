"""Labels by an annotator: an engine writes programs for a sample of texts, and what they remove is noise (methods 1.8).

A large chat model gets ProX's way of asking, one prompt for each kind of noise (navigation at the top, links in the
body, boilerplate at the end) over the same chunk; what any of them removes is noise. A model that is itself a refiner
gets the one prompt that it knows (`prompt_format`). A chunk counts only when all its programs are sound, and do not
remove more of it than `MOST_REMOVED`: what a page is about cannot be all noise, a program that says so is mistaken.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from stages.models.ask import Asker
from stages.models.engine import Failure, Prompt, Request, Sampling
from stages.prompts import load_prompt
from stages.refine.labels import Document
from stages.refine.lines import Chunk, chunk
from stages.refine.program import RemoveLines, parse_program
from stages.refine.prompt_format import PromptFormat, chunk_prompt

PROMPTS = ("prox-lines-top", "prox-lines-links", "prox-lines-bottom")
SOURCE = "annotated"
CHUNK_WORDS, MAX_TOKENS = 400, 512
MOST_REMOVED = 0.8  # of the words of a chunk


class Text(NamedTuple):
    """A document of the sample."""

    name: str
    site: str
    lang: str
    text: str


class Annotated(NamedTuple):
    """The chunks that have sound labels, and how many had none, by the reason."""

    documents: list[Document]
    rejected: dict[str, int]


def annotate(texts: Sequence[Text], asker: Asker, prompt_format: PromptFormat | None = None) -> Annotated:
    """Each chunk of `texts` labelled by programs. `prompt_format` None: a chat model."""
    parts = [
        (text, part)
        for text in texts
        for part in chunk(text.text, lambda lines: [len(line.split()) + 1 for line in lines], CHUNK_WORDS)
        if part.tokens <= CHUNK_WORDS
    ]
    asked = [prompts(part, prompt_format) for _, part in parts]
    sampling = Sampling(max_tokens=MAX_TOKENS)
    answers = asker.ask([Request(prompt, sampling) for several in asked for prompt in several])
    documents, rejected, at = [], Counter[str](), 0
    for (text, part), several in zip(parts, asked, strict=True):
        removed = _removed(part, answers[at : at + len(several)])
        at += len(several)
        lines = [" ".join(line.split()) for line in text.text.split("\n")[part.first : part.last + 1]]
        if not isinstance(removed, str):
            removed = _too_much(lines, part.first, removed)
        if isinstance(removed, str):
            rejected[removed] += 1
            continue
        keep = tuple(part.first + i not in removed for i in range(len(lines)))
        documents.append(Document(f"{text.name}#{part.first}", text.site, text.lang, SOURCE, tuple(lines), keep))
    return Annotated(documents, dict(rejected))


def prompts(part: Chunk, prompt_format: PromptFormat | None) -> list[Prompt]:
    """What is asked about a chunk."""
    if prompt_format is not None:
        return [Prompt(text=chunk_prompt(part.text, prompt_format))]
    return [load_prompt(name).chat(chunk=chunk_prompt(part.text, "plain")) for name in PROMPTS]


def _removed(part: Chunk, answers: Sequence[object]) -> set[int] | str:
    """The lines that the programs remove, or why they say nothing."""
    found: set[int] = set()
    for answer in answers:
        if isinstance(answer, Failure):
            return "no answer"
        program = parse_program(getattr(answer, "text", ""), within=(part.first, part.last))
        if program.errors or not program.ops:
            return "program with faults"
        for op in program.ops:
            if isinstance(op, RemoveLines):
                found.update(range(op.start, op.end + 1))
    return found


def _too_much(lines: Sequence[str], first: int, removed: set[int]) -> set[int] | str:
    sizes = [len(line.split()) for line in lines]
    gone = sum(size for i, size in enumerate(sizes, first) if i in removed)
    return "too much removed" if gone > MOST_REMOVED * max(sum(sizes), 1) else removed
