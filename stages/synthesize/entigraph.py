"""EntiGraph's second step: a document and its entities become many texts, each on two or three of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import pyarrow as pa

from schemas import columns as c
from stages.guards.refusals import refusal
from stages.models.ask import Asker, Made, account, open_asker
from stages.models.engine import Answer, Failure, Request, Sampling
from stages.models.ledger import Forgetful, Ledger
from stages.models.spec import parse
from stages.prompts import PromptFile, load_prompt
from stages.stage import EXECUTION, Resources, Rows, Transform, at_least
from stages.synthesize.again import FAILED, Dead, with_dead
from stages.synthesize.content import content_of
from stages.synthesize.extract_entities import SEEDS
from stages.synthesize.heirs import ADDED, Heir, heirs
from stages.synthesize.relations import Relation, draw, fault, relations


class Task(NamedTuple):
    """One text to be written: the row of its document, and the entities; none for the summary, which is there."""

    row: int
    names: Relation


@dataclass(frozen=True)
class EntiGraph:
    """One text for each pair and triple of a document's entities, and one that is its summary (arXiv 2409.07431).

    Pairs come first, then triples, each in an order by hash (stages/synthesize/relations.py). A row with a `quota`
    (ShareBudget) gets so many texts, one without at most `most`. The document itself does not go on: the original
    trains on what is written of it alone. Each new row has its document in `parents` and its entities in `entities`.

    A text that is empty, refuses, is cut off by `max_tokens`, has no section or lacks one of its entities is dropped,
    with the reason `relation_empty`, `relation_refusal`, `relation_truncated`, `relation_no_section` or
    `relation_missing_entity`; the original has no limit and takes whatever is not empty. A call that failed for good
    leaves a dead row, which a replay asks for again, and for nothing else of its document.
    """

    engine: str = field(default="openai:https://api.openai.com/v1#gpt-4-turbo", metadata=EXECUTION)
    model: str | None = None
    pair_prompt: str = "entigraph-pair"
    triple_prompt: str = "entigraph-triple"
    triples: bool = True
    most: int = 10_660
    temperature: float = 1.0
    max_tokens: int = 2048
    seed: int = 42
    model_id: str = field(init=False)
    prompt_hashes: tuple[str, str] = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.ID, c.BODY, c.ENTITIES, c.SUMMARY])
    adds: ClassVar[pa.Schema] = pa.schema(list(ADDED))
    rows: ClassVar[Rows] = "any"

    def __post_init__(self) -> None:
        object.__setattr__(self, "model_id", self.model or parse(self.engine, "EntiGraph").model_id)
        hashes = tuple(load_prompt(name).hash for name in (self.pair_prompt, self.triple_prompt))
        object.__setattr__(self, "prompt_hashes", hashes)
        at_least(self, max_tokens=1, most=1, temperature=0)

    @property
    def resources(self) -> Resources:
        return parse(self.engine, "EntiGraph").resources

    def open(self) -> Transform:
        return self.open_with_ledger(Forgetful())

    def open_with_ledger(self, ledger: Ledger) -> Transform:
        """The transform, with answers that were paid for before."""
        asker = open_asker(parse(self.engine, "EntiGraph"), self.model_id, ledger)
        return lambda table: self.write(table, asker)

    def write(self, table: pa.Table, asker: Asker) -> pa.Table:
        """The synthetic rows of the documents of `table`; of a row that is a relation whose call failed, that one."""
        return with_dead(table, "EntiGraph", lambda documents, dead: self._write(documents, dead, asker))

    def _write(self, table: pa.Table, dead: Dead | None, asker: Asker) -> pa.Table:
        """The summary of each document as a row, and behind it the texts on its entities; or those texts that died.

        A relation that died says itself which entities it is on.
        """
        if dead is None:
            made, tasks = self._summaries(table), self.tasks(table)
        else:
            names = dead.rows.column(c.ENTITIES.name).to_pylist()
            made, tasks = [], [Task(row, tuple(on)) for row, on in zip(dead.places, names, strict=True)]
        made += self._texts(table, tasks, self._ask(table, tasks, asker), asker)
        return heirs(table, "EntiGraph", self.model_id, made)

    def _ask(self, table: pa.Table, tasks: list[Task], asker: Asker) -> list[Answer | Failure]:
        """The answer to each task. Prompts are made when they are asked, one by one."""
        contents, ids = content_of(table), table.column(c.ID.name).to_pylist()
        prompts = [load_prompt(name) for name in (self.pair_prompt, self.triple_prompt)]

        def request(number: int) -> Request:
            row, names = tasks[number]
            return self._request(prompts[len(names) - 2], contents[row], ids[row], names)

        return asker.ask(Made(len(tasks), request))

    def tasks(self, table: pa.Table) -> list[Task]:
        """Every text that is to be written, document by document."""
        quotas: list[int | None] = [None] * table.num_rows
        if c.QUOTA.name in table.column_names:
            quotas = table.column(c.QUOTA.name).to_pylist()
        rows = zip(table.column(c.ID.name).to_pylist(), table.column(c.ENTITIES.name).to_pylist(), quotas, strict=True)
        return [
            Task(row, names)
            for row, (id_, entities, quota) in enumerate(rows)
            for names in relations(
                tuple(entities or ()),
                id_,
                self.seed,
                self.most if quota is None else min(quota, self.most),
                self.triples,
            )
        ]

    def _request(self, prompt: PromptFile, content: str, document: str, names: Relation) -> Request:
        seed = draw(self.seed, document, *names) % SEEDS if self.temperature > 0 else None
        entities = "\n".join(f"- {name}" for name in names)
        chat = prompt.chat(content=content, entities=entities)
        return Request(chat, Sampling(self.max_tokens, self.temperature, seed=seed))

    def _summaries(self, table: pa.Table) -> list[Heir]:
        return [
            Heir(row, (str(self.seed),), summary or "", None if summary else "no_summary")
            for row, summary in enumerate(table.column(c.SUMMARY.name).to_pylist())
        ]

    def _texts(
        self, table: pa.Table, tasks: list[Task], results: Sequence[Answer | Failure], asker: Asker
    ) -> list[Heir]:
        texts = [text or "" for text in table.column(c.BODY.name).to_pylist()]
        return [self._text(task, texts[task.row], result, asker) for task, result in zip(tasks, results, strict=True)]

    def _text(self, task: Task, document: str, result: Answer | Failure, asker: Asker) -> Heir:
        """The row of one relation: its text, or why there is none. What `document` says itself is no refusal."""
        hash_, parts = self.prompt_hashes[len(task.names) - 2], (str(self.seed), *task.names)
        if isinstance(result, Failure):
            entry = account(asker, "EntiGraph", hash_, [], FAILED)
            return Heir(task.row, parts, "", None, result.error, entry, task.names)
        text = result.text.strip()
        reason = fault(task.names, text)
        if text and refusal(document, text):
            reason = "relation_refusal"
        elif text and result.finish == "length":
            reason = "relation_truncated"
        entry = account(asker, "EntiGraph", hash_, [result], reason or "written", int(reason is not None))
        entry["output"] = None  # it is the row's text
        return Heir(task.row, parts, text, reason, None, entry, task.names)
