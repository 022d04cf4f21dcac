"""Questions and answers on snippets of web pages, by subject: Llama-3-SynE's synthetic data (methods 13)."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pyarrow as pa

from schemas import columns as c
from stages.guards import Guards, guards_of
from stages.guards.refusals import refusal
from stages.models.ask import Asker
from stages.models.engine import Answer
from stages.models.ledger import Forgetful, Ledger
from stages.models.spec import parse
from stages.prompts import load_prompt
from stages.rephrase.segments import count_words, pack_sentences
from stages.stage import EXECUTION, Resources, Rows, Transform
from stages.synthesize.heirs import ADDED
from stages.synthesize.lots import Lot
from stages.synthesize.tasks_form import parse_tasks
from stages.synthesize.writing import (
    DOCUMENT_EMPTY,
    Draft,
    Row,
    Writer,
    guard,
    open_writer,
    prepare,
    texts_of,
    writer_of,
)
from stages.text.words import check_language

NAME = "SubjectQA"
DISCIPLINES = (  # the paper has nine; these names are from memory
    "mathematics", "physics", "chemistry", "biology", "astronomy", "earth science", "medical science",
    "computer science", "general education",
)  # fmt: skip
NONE = "none"
SUBJECT_EMPTY, SUBJECT_REFUSAL, SUBJECT_NONE = "subject_empty", "subject_refusal", "subject_none"
SUBJECT_UNKNOWN, SUBJECT_SEVERAL = "subject_unknown", "subject_several"
SNIPPET_SHORT = "snippet_short"
FORMS = {"qa": ("qa",), "snippet": ("snippet",), "both": ("qa", "snippet")}
# An answer is shorter than its snippet, or longer than a short one; one that was cut is left out by the parser.
GUARDS = Guards(min_length_ratio=None, max_length_ratio=None, truncated=False)

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class SubjectQA:
    """A question and an answer grounded in a snippet of a page, for pages of a subject (arXiv 2407.18743).

    A document gives up to `snippets` of them, drawn by hash from its runs of sentences of `snippet_tokens` tokens at
    most and `least_tokens` at least, at 1.3 a word. Its `subject` is what the column of that name says; without one the
    model is asked first, for each snippet, which of `subjects` it is of. `form`: the question and the answer alone
    (`qa`), behind the snippet (`snippet`), or a row of each (`both`). `pairs` has them apart.

    Reasons: `subject_none` (it is of none of them), `subject_unknown`, `subject_several`, `subject_empty`,
    `subject_refusal`; those of stages/synthesize/tasks_form.py; those of stages/guards, without a length ratio
    (`guards` are changes); `document_empty`, `snippet_short`. A call that failed leaves a dead row. The paper found
    that a fifth of synthetic data is best, and up to 30 % of wrong answers harmless.
    """

    engine: str = field(default="transformers:mistralai/Mistral-7B-Instruct-v0.3?dtype=bfloat16", metadata=EXECUTION)
    model: str | None = None
    prompt: str = "syne-qa"
    subject_prompt: str = "syne-subject"
    subject: str | None = None
    subjects: tuple[str, ...] = DISCIPLINES
    form: Literal["qa", "snippet", "both"] = "both"
    snippets: int = 1
    snippet_tokens: int = 300
    least_tokens: int = 30
    guards: dict[str, Any] = field(default_factory=dict, hash=False)
    language: str = "en"
    max_tokens: int = 512
    temperature: float = 0.7
    seed: int = 42
    model_id: str = field(init=False)
    prompt_hashes: tuple[str, ...] = field(init=False)
    language_checksum: str = field(init=False)

    adds: ClassVar[pa.Schema] = pa.schema([*ADDED, c.SUBJECT, c.PAIRS, c.VARIANT])
    rows: ClassVar[Rows] = "any"
    version: ClassVar[int] = 2  # 2: the first form of a pair has the id that the pair has when it dies

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"{NAME}.form should be one of {', '.join(FORMS)}, got {self.form!r}")
        if not self.subjects:
            raise ValueError(f"{NAME}.subjects should name one at least")
        check_language(self.language)
        prompts = [self.prompt] if self.subject else [self.subject_prompt, self.prompt]
        prepare(
            self, prompts, self._guards(), ("text", "subject", "subjects"), snippets=1, snippet_tokens=1, least_tokens=0
        )

    @property
    def reads(self) -> pa.Schema:
        return pa.schema([c.ID, c.BODY, *([pa.field(self.subject, pa.null())] if self.subject else [])])

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
        labels = table.column(self.subject).to_pylist() if self.subject else [None] * len(ids)
        drafts = [draft for row, text in enumerate(texts) for draft in self._drafts(row, ids[row], text)]
        drafts = [draft for draft in drafts if writer.wants(ids[draft.row], *draft.parts)]
        if self.subject:
            for draft in drafts:
                self._label(draft, str(labels[draft.row] or NONE))
        else:
            labelled = load_prompt(self.subject_prompt)
            writer.ask(ids, drafts, labelled, lambda draft, answer: self._label(draft, answer.text))
        writer.ask(ids, drafts, load_prompt(self.prompt), self._read)
        guard(self._guards(), drafts, lambda draft: written(draft.found or ()))
        return writer.rows(table, [row for draft in drafts for row in self._rows(writer, draft)], self.adds)

    def _drafts(self, row: int, id_: str, text: str) -> list[Draft[Pairs]]:
        """Some snippets of a document, or the reason why there is none."""
        if not text.strip():
            return [Draft(row, (), text, reason=DOCUMENT_EMPTY)]
        found = [segment.text for segment in pack_sentences(text, self.snippet_tokens, count_words, self.language)]
        sizes = count_words(found)
        long = [number for number, size in enumerate(sizes) if size >= self.least_tokens]
        if not long:
            return [Draft(row, (), text, reason=SNIPPET_SHORT)]
        drawn = sorted(Lot(self.seed, id_).shuffled("snippets", long)[: self.snippets])
        names = ", ".join(self.subjects)
        return [
            Draft(row, (f"snippet {number + 1}",), found[number], {"text": found[number], "subjects": names})
            for number in drawn
        ]

    def _label(self, draft: Draft[Pairs], said: str) -> str | None:
        """Give a draft its subject; or the reason why it has none."""
        label = parse_subject(said, self.subjects)
        if label in self.subjects:
            draft.values["subject"] = label
        elif draft.reason is None:
            draft.reason = label
        return draft.reason

    def _read(self, draft: Draft[Pairs], answer: Answer) -> str | None:
        prompt = load_prompt(self.prompt)
        tasks = parse_tasks(answer.text, answer.finish, draft.source, f"{prompt.system or ''}\n{prompt.user}")
        draft.found = tasks.pairs
        return None if tasks.pairs else tasks.faults[0]

    def _rows(self, writer: Writer, draft: Draft[Pairs]) -> list[Row]:
        pairs = draft.found or ()
        more = {
            c.SUBJECT.name: draft.values.get("subject"),
            c.PAIRS.name: [{"question": question, "answer": answer} for question, answer in pairs] or None,
        }
        if not draft.open:
            return [(writer.heir(draft, written(pairs)), more)]
        texts = {"qa": written(pairs), "snippet": f"{draft.source}\n\n{written(pairs)}"}
        return [
            (writer.heir(draft, texts[form], *([form] if number else [])), {**more, c.VARIANT.name: form})
            for number, form in enumerate(FORMS[self.form])
        ]

    def _guards(self) -> Guards:
        return guards_of(self.guards, NAME, GUARDS)


def written(pairs: Pairs) -> str:
    """Questions and answers as text to train on."""
    return "\n\n".join(f"Question: {question}\nAnswer: {answer}" for question, answer in pairs)


def parse_subject(reply: str, subjects: tuple[str, ...]) -> str:
    """The one of `subjects` that the first line of a reply names; or the reason why there is none."""
    lines = [line for line in reply.strip().split("\n") if line.strip()]
    if not lines:
        return SUBJECT_EMPTY
    words = "".join(char if char.isalnum() else " " for char in lines[0].casefold()).split()
    told = f" {' '.join(words)} "
    named = [subject for subject in subjects if f" {' '.join(subject.casefold().split())} " in told]
    # science in "computer science" is no other subject
    named = [one for one in named if not any(one != other and one.casefold() in other.casefold() for other in named)]
    if len(named) == 1:
        return named[0]
    if named:
        return SUBJECT_SEVERAL
    if f" {NONE} " in told:
        return SUBJECT_NONE
    return SUBJECT_REFUSAL if refusal("", reply) else SUBJECT_UNKNOWN
