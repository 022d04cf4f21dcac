"""Queries that a document answers, behind it or as rows of their own: doc2query (arXiv 1904.08375)."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pyarrow as pa

from schemas import columns as c
from stages.guards import Guards, guards_of
from stages.models.ask import Asker
from stages.models.engine import Answer
from stages.models.ledger import Forgetful, Ledger
from stages.models.spec import parse
from stages.prompts import load_prompt
from stages.stage import EXECUTION, Resources, Rows, Transform
from stages.synthesize.heirs import ADDED
from stages.synthesize.listing import parse_list, why_not
from stages.synthesize.reading import cut
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

NAME = "Doc2Query"
LONGEST = 64 * 5  # characters of a query: docTTTTTquery's has 64 tokens at most
# Queries are short beside their document, and are like one another; one that was cut is left out by the parser.
GUARDS = Guards(min_length_ratio=None, max_length_ratio=None, dup_n_grams=(), truncated=False)

Queries = tuple[str, ...]


@dataclass(frozen=True)
class Doc2Query:
    """Up to `queries` queries that each document answers: behind its text (`append`), or a row of each (`rows`).

    The original expands documents before they are indexed; of docTTTTTquery the model sees 512 tokens and writes 40
    queries in as many samples. Here one request asks for all, and the model sees `max_input` tokens at 1.3 a word.
    `variant` says which it is: `expanded`, or `query 3`.

    Reasons: those of stages/synthesize/listing.py, such as `queries_no_list`; those of stages/guards, without a length
    ratio and repetition (`guards` are changes to them); `document_empty`. A call that failed leaves a dead row.
    """

    engine: str = field(default="transformers:Qwen/Qwen2.5-7B-Instruct?dtype=bfloat16", metadata=EXECUTION)
    model: str | None = None
    prompt: str = "doc2query"
    queries: int = 10
    output: Literal["append", "rows"] = "append"
    max_input: int = 512
    guards: dict[str, Any] = field(default_factory=dict, hash=False)
    max_tokens: int = 512
    temperature: float = 0.7
    seed: int = 42
    model_id: str = field(init=False)
    prompt_hashes: tuple[str, ...] = field(init=False)
    language_checksum: str = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.ID, c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([*ADDED, c.VARIANT])
    rows: ClassVar[Rows] = "any"
    version: ClassVar[int] = 2  # 2: the first query has the id that its document's row has when it dies

    def __post_init__(self) -> None:
        if self.output not in ("append", "rows"):
            raise ValueError(f"{NAME}.output should be append or rows, got {self.output!r}")
        prepare(self, [self.prompt], self._guards(), ("text", "queries"), queries=1, max_input=1)

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
        writer.ask(ids, drafts, load_prompt(self.prompt), self._read)
        guard(self._guards(), drafts, lambda draft: "\n".join(draft.found or ()))
        made = [row for draft in drafts for row in self._rows(writer, draft, texts[draft.row])]
        return writer.rows(table, made, self.adds)

    def _draft(self, row: int, text: str) -> Draft[Queries]:
        shown = cut(text, self.max_input)
        values = {"text": shown, "queries": str(self.queries)}
        return Draft(row, (), shown, values, reason=None if text.strip() else DOCUMENT_EMPTY)

    def _read(self, draft: Draft[Queries], answer: Answer) -> str | None:
        prompt = load_prompt(self.prompt)
        said = f"{prompt.system or ''}\n{prompt.user}"
        listed = parse_list(answer.text, answer.finish, LONGEST, draft.source, said)
        draft.found = listed.entries[: self.queries]
        return why_not(listed, "queries")

    def _rows(self, writer: Writer, draft: Draft[Queries], text: str) -> list[Row]:
        queries = draft.found or ()
        if not draft.open:
            return [(writer.heir(draft, "\n".join(queries)), {})]
        if self.output == "append":
            whole = f"{text}\n\n" + "\n".join(queries)
            return [(writer.heir(draft, whole), {c.VARIANT.name: "expanded"})]
        return [
            (writer.heir(draft, query, *([str(number)] if number > 1 else [])), {c.VARIANT.name: f"query {number}"})
            for number, query in enumerate(queries, 1)
        ]

    def _guards(self) -> Guards:
        return guards_of(self.guards, NAME, GUARDS)
