"""Documents as reading comprehension whose exercises a model writes: AdaptLLM's idea as TransformLLM has it."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc

from schemas import columns as c
from stages.models.ask import Asker, account, append_answers, open_asker
from stages.models.engine import Answer, Failure, Request, Sampling
from stages.models.ledger import Forgetful, Ledger
from stages.models.spec import parse
from stages.prompts import load_prompt
from stages.rephrase.segments import count_words
from stages.stage import EXECUTION, Resources, Rows, Transform, at_least, set_columns
from stages.synthesize.extract_entities import SEEDS
from stages.synthesize.lots import Lot
from stages.synthesize.reading_templates import BETWEEN, QUESTION_TO_ANSWER, lead_in, templates_hash
from stages.synthesize.relations import draw
from stages.synthesize.replace import ADDED, replace_texts
from stages.synthesize.tasks_form import Tasks, parse_tasks

NAME = "ReadingTasks"
TEXT_EMPTY, TEXT_LONG = "text_empty", "text_long"


@dataclass(frozen=True)
class ReadingTasks:
    """Puts exercises behind each text that a model wrote of it.

    TransformLLM's prompts are not public: ours is stages/prompts/reading-tasks.yaml. A document of which no exercise
    can be used goes on as it was, or is dropped if `rejected` says so; `answers.decision` has the reasons either way
    (stages/synthesize/tasks_form.py): `tasks`, `tasks: <reasons>` of some that were left out, `no_tasks: <reasons>`,
    or `text_empty` and `text_long`, of more than `max_input` tokens at 1.3 a word, which are not asked about. A call
    that failed for good leaves a dead row.
    """

    engine: str = field(default="transformers:Qwen/Qwen2.5-7B-Instruct?dtype=bfloat16", metadata=EXECUTION)
    model: str | None = None
    prompt: str = "reading-tasks"
    rejected: Literal["original", "drop"] = "original"
    domain: str = ""
    max_input: int = 3000
    max_tokens: int = 1024
    temperature: float = 0.7
    seed: int = 42
    model_id: str = field(init=False)
    prompt_hash: str = field(init=False)
    templates_hash: str = field(init=False, default_factory=templates_hash)

    reads: ClassVar[pa.Schema] = pa.schema([c.ID, c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([*ADDED, c.MODEL, c.PROMPT_HASH, c.ANSWERS, c.DROP_REASON, c.ERROR])
    rows: ClassVar[Rows] = "same"

    def __post_init__(self) -> None:
        object.__setattr__(self, "model_id", self.model or parse(self.engine, NAME).model_id)
        object.__setattr__(self, "prompt_hash", load_prompt(self.prompt).hash)
        at_least(self, max_input=1, max_tokens=1, temperature=0)

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
        """`table` with exercises behind its texts, or why there are none."""
        ids, texts = (table.column(f.name).to_pylist() for f in (c.ID, c.BODY))
        decisions = [self._unasked(text) for text in texts]
        open_ = [row for row, decision in enumerate(decisions) if decision is None]
        results = asker.ask([self._request(ids[row], texts[row]) for row in open_])
        found: dict[int, tuple[Answer, Tasks]] = {}
        errors: list[str | None] = [None] * len(ids)
        for row, result in zip(open_, results, strict=True):
            if isinstance(result, Failure):
                errors[row], decisions[row] = result.error, "failed"
            else:
                found[row] = result, self._tasks(result, texts[row])
                decisions[row] = decision_of(found[row][1])
        entries: list[dict[str, Any] | None] = [
            self._entry(asker, found.get(row), decision or "") for row, decision in enumerate(decisions)
        ]
        return self._filled(append_answers(table, entries), found, decisions, errors)

    def _unasked(self, text: str | None) -> str | None:
        """Why nothing is asked about a text."""
        if not text or not text.strip():
            return TEXT_EMPTY
        return TEXT_LONG if count_words([text])[0] > self.max_input else None

    def _request(self, id_: str, text: str) -> Request:
        seed = draw(self.seed, NAME, id_) % SEEDS if self.temperature > 0 else None
        return Request(load_prompt(self.prompt).chat(text=text), Sampling(self.max_tokens, self.temperature, seed=seed))

    def _tasks(self, answer: Answer, text: str) -> Tasks:
        prompt = load_prompt(self.prompt)
        return parse_tasks(answer.text, answer.finish, text, f"{prompt.system or ''}\n{prompt.user}")

    def _entry(self, asker: Asker, found: tuple[Answer, Tasks] | None, decision: str) -> dict[str, Any]:
        answers, faults = ([found[0]], len(found[1].faults)) if found else ([], 0)
        return account(asker, NAME, self.prompt_hash, answers, decision, faults)

    def _filled(
        self,
        table: pa.Table,
        found: dict[int, tuple[Answer, Tasks]],
        decisions: list[str | None],
        errors: list[str | None],
    ) -> pa.Table:
        ids, texts = (table.column(f.name).to_pylist() for f in (c.ID, c.BODY))
        rules = [""] * len(ids)
        for row, (_, tasks) in found.items():
            if tasks.pairs:
                exercises = BETWEEN.join(QUESTION_TO_ANSWER.join(pair) for pair in tasks.pairs)
                texts[row] += lead_in(self.domain, Lot(self.seed, ids[row])) + exercises
                rules[row] = f"tasks {len(tasks.pairs)}"
        rejected = [self.rejected == "drop" and not rule and not e for rule, e in zip(rules, errors, strict=True)]
        written = pa.array([bool(rule) for rule in rules])
        reasons = [reason_of(d or "") if is_ else None for d, is_ in zip(decisions, rejected, strict=True)]
        return set_columns(
            replace_texts(table, NAME, texts, rules),
            model=_where(written, self.model_id, table, c.MODEL),
            prompt_hash=_where(written, self.prompt_hash, table, c.PROMPT_HASH),
            drop_reason=pa.array(reasons, c.DROP_REASON.type),
            error=pa.array(errors, c.ERROR.type),
        )


def decision_of(tasks: Tasks) -> str:
    """What became of a reply: `tasks` or `no_tasks`, and the reasons of what was left out."""
    reasons = ", ".join(sorted(set(tasks.faults)))
    return ("tasks" if tasks.pairs else "no_tasks") + (f": {reasons}" if reasons else "")


def reason_of(decision: str) -> str:
    """The first reason of a decision."""
    return decision.removeprefix("no_tasks: ").partition(",")[0]


def _where(rows: pa.Array, value: str | None, table: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    """`value` in `rows`; elsewhere what was there."""
    there = table.column(field.name) if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
    return pc.if_else(rows, pa.scalar(value, field.type), there)
