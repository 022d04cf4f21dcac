"""Texts as conversations between people who do not know the same: MIND (arXiv 2410.12881; methods 22)."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa

from schemas import columns as c
from schemas.check import nearest
from stages.guards import Guards, guards_of
from stages.models.ask import Asker
from stages.models.engine import Answer
from stages.models.ledger import Forgetful, Ledger
from stages.models.spec import parse
from stages.prompts import load_prompt
from stages.rephrase.segments import count_words, pack_sentences
from stages.stage import EXECUTION, Resources, Rows, Transform
from stages.synthesize.heirs import ADDED
from stages.synthesize.lots import Lot
from stages.synthesize.turns import Turn, parse_turns, rendered
from stages.synthesize.writing import DOCUMENT_EMPTY, Draft, Writer, guard, open_writer, prepare, texts_of, writer_of
from stages.text.words import check_language

NAME = "Conversation"
CONVERSATION_SHORT = "conversation_short"
# The seven styles, each a prompt, and the speakers that it asks for; there is one who knows less, or sees it otherwise.
SPEAKERS = {
    "mind-two-students": ("Student A", "Student B"),
    "mind-teacher-student": ("Teacher", "Student"),
    "mind-two-professors": ("Professor A", "Professor B"),
    "mind-debate": ("Debater A", "Debater B"),
    "mind-problem-solving": ("Solver A", "Solver B"),
    "mind-layman-knowall": ("Layman", "Expert"),
    "mind-interview": ("Interviewer", "Interviewee"),
}
# Who works something out step by step comes to numbers that the text does not have.
GUARDS = Guards(min_length_ratio=None, max_length_ratio=None, novel_numbers=None)

Turns = tuple[Turn, ...]


@dataclass(frozen=True)
class Conversation:
    """Conversations about each piece of a document: one a piece and style, each a row (MIND).

    Pieces are runs of sentences of at most `piece_tokens` tokens, at 1.3 a word (the paper: about 500). Of `styles`
    every piece has `draw`, drawn by hash; null: all. A conversation of under `least_tokens` (the paper: 50) is dropped
    with the reason `conversation_short`. `variant` says which it is: `mind-debate piece 2`. The paper found that the
    speakers must not know the same; the prompts see to that.

    Other reasons: those of stages/synthesize/turns.py, such as `conversation_one_speaker`; those of stages/guards,
    without a length ratio and novel numbers (`guards` are changes to them); `document_empty`. A call that failed leaves
    a dead row.
    """

    engine: str = field(default="transformers:Qwen/Qwen2.5-7B-Instruct?dtype=bfloat16", metadata=EXECUTION)
    model: str | None = None
    styles: tuple[str, ...] = tuple(SPEAKERS)
    draw: int | None = None
    piece_tokens: int = 500
    least_tokens: int = 50
    least_turns: int = 2
    guards: dict[str, Any] = field(default_factory=dict, hash=False)
    language: str = "en"
    max_tokens: int = 2048
    temperature: float = 0.7
    seed: int = 42
    model_id: str = field(init=False)
    prompt_hashes: tuple[str, ...] = field(init=False)
    language_checksum: str = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.ID, c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([*ADDED, c.VARIANT])
    rows: ClassVar[Rows] = "any"

    def __post_init__(self) -> None:
        for style in self.styles:
            if style not in SPEAKERS:
                hint = nearest(style, list(SPEAKERS)) or f"; there is {', '.join(SPEAKERS)}"
                raise ValueError(f"{NAME}: no style {style!r}{hint}")
        if not self.styles or len(set(self.styles)) < len(self.styles):
            raise ValueError(f"{NAME}.styles should be names, each once, got {self.styles!r}")
        if self.draw is not None and not 1 <= self.draw <= len(self.styles):
            raise ValueError(f"{NAME}.draw should be from 1 to {len(self.styles)}, or null, got {self.draw}")
        check_language(self.language)
        prepare(self, self.styles, self._guards(), ("text",), piece_tokens=1, least_tokens=0, least_turns=2)

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
        drafts = [draft for row, text in enumerate(texts) for draft in self._drafts(row, ids[row], text)]
        drafts = [draft for draft in drafts if writer.wants(ids[draft.row], *draft.parts)]
        writer.ask(ids, drafts, lambda draft: load_prompt(draft.parts[0]), self._read)
        guard(self._guards(), drafts, lambda draft: rendered(draft.found or ()))
        made = [
            (writer.heir(draft, rendered(draft.found or ())), {c.VARIANT.name: " ".join(draft.parts) or None})
            for draft in drafts
        ]
        return writer.rows(table, made, self.adds)

    def _drafts(self, row: int, id_: str, text: str) -> list[Draft[Turns]]:
        """Each piece in its styles."""
        if not text.strip():
            return [Draft(row, (), text, reason=DOCUMENT_EMPTY)]
        pieces = pack_sentences(text, self.piece_tokens, count_words, self.language)
        return [
            Draft(row, (style, f"piece {number}"), piece.text, {"text": piece.text})
            for number, piece in enumerate(pieces, 1)
            for style in self._drawn(Lot(self.seed, id_), number)
        ]

    def _drawn(self, lot: Lot, piece: int) -> list[str]:
        if self.draw is None:
            return list(self.styles)
        return sorted(lot.shuffled(f"styles {piece}", self.styles)[: self.draw], key=self.styles.index)

    def _read(self, draft: Draft[Turns], answer: Answer) -> str | None:
        turns = parse_turns(answer.text, SPEAKERS[draft.parts[0]], answer.finish, self.least_turns)
        if isinstance(turns, str):
            return f"conversation_{turns}"
        draft.found = turns
        return CONVERSATION_SHORT if count_words([rendered(turns)])[0] < self.least_tokens else None

    def _guards(self) -> Guards:
        return guards_of(self.guards, NAME, GUARDS)
