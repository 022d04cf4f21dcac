"""Dialogues of several turns from a text, by way of its facts and a plan of questions: R2S (methods 21)."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa

from schemas import columns as c
from stages.guards import Guards, guards_of
from stages.models.ask import Asker
from stages.models.engine import Answer
from stages.models.ledger import Forgetful, Ledger
from stages.models.spec import parse
from stages.prompts import load_prompt
from stages.rephrase.segments import count_words
from stages.stage import EXECUTION, Resources, Rows, Transform
from stages.synthesize.heirs import ADDED
from stages.synthesize.listing import parse_list, why_not
from stages.synthesize.turns import Turn, parse_turns, rendered
from stages.synthesize.writing import (
    DOCUMENT_EMPTY,
    DOCUMENT_LONG,
    Draft,
    Read,
    Row,
    Writer,
    guard,
    open_writer,
    prepare,
    texts_of,
    writer_of,
)

NAME = "Dialogue"
SPEAKERS = ("User", "Assistant")
GUARDS = Guards(min_length_ratio=0.1, max_length_ratio=None)

Turns = tuple[Turn, ...]


@dataclass(frozen=True)
class Dialogue:
    """A dialogue grounded in each document, as a chain of three requests: facts, questions, dialogue (R2S).

    The model names the facts of a text, then plans questions of several kinds on them, then writes the dialogue.
    `messages` has it as {role, content}, user first and in turns; `text` is the same to train on. R2S's prompts are not
    public: ours are `prompts`.

    Reasons: of a list of facts or of the plan (stages/synthesize/listing.py) `facts_empty`, `plan_no_list` and so on,
    `facts_few` below `least_facts`; of the dialogue (stages/synthesize/turns.py) `dialogue_not_alternating` and so on,
    `dialogue_few_turns` below `least_turns` of both; of stages/guards (`guards` are changes to them); `document_empty`,
    `document_long` above `max_input` tokens at 1.3 a word. A call that failed leaves a dead row.
    """

    engine: str = field(default="transformers:Qwen/Qwen2.5-7B-Instruct?dtype=bfloat16", metadata=EXECUTION)
    model: str | None = None
    prompts: tuple[str, str, str] = ("r2s-facts", "r2s-plan", "r2s-dialogue")
    least_facts: int = 2
    least_turns: int = 4
    max_input: int = 3000
    guards: dict[str, Any] = field(default_factory=dict, hash=False)
    max_tokens: int = 2048
    temperature: float = 0.7
    seed: int = 42
    model_id: str = field(init=False)
    prompt_hashes: tuple[str, ...] = field(init=False)
    language_checksum: str = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.ID, c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([*ADDED, c.MESSAGES])
    rows: ClassVar[Rows] = "any"

    def __post_init__(self) -> None:
        if len(self.prompts) != 3:
            raise ValueError(f"{NAME}.prompts should be three: for facts, plan and dialogue, got {self.prompts!r}")
        prepare(
            self, self.prompts, self._guards(), ("text", "facts", "plan"), least_facts=1, least_turns=2, max_input=1
        )

    @property
    def resources(self) -> Resources:
        return parse(self.engine, NAME).resources

    def open(self) -> Transform:
        return self.open_with_ledger(Forgetful())

    def open_with_ledger(self, ledger: Ledger) -> Transform:
        """The transform, with answers that were paid for before."""
        writer = open_writer(self, ledger)
        return lambda table: writer.write(table, self._write)

    def write(self, table: pa.Table, asker: Asker) -> pa.Table:
        """The rows of the documents of `table`, by an engine that is open."""
        return writer_of(self, asker).write(table, self._write)

    def _write(self, table: pa.Table, writer: Writer) -> pa.Table:
        ids, texts = texts_of(table)
        drafts = [self._draft(row, text) for row, text in enumerate(texts)]
        reads: tuple[Read[Turns], ...] = (self._facts, self._plan, self._dialogue)
        for name, read in zip(self.prompts, reads, strict=True):
            writer.ask(ids, drafts, load_prompt(name), read)
        # without the speakers' names, which are markup of a chat to the guards
        guard(self._guards(), drafts, lambda draft: "\n\n".join(turn.text for turn in draft.found or ()))
        return writer.rows(table, [_row(writer, draft) for draft in drafts], self.adds)

    def _draft(self, row: int, text: str) -> Draft[Turns]:
        reason = DOCUMENT_EMPTY if not text.strip() else None
        if reason is None and count_words([text])[0] > self.max_input:
            reason = DOCUMENT_LONG
        return Draft(row, (), text, {"text": text}, reason=reason)

    def _facts(self, draft: Draft[Turns], answer: Answer) -> str | None:
        return self._list(draft, answer, "facts", self.least_facts)

    def _plan(self, draft: Draft[Turns], answer: Answer) -> str | None:
        return self._list(draft, answer, "plan", 1)

    def _list(self, draft: Draft[Turns], answer: Answer, what: str, least: int) -> str | None:
        listed = parse_list(answer.text, answer.finish, source=draft.source)
        draft.values[what] = "\n".join(f"- {entry}" for entry in listed.entries)
        return why_not(listed, what, least)

    def _dialogue(self, draft: Draft[Turns], answer: Answer) -> str | None:
        turns = parse_turns(answer.text, SPEAKERS, answer.finish, self.least_turns, strict=True)
        if isinstance(turns, str):
            return f"dialogue_{turns}"
        draft.found = turns
        return None

    def _guards(self) -> Guards:
        return guards_of(self.guards, NAME, GUARDS)


def _row(writer: Writer, draft: Draft[Turns]) -> Row:
    turns = draft.found or ()
    messages = [{"role": turn.speaker.lower(), "content": turn.text} for turn in turns]
    return writer.heir(draft, rendered(turns)), {c.MESSAGES.name: messages or None}
