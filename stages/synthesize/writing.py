"""What stages share that have a model write rows from documents: drafts, requests made as they are asked, rows.

    drafts = [Draft(row, parts, source, {"text": source}) ...]      one for each text that is to be written
    writer.ask(drafts, prompt, read)                                once a prompt; `read` says why a reply is not taken
    guard(guards, drafts, texts)
    writer.rows(table, [writer.heir(draft, text) ...])              kept, dropped with its reason, or dead

A draft that has a reason or an error is not asked about again. Every document has one draft at least, if need be one
with a reason from the start, so that every row that goes in is told of. A row that died is written again alone: a stage
makes its rows within `writer.write`, and where a document has several drafts, only of those that `writer.wants`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import pyarrow as pa

from schemas import columns as c
from stages.guards import Guards
from stages.models.ask import Asker, Made, account, open_asker
from stages.models.engine import Answer, Failure, Request, Sampling
from stages.models.ledger import Ledger
from stages.models.spec import parse
from stages.prompts import PromptFile, load_prompt
from stages.stage import at_least, name_of, set_columns
from stages.synthesize.again import FAILED, Dead, with_dead
from stages.synthesize.extract_entities import SEEDS
from stages.synthesize.heirs import ADDED, Heir, heir_id, heirs
from stages.synthesize.relations import draw

T = TypeVar("T")
DOCUMENT_EMPTY, DOCUMENT_LONG = "document_empty", "document_long"


@dataclass
class Draft(Generic[T]):
    """One text in the making. `parts` tell it from others of its document; `source` is what it must be true to."""

    row: int
    parts: tuple[str, ...]
    source: str
    values: dict[str, str] = field(default_factory=dict)  # what prompts show
    found: T | None = None  # what was read from the last reply
    answers: list[Answer] = field(default_factory=list)
    prompt: PromptFile | None = None  # the last one
    reason: str | None = None
    error: str | None = None

    @property
    def open(self) -> bool:
        return self.reason is None and self.error is None


Row = tuple[Heir, dict[str, Any]]  # and what it has in further columns
PromptOf = Callable[[Draft[T]], PromptFile]
Read = Callable[[Draft[T], Answer], str | None]


@dataclass(frozen=True)
class Writer:
    """A stage at work: whom it asks, and how."""

    stage: str
    asker: Asker
    sampling: Sampling
    seed: int
    only: frozenset[str] | None = None  # ids of the rows to write, where they died; None: all of a document

    def write(self, table: pa.Table, make: "Callable[[pa.Table, Writer], pa.Table]") -> pa.Table:
        """What `make` writes of the documents of `table`; of rows that died here, of their documents, those alone."""

        def made(documents: pa.Table, dead: Dead | None) -> pa.Table:
            return make(documents, self if dead is None else replace(self, only=dead.ids))

        return with_dead(table, self.stage, made)

    def wants(self, document: str, *parts: str) -> bool:
        """Whether a draft of a document is to be written; `parts` as its row has them."""
        return self.only is None or heir_id(self.stage, document, (str(self.seed), *parts)) in self.only

    def ask(
        self, ids: Sequence[str], drafts: Sequence[Draft[T]], prompt: PromptFile | PromptOf[T], read: Read[T]
    ) -> None:
        """Ask `prompt` about every open draft of the documents `ids`. `read` fills `found`, or says why it cannot."""
        asked = [draft for draft in drafts if draft.open]
        for draft in asked:
            draft.prompt = prompt if isinstance(prompt, PromptFile) else prompt(draft)
        results = self.asker.ask(Made(len(asked), lambda number: self._request(ids, asked[number])))
        for draft, result in zip(asked, results, strict=True):
            if isinstance(result, Failure):
                draft.error = f"Failure: {_named(draft)}: {result.error}"
            else:
                draft.answers.append(result)
                draft.reason = read(draft, result)

    def _request(self, ids: Sequence[str], draft: Draft[T]) -> Request:
        prompt = draft.prompt
        assert prompt is not None, "ask() gives every draft its prompt"
        parts = (self.stage, prompt.name, ids[draft.row], *draft.parts)
        seed = draw(self.seed, *parts) % SEEDS if self.sampling.temperature > 0 else None
        return Request(prompt.chat(**draft.values), replace(self.sampling, seed=seed))

    def heir(self, draft: Draft[T], text: str, *parts: str) -> Heir:
        """The row of a draft, or why there is none; the first of several.

        Others of the same draft have `parts` of their own, and no account of its calls. The first has not: so it has
        the id that the draft has when it dies, and a replay finds it by that.
        """
        mine = (str(self.seed), *draft.parts, *parts)
        if draft.prompt is None:
            return Heir(draft.row, mine, text, draft.reason, draft.error)
        decision = FAILED if draft.error else draft.reason or "written"
        answers = [] if parts else draft.answers
        entry = account(self.asker, self.stage, draft.prompt.hash, answers, decision, int(draft.reason is not None))
        if entry["output"] == text:
            entry["output"] = None  # it is the row's text
        return Heir(draft.row, mine, text, draft.reason, draft.error, entry)

    def rows(self, table: pa.Table, made: Sequence[Row], adds: pa.Schema) -> pa.Table:
        """Rows in the order of their documents, with the columns of `adds` that are not those of all heirs."""
        ordered = sorted(made, key=lambda one: one[0].row)
        further = [name for name in adds.names if name not in {column.name for column in ADDED}]
        values = {name: pa.array([more.get(name) for _, more in ordered], c.ALL[name].type) for name in further}
        return set_columns(heirs(table, self.stage, self.asker.model, [heir for heir, _ in ordered]), **values)


def open_writer(stage: Any, ledger: Ledger) -> Writer:
    """The writer of a stage with the fields engine, model_id, max_tokens, temperature and seed."""
    asker = open_asker(parse(stage.engine, name_of(stage)), stage.model_id, ledger)
    return writer_of(stage, asker)


def writer_of(stage: Any, asker: Asker) -> Writer:
    """The same with an engine that is open."""
    return Writer(name_of(stage), asker, Sampling(stage.max_tokens, stage.temperature), stage.seed)


def prepare(stage: Any, prompts: Sequence[str], guards: Guards | None, shows: Sequence[str], **least: float) -> None:
    """Check what such stages have in common, and fill model_id, prompt_hashes and language_checksum.

    `shows`: what the stage has for the places of a prompt. Every prompt must show the first of them, the text.
    """
    name = name_of(stage)
    for prompt in map(load_prompt, prompts):
        unknown = [place for place in prompt.fields if place not in shows]
        if unknown or shows[0] not in prompt.fields:
            wrong = f"has a place {unknown[0]!r}" if unknown else f"does not show {{{{{shows[0]}}}}}"
            raise ValueError(f"{name}: prompt {prompt.name} {wrong}; places may be {', '.join(shows)}")
    at_least(stage, **{"max_tokens": 1, "temperature": 0, **least})
    object.__setattr__(stage, "model_id", stage.model or parse(stage.engine, name).model_id)
    object.__setattr__(stage, "prompt_hashes", tuple(load_prompt(prompt).hash for prompt in prompts))
    if guards is not None:
        object.__setattr__(stage, "language_checksum", guards.language_checksum)


def guard(guards: Guards, drafts: Sequence[Draft[T]], text_of: Callable[[Draft[T]], str]) -> None:
    """Give open drafts the reason of a guard, if one speaks against `text_of` them."""
    mine = [draft for draft in drafts if draft.open]
    for prompt in dict.fromkeys(draft.prompt for draft in mine):
        if prompt is None:
            continue
        group = [draft for draft in mine if draft.prompt == prompt]
        ends = [draft.answers[-1].finish for draft in group]
        said = f"{prompt.system or ''}\n{prompt.user}"
        reasons = guards.check_all([draft.source for draft in group], [text_of(draft) for draft in group], ends, said)
        for draft, reason in zip(group, reasons, strict=True):
            draft.reason = reason


def texts_of(table: pa.Table) -> tuple[list[str], list[str]]:
    """Ids and texts; a null is an empty text."""
    ids, texts = (table.column(column.name).to_pylist() for column in (c.ID, c.BODY))
    return ids, [text or "" for text in texts]


def _named(draft: Draft[T]) -> str:
    return ", ".join((draft.prompt.name if draft.prompt else "", *draft.parts))
