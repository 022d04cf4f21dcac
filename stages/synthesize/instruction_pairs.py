"""Instruction Pre-Training's first step: a synthesizer writes questions and answers on every text (methods 6.3)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa

from schemas import columns as c
from stages.models.ask import Asker, account, append_answers, open_asker
from stages.models.engine import Answer, Failure, Prompt, Request, Sampling
from stages.models.ledger import Forgetful, Ledger
from stages.models.spec import parse
from stages.rephrase.segments import count_words
from stages.stage import EXECUTION, Resources, Rows, Transform, at_least, set_columns
from stages.synthesize.extract_entities import SEEDS
from stages.synthesize.instruction_form import MARKS, Pair, form_hash, parse_pairs, reading, shot, tokens_of
from stages.synthesize.relations import draw

NAME = "InstructionPairs"
TEXT_EMPTY, TEXT_LONG, TEXT_MARKUP = "text_empty", "text_long", "text_markup"


@dataclass
class Work:
    """What became of one text."""

    id: str
    text: str
    pairs: tuple[Pair, ...] = ()
    chain: str = ""
    follows: bool = False  # its pairs were written in sight of those of the text before it in its chain
    decision: str = ""
    answers: list[Answer] = field(default_factory=list)
    faults: int = 0
    error: str | None = None


@dataclass(frozen=True)
class InstructionPairs:
    """Questions and answers on each text, by an instruction synthesizer (Cheng et al. 2024, arXiv 2406.14491).

    A table is gone through in `rounds` of so many texts each: text i of a round continues chain i, whose texts and
    pairs stand before it as examples, if the last of them has pairs and all fits by the original's estimate of 1.5
    tokens a word into `context` less `max_tokens`. Rows with the same `chain` were written in sight of one another.
    The paper has 2 rounds on general text, 3 on a domain; what a text is shown depends on the others of its table.

    A text without pairs goes on without; `answers.decision` says why: `no_pairs: <reasons>` of its pieces
    (stages/synthesize/instruction_form.py), or that it was not asked about: `text_empty`, `text_long` (it does not fit
    by itself), `text_markup` (it has marks of the form). `pairs: <reasons>` are pieces that were left out beside
    others. A call that failed for good leaves a dead row.
    """

    engine: str = field(
        default="vllm:instruction-pretrain/instruction-synthesizer?max_model_len=4096", metadata=EXECUTION
    )
    model: str | None = None
    rounds: int = 2
    context: int = 4096
    max_tokens: int = 400
    temperature: float = 0.0
    seed: int = 42
    prompt_hash: str = field(init=False, default_factory=form_hash)
    model_id: str = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.ID, c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.PAIRS, c.CHAIN, c.ANSWERS, c.ERROR])
    rows: ClassVar[Rows] = "same"

    def __post_init__(self) -> None:
        object.__setattr__(self, "model_id", self.model or parse(self.engine, NAME).model_id)
        at_least(self, rounds=1, max_tokens=1, temperature=0)
        if self.context <= self.max_tokens:
            raise ValueError(f"{NAME}.context should be more than max_tokens, {self.max_tokens}, got {self.context}")

    @property
    def resources(self) -> Resources:
        return parse(self.engine, NAME).resources

    def open(self) -> Transform:
        return self.open_with_ledger(Forgetful())

    def open_with_ledger(self, ledger: Ledger) -> Transform:
        """The transform, with answers that were paid for before."""
        asker = open_asker(parse(self.engine, NAME), self.model_id, ledger)
        return lambda table: self.write(table, asker)

    def write(self, table: pa.Table, asker: Asker) -> pa.Table:
        """`table` with pairs and chains."""
        columns = (table.column(name).to_pylist() for name in (c.ID.name, c.BODY.name))
        works = [Work(id_, text or "") for id_, text in zip(*columns, strict=True)]
        for chain in self._rounds(works, asker):
            for at, work in enumerate(chain):
                work.chain = chain[at - 1].chain if work.follows else work.id
        entries: list[dict[str, Any] | None] = [
            account(asker, NAME, self.prompt_hash, work.answers, work.decision, work.faults) for work in works
        ]
        return set_columns(
            append_answers(table, entries),
            pairs=pa.array([[pair._asdict() for pair in work.pairs] for work in works], c.PAIRS.type),
            chain=pa.array([work.chain for work in works], c.CHAIN.type),
            error=pa.array([work.error for work in works], c.ERROR.type),
        )

    def _rounds(self, works: list[Work], asker: Asker) -> list[list[Work]]:
        """Fill `works` round by round; the chains that they make."""
        size = max(math.ceil(len(works) / self.rounds), 1)
        chains: list[list[Work]] = [[work] for work in works[:size]]
        for start in range(0, len(works), size):
            turn = works[start : start + size]
            if start:
                for chain, work in zip(chains, turn, strict=False):
                    chain.append(work)
            prompts = [self._prompt(chain) for chain, _ in zip(chains, turn, strict=False)]
            open_ = [(work, prompt) for work, prompt in zip(turn, prompts, strict=True) if prompt is not None]
            results = asker.ask([self._request(work, prompt) for work, prompt in open_])
            for (work, _), result in zip(open_, results, strict=True):
                _take(work, result)
        return chains

    def _prompt(self, chain: Sequence[Work]) -> str | None:
        """What is asked about the last text of a chain; None if nothing is, and why."""
        *before, work = chain
        alone = reading(work.text)
        if not work.text.strip() or MARKS.search(work.text):
            work.decision = TEXT_MARKUP if work.text.strip() else TEXT_EMPTY
            return None
        if not self._fits(alone):
            work.decision = TEXT_LONG
            return None
        history = _history(before)
        work.follows = bool(history) and self._fits(history + alone)
        return history + alone if work.follows else alone

    def _fits(self, prompt: str) -> bool:
        """By the original's estimate; and by one that sees words between line breaks and in scripts without blanks."""
        room = self.context - self.max_tokens
        return tokens_of(prompt) <= room and count_words([prompt])[0] <= room

    def _request(self, work: Work, prompt: str) -> Request:
        seed = draw(self.seed, NAME, work.id) % SEEDS if self.temperature > 0 else None
        return Request(Prompt(text=prompt), Sampling(self.max_tokens, self.temperature, seed=seed))


def _history(before: Sequence[Work]) -> str:
    """The texts and pairs that a text is shown: the last one's, if it has pairs, and those that it was shown itself."""
    if not before or not before[-1].pairs:
        return ""
    at = len(before) - 1
    while before[at].follows:
        at -= 1
    return "".join(shot(work.text, work.pairs) for work in before[at:])


def _take(work: Work, result: Answer | Failure) -> None:
    """The pairs of one text, or why there are none; without pairs it follows nothing."""
    if isinstance(result, Failure):
        work.error, work.decision, work.follows = result.error, "failed", False
        return
    parsed = parse_pairs(result.text, result.finish)
    work.answers, work.pairs, work.faults = [result], parsed.pairs, len(parsed.faults)
    reasons = ", ".join(sorted(set(parsed.faults)))
    work.decision = ("pairs" if parsed.pairs else "no_pairs") + (f": {reasons}" if reasons else "")
    work.follows = work.follows and bool(parsed.pairs)
