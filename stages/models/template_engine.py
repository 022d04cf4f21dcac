"""The back end `template:`, an engine without a model, for dry runs and tests: rules answer every prompt of ours.

    headrace run rephrase --input DATA --output OUT --set Rephrase.engine=template:

It shows what a recipe will do before a model is paid for: how many calls, rows and tokens, in the forms that a model
would give, through the same parsers, guards and ledger; with `?prompt_price=..&completion_price=..` what it would cost.
What rows say is the document's own text, rearranged; numbers and lengths are of the order of a model's, no more.

A chat is answered if it is one of stages/prompts; so are the forms of Instruction Pre-Training's synthesizer and of
ProX's models. Any other request is a `Failure`: nobody wrote a rule for it. `labels=a,b` are those of a classifier
(one, `score`, by default). Its answers are kept under a name of its own, never under that of a model.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from random import Random

import numpy as np

from stages.models.engine import Answer, Failure, Prompt, Request, Sampling, Scored, Usage, Vector
from stages.models.spec import Spec
from stages.models.template.exercises import instructions
from stages.models.template.measures import decode, embedding, encode, likelihoods, marks
from stages.models.template.program import program, verdict
from stages.models.template.recognise import recognised
from stages.models.template.replies import Unanswerable, reply

TURN = 4  # tokens that a chat's template has around a turn
SYNTHESIZER = re.compile(r"<CON> (?P<text>(?:(?!<CON>).)*?) </CON>\s*$", re.DOTALL)
CHUNK = re.compile(r"\[doc\]\n(?P<chunk>.*)\n\[/doc\]", re.DOTALL)
AROUND = re.compile(
    r"<s>|</s>|\[/?INST\]|<<SYS>>.*?<</SYS>>|<\|im_start\|>system\n.*?<\|im_end\|>|<\|im_\w+\|>", re.DOTALL
)


class TemplateEngine:
    """An engine whose answers depend on prompt and sampling alone."""

    context: int | None = None

    def __init__(self, spec: Spec) -> None:
        self.labels = tuple(label.strip() for label in str(spec.options["labels"]).split(",") if label.strip())

    def __repr__(self) -> str:
        return "TemplateEngine()"

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer | Failure]]:
        for number, request in enumerate(requests):
            yield number, answer(request)

    def score(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Scored | Failure]]:
        """How often a token came before in the same text is all that is known of it."""
        for number, prompt in enumerate(prompts):
            tokens = tokens_of(prompt)
            yield number, Scored(likelihoods(tokens), Usage(len(tokens)))

    def embed(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Vector | Failure]]:
        for number, prompt in enumerate(prompts):
            tokens = tokens_of(prompt)
            yield number, Vector(embedding(decode(tokens)), Usage(len(tokens)))

    def classify(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Vector | Failure]]:
        for number, prompt in enumerate(prompts):
            tokens = tokens_of(prompt)
            yield number, Vector(np.asarray(marks(decode(tokens), self.labels)), Usage(len(tokens)))

    def tokenize(self, texts: Sequence[str], special: bool = False) -> list[list[int]]:
        return [encode(text, special) for text in texts]

    def close(self) -> None:
        """Nothing is held."""


def tokens_of(prompt: Prompt) -> tuple[int, ...]:
    """The tokens of a prompt of any form."""
    if prompt.tokens is not None:
        return prompt.tokens
    text = prompt.text if prompt.text is not None else "\n".join(said for _, said in prompt.chat or ())
    return tuple(encode(text, True))


def answer(request: Request) -> Answer | Failure:
    """What is said to one request, cut as its sampling says."""
    try:
        text = _said(request.prompt, _draw(request))
    except Unanswerable as error:
        return Failure(str(error))
    sampling: Sampling = request.sampling
    text = text[: min((text.find(stop) for stop in sampling.stop if stop in text), default=len(text))]
    tokens = encode(text)
    asked = len(tokens_of(request.prompt)) + TURN * len(request.prompt.chat or ())
    if len(tokens) >= sampling.max_tokens:
        cut = decode(tokens[: sampling.max_tokens])
        return Answer(cut, "length", Usage(asked, sampling.max_tokens))
    return Answer(text, "stop", Usage(asked, len(tokens) + 1))


def _said(prompt: Prompt, draw: Random) -> str:
    if prompt.chat is not None:
        if (found := recognised(prompt)) is not None:
            return reply(*found, draw)
        raise Unanswerable("the template engine answers the prompts of stages/prompts, and this is none of them")
    text = prompt.text if prompt.text is not None else decode(prompt.tokens or ())
    if (match := SYNTHESIZER.search(text)) is not None:
        return instructions(match["text"])
    if (match := CHUNK.search(text)) is not None:
        return program(match["chunk"])
    if prompt.tokens is not None:
        return verdict(AROUND.sub("", text))
    raise Unanswerable("the template engine has no rule for this text")


def _draw(request: Request) -> Random:
    """What is drawn depends on the seed and the prompt."""
    what = repr((request.sampling.seed, request.prompt.chat, request.prompt.text))
    return Random(int.from_bytes(hashlib.sha256(what.encode("utf-8", "surrogatepass")).digest()[:8], "big"))
