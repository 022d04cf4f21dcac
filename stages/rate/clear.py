"""How sure one can be of an answer that is in the data: the Auto-Filter of CLEAR (Chen & Mueller, arXiv 2403.12776).

The confidence is BSDetector's (arXiv 2308.16175), as far as stages/rephrase/confidence.py has it: of the model's own
answers to the question those weigh `beta` that agree with the row's, its reflection on the row's the rest. A public
implementation (uqlm) quotes beta 0.7 and five answers as the authors' defaults; the paper itself was not read. There a
fifth of the agreement is equality and the rest a model of contradiction; here it is the words in common, which asks for
no second model but takes a paraphrase for a disagreement.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import xxhash

from schemas import columns as c
from stages.models.ask import Asker, account, append_answers, open_asker
from stages.models.engine import Answer, Failure, Prompt, Request, Sampling
from stages.models.ledger import Forgetful, Ledger
from stages.models.spec import parse
from stages.prompts import load_prompt
from stages.rate.rater import DECIMALS, column, failures_of, texts_of
from stages.rephrase.confidence import LOW_CONFIDENCE, REPLY, confidence, questions
from stages.stage import EXECUTION, Resources, Rows, Transform, at_least, set_columns
from stages.verdict import reasons

PROMPT = "self-reflection"


@dataclass(frozen=True)
class Clear:
    """Adds `confidence_score`: how far a model agrees with the answer in `text` to what the column `question` asks.

    The model answers `samples` times by itself, and is asked once whether the answer in the row is right; `beta` is the
    weight of the former. See this file for what is known of the paper's own numbers.

    Rows with `threshold` or less are dropped (reason `low_confidence`). CLEAR's is the median of all rows, which no
    stage can know: run with null, then `python -m pipelines.score_threshold --quantile 0.5`, and `SelectByScore` with
    what it prints, or this stage again, whose answers the ledger has.

    `engine` is how the model is run (stages/models/spec.py); `model` its name, by default the engine's.
    """

    question: str = "question"
    samples: int = 5
    beta: float = 0.7
    threshold: float | None = None
    max_tokens: int = 512
    seed: int = 1
    engine: str = field(default="transformers:Qwen/Qwen2.5-7B-Instruct?dtype=bfloat16", metadata=EXECUTION)
    model: str | None = None
    model_id: str = field(init=False)
    prompt_hash: str = field(init=False)

    adds: ClassVar[pa.Schema] = pa.schema([c.CONFIDENCE, c.ANSWERS, c.ERROR, c.DROP_REASON])
    rows: ClassVar[Rows] = "same"

    def __post_init__(self) -> None:
        at_least(self, samples=1, max_tokens=1)
        for name in ("beta", "threshold"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"Clear.{name} should be from 0 to 1, got {value}")
        object.__setattr__(self, "model_id", self.model or parse(self.engine, "Clear").model_id)
        object.__setattr__(self, "prompt_hash", load_prompt(PROMPT).hash)

    @property
    def reads(self) -> pa.Schema:
        return pa.schema([c.ID, c.BODY, pa.field(self.question, c.TEXT)])

    @property
    def resources(self) -> Resources:
        return parse(self.engine, "Clear").resources

    def open(self) -> Transform:
        return self.open_with_ledger(Forgetful())

    def open_with_ledger(self, ledger: Ledger) -> Transform:
        """`open` with the ledger of the run."""
        asker = open_asker(parse(self.engine, "Clear"), self.model_id, ledger)
        return lambda table: self._judge(table, asker)

    def _judge(self, table: pa.Table, asker: Asker) -> pa.Table:
        ids, asked = (table.column(name).to_pylist() for name in (c.ID.name, self.question))
        answers, size = texts_of(table), self.samples + 1
        rows = zip(ids, asked, answers, strict=True)
        said = asker.ask([one for id_, question, answer in rows for one in self.requests(id_, question or "", answer)])
        scores: list[float | None] = []
        entries: list[dict[str, Any] | None] = []
        failures: list[Answer | Failure | None] = []
        for row, answer in enumerate(answers):
            mine = said[row * size : (row + 1) * size]
            good = [one for one in mine if isinstance(one, Answer)]
            failures.append(next((one for one in mine if isinstance(one, Failure)), None))
            score = self._score(answer, [one.text for one in good]) if len(good) == size else None
            scores.append(score)
            faults = int(score is not None and REPLY.match(good[-1].text) is None)
            decision = self.reason(score) or "scored"
            entry = account(asker, "Clear", self.prompt_hash, good, decision, faults)
            entries.append(entry if score is not None else None)
        return set_columns(
            append_answers(table, entries),
            confidence_score=column(scores),
            error=pa.array(failures_of(failures), c.ERROR.type),
            drop_reason=reasons([self.reason(score) for score in scores]),
        )

    def _score(self, answer: str, said: list[str]) -> float:
        """The confidence as its column has it, so that a threshold taken from that meets the same numbers."""
        return float(np.float32(round(confidence(answer, said[:-1], said[-1], self.beta), DECIMALS)))

    def requests(self, id_: str, question: str, answer: str) -> list[Request]:
        """What the model is asked about one row: `samples` answers of its own, and one reflection."""
        task = Request(Prompt(chat=(("user", question),)), Sampling(max_tokens=self.max_tokens))
        seeds = [xxhash.xxh3_64_intdigest(f"Clear/{id_}/{i}".encode(), self.seed) >> 33 for i in range(self.samples)]
        return questions(task, question, answer, load_prompt(PROMPT), seeds)

    def reason(self, score: float | None) -> str | None:
        """Why an answer of this confidence is dropped, or None."""
        return LOW_CONFIDENCE if score is not None and self.threshold is not None and score <= self.threshold else None
