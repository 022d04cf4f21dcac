"""EntiGraph's first step: one call a document that names its entities and sums it up."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa

from schemas import columns as c
from stages.models.ask import Asker, account, append_answers, open_asker
from stages.models.engine import Answer, Failure, Request, Sampling
from stages.models.ledger import Forgetful, Ledger
from stages.models.spec import parse
from stages.prompts import load_prompt
from stages.stage import EXECUTION, Resources, Rows, Transform, at_least, set_columns
from stages.synthesize.content import content_of
from stages.synthesize.entities import Entities, parse_entities
from stages.synthesize.relations import draw

SEEDS = 1 << 31  # engines take seeds of 31 bits


@dataclass(frozen=True)
class ExtractEntities:
    """The entities of each document and a summary, by a model that answers in JSON (EntiGraph, arXiv 2409.07431).

    A reply that cannot be used is asked for again, up to `tries` times in all, each with a seed of its own; the
    original repeats without end. At temperature 0 the same reply would come again, so there is one try. A document
    without a usable reply is dropped with the reason of the last one: `entities_not_json`, `entities_none` and so on
    (stages/synthesize/entities.py). `most` entities of a document are kept. `constrain` has the engine keep to the
    JSON schema of the prompt file.
    """

    engine: str = field(default="openai:https://api.openai.com/v1#gpt-4-turbo", metadata=EXECUTION)
    model: str | None = None
    prompt: str = "entigraph-entities"
    temperature: float = 1.0
    max_tokens: int = 4096
    tries: int = 5
    most: int = 60
    seed: int = 42
    constrain: bool = True
    model_id: str = field(init=False)
    prompt_hash: str = field(init=False)

    adds: ClassVar[pa.Schema] = pa.schema([c.ENTITIES, c.SUMMARY, c.ANSWERS, c.DROP_REASON, c.ERROR])
    reads: ClassVar[pa.Schema] = pa.schema([c.ID, c.BODY])
    rows: ClassVar[Rows] = "same"

    def __post_init__(self) -> None:
        object.__setattr__(self, "model_id", self.model or parse(self.engine, "ExtractEntities").model_id)
        object.__setattr__(self, "prompt_hash", load_prompt(self.prompt).hash)
        at_least(self, max_tokens=1, tries=1, most=1, temperature=0)

    @property
    def resources(self) -> Resources:
        return parse(self.engine, "ExtractEntities").resources

    def open(self) -> Transform:
        return self.open_with_ledger(Forgetful())

    def open_with_ledger(self, ledger: Ledger) -> Transform:
        """The transform, with answers that were paid for before."""
        asker = open_asker(parse(self.engine, "ExtractEntities"), self.model_id, ledger)
        return lambda table: self.extract(table, asker)

    def extract(self, table: pa.Table, asker: Asker) -> pa.Table:
        """`table` with entities and summary, or why there are none."""
        ids = table.column(c.ID.name).to_pylist()
        found: list[Entities | str] = [""] * len(ids)
        said: list[list[Answer]] = [[] for _ in ids]
        errors: list[str | None] = [None] * len(ids)
        open_, contents = list(range(len(ids))), content_of(table)
        for attempt in range(self.tries if self.temperature > 0 else 1):
            requests = [self._request(contents[row], ids[row], attempt) for row in open_]
            for row, result in zip(open_, asker.ask(requests), strict=True):
                if isinstance(result, Failure):
                    errors[row] = result.error
                else:
                    said[row].append(result)
                    found[row] = parse_entities(result, self.most)
            open_ = [row for row in open_ if errors[row] is None and isinstance(found[row], str)]
            if not open_:
                break
        return self._filled(table, asker, found, said, errors)

    def _request(self, content: str, document: str, attempt: int) -> Request:
        prompt = load_prompt(self.prompt)
        seed = draw(self.seed, document, str(attempt)) % SEEDS if self.temperature > 0 else None
        grammar = prompt.grammar if self.constrain else None
        sampling = Sampling(self.max_tokens, self.temperature, seed=seed, grammar=grammar)
        return Request(prompt.chat(content=content), sampling)

    def _filled(
        self,
        table: pa.Table,
        asker: Asker,
        found: list[Entities | str],
        said: list[list[Answer]],
        errors: list[str | None],
    ) -> pa.Table:
        entries: list[dict[str, Any] | None] = []
        for result, answers in zip(found, said, strict=True):
            decision = "extracted" if isinstance(result, Entities) else result or "failed"
            faults = len(answers) - isinstance(result, Entities)
            entries.append(account(asker, "ExtractEntities", self.prompt_hash, answers, decision, faults))
        return set_columns(
            append_answers(table, entries),
            entities=pa.array([list(r.names) if isinstance(r, Entities) else None for r in found], c.ENTITIES.type),
            summary=pa.array([r.summary if isinstance(r, Entities) else None for r in found], c.SUMMARY.type),
            drop_reason=pa.array(
                [r if isinstance(r, str) and e is None else None for r, e in zip(found, errors, strict=True)],
                c.DROP_REASON.type,
            ),
            error=pa.array(errors, c.ERROR.type),
        )
