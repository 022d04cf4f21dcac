"""Texts through a refining model: number, cut into chunks, ask, parse, carry out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from stages.models.ask import Asker
from stages.models.engine import Answer, Failure, Grammar, Prompt, Request, Sampling
from stages.refine.constrain import CALL, grammar
from stages.refine.execute import Executed, Guards, Thresholds, execute_each
from stages.refine.lines import Chunk, fill, numbered
from stages.refine.profile import Profile
from stages.refine.program import Program, join, parse_program
from stages.refine.prompt_format import chunk_prompt
from stages.stage import StageError

SLICE = 1_000_000  # code points of numbered lines that are tokenised at a time


class Refined(NamedTuple):
    """What became of one text. `output`: what the model wrote; a chunk that it wrote nothing about is a comment."""

    result: Executed
    program: Program
    answers: tuple[Answer, ...]
    output: str
    skipped: int  # chunks
    failure: str | None = None

    @property
    def decision(self) -> str:
        """What was decided; `...+skipped` if there are chunks that nobody was asked about."""
        if self.failure:
            return "failed"
        return self.result.decision + ("+skipped" if self.skipped and self.answers else "")


@dataclass
class Refining:
    """A refining model that is loaded, and how its programs are carried out."""

    asker: Asker
    profile: Profile
    thresholds: Thresholds = field(default_factory=Thresholds)
    guards: Guards | None = None
    constrain: bool = False

    def __post_init__(self) -> None:
        """Settles what a prompt may take: by the settings and by the model's own context."""
        own = self.asker.engine.context
        context = self.profile.context if own is None else min(own, self.profile.context)
        self._room = context - self.profile.max_tokens
        if self._room < 1:
            raise StageError(
                f"ProxChunks: a context of {context} tokens with {self.profile.max_tokens} max_tokens leaves no prompt"
            )
        self._frame = self._tokens([chunk_prompt("", self.profile.prompt_format)])[0]

    def refine(self, texts: Sequence[str]) -> list[Refined]:
        """What becomes of each text; a request that failed is told in `failure`. No words are nothing to ask about."""
        chunks = self._chunks(texts)
        wanted = [[self._fits(chunk) for chunk in own] for own in chunks]
        requests = [
            self._request(chunk)
            for own, fits in zip(chunks, wanted, strict=True)
            for chunk, ask in zip(own, fits, strict=True)
            if ask
        ]
        answers = iter(self.asker.ask(requests))
        return [
            self._settle(text, own, [next(answers) if ask else None for ask in fits])
            for text, own, fits in zip(texts, chunks, wanted, strict=True)
        ]

    def _settle(self, text: str, chunks: list[Chunk], said: list[Answer | Failure | None]) -> Refined:
        """The outputs of all chunks, carried out at once on the whole text."""
        answers = tuple(answer for answer in said if isinstance(answer, Answer))
        output = "\n".join(_written(c, answer) for c, answer in zip(chunks, said, strict=True))
        failures = [
            f"lines {c.first} to {c.last}: {answer.error}"
            for c, answer in zip(chunks, said, strict=True)
            if isinstance(answer, Failure)
        ]
        programs = self._programs(chunks, said)
        skipped = said.count(None)
        if failures or (skipped and not answers):
            result = Executed(text, "skipped", ())
        else:
            result = execute_each(text, programs, self.thresholds, self.guards)
        return Refined(result, join(programs), answers, output, skipped, "; ".join(failures) or None)

    def _programs(self, chunks: list[Chunk], said: list[Answer | Failure | None]) -> list[Program]:
        """One for each chunk; with `compat` one for all, as in the original."""
        asked = [(c, answer.text) for c, answer in zip(chunks, said, strict=True) if isinstance(answer, Answer)]
        if self.profile.compat:
            return [parse_program("\n".join(text.strip(" ") for _, text in asked), compat=True)]
        return [parse_program(text, within=(c.first, c.last)) for c, text in asked]

    def _chunks(self, texts: Sequence[str]) -> list[list[Chunk]]:
        """The chunks of each text; its lines are tokenised together with those of others, some at a time."""
        result: list[list[Chunk]] = []
        waiting: list[list[str]] = []
        n_chars = 0
        for text in texts:
            waiting.append(numbered(text) if text and not text.isspace() else [])
            n_chars += len(text)
            if n_chars >= SLICE:
                result += self._filled(waiting)
                waiting, n_chars = [], 0
        return result + self._filled(waiting)

    def _filled(self, documents: list[list[str]]) -> list[list[Chunk]]:
        costs = iter(self._tokens([line for lines in documents for line in lines]))
        return [fill(lines, [next(costs) for _ in lines], self.profile.chunk_tokens) for lines in documents]

    def _fits(self, chunk: Chunk) -> bool:
        """Whether the model can be asked. What lines cost by themselves nearly always tells; else it is counted."""
        if chunk.tokens + self._frame + chunk.last - chunk.first <= self._room:
            return True
        return self._tokens([chunk_prompt(chunk.text, self.profile.prompt_format)])[0] <= self._room

    def _request(self, chunk: Chunk) -> Request:
        text = chunk_prompt(chunk.text, self.profile.prompt_format)
        held = None
        if self.constrain:
            call = self._tokens([CALL.format(chunk.last)])[0]
            held = Grammar("ebnf", grammar(chunk.first, chunk.last, self.profile.max_tokens, call))
        return Request(Prompt(text=text), Sampling(max_tokens=self.profile.max_tokens, top_p=0.9, grammar=held))

    def _tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has with the model's special ones."""
        return [len(tokens) for tokens in self.asker.engine.tokenize(texts, special=True)] if texts else []


def _written(chunk: Chunk, answer: Answer | Failure | None) -> str:
    """What the model wrote about the chunk; a comment if it wrote nothing."""
    if isinstance(answer, Answer):
        return answer.text
    why = f"{chunk.tokens} tokens, not asked" if answer is None else "failed"
    return f"# lines {chunk.first} to {chunk.last}: {why}"
