"""Educational value by the classifier of FineWeb-Edu (Penedo et al. 2024, arXiv 2406.17557; methods 4.11)."""

from dataclasses import dataclass, field
from typing import ClassVar

import pyarrow as pa

from schemas import columns as c
from stages.models.spec import parse
from stages.rate.rater import DECIMALS, Rater, asked, column, failures_of, gather, open_rater, texts_of, usages_of
from stages.stage import EXECUTION, Resources, Rows, Transform, at_least

LOWEST, HIGHEST = 0, 5
REASON = "edu_score"


@dataclass(frozen=True)
class FineWebEdu:
    """Adds `edu_score`, what the classifier says of the text's first `max_tokens` tokens, and `edu_int_score`.

    The classifier is an encoder with one output, trained on Llama 3's marks from 0 to 5. `edu_int_score` is that output
    cut to 0..5 and rounded, halves to the even number, as the model's card does. Documents below `threshold` are
    dropped (reason `edu_score`): 3 made FineWeb-Edu, 2 the larger FineWeb-Edu-score-2, None keeps all.

    `engine` is how the model is run (stages/models/spec.py); `model` its name, by default the engine's.
    """

    threshold: int | None = 3
    max_tokens: int = 512
    engine: str = field(default="transformers:HuggingFaceFW/fineweb-edu-classifier", metadata=EXECUTION)
    model: str | None = None
    model_id: str = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.EDU_SCORE, c.EDU_INT_SCORE, c.ANSWERS, c.ERROR, c.DROP_REASON])
    rows: ClassVar[Rows] = "same"

    def __post_init__(self) -> None:
        if self.threshold is not None and not LOWEST <= self.threshold <= HIGHEST:
            raise ValueError(
                f"FineWebEdu.threshold should be from {LOWEST} to {HIGHEST}, or null, got {self.threshold}"
            )
        at_least(self, max_tokens=1)
        object.__setattr__(self, "model_id", self.model or parse(self.engine, "FineWebEdu").model_id)

    @property
    def resources(self) -> Resources:
        return parse(self.engine, "FineWebEdu").resources

    def open(self) -> Transform:
        rater = open_rater(self)
        rater.check_outputs(1)
        rater.check_context(self.max_tokens, "max_tokens")
        return lambda table: self._rate(table, rater)

    def _rate(self, table: pa.Table, rater: Rater) -> pa.Table:
        tokens = rater.heads(texts_of(table), self.max_tokens)
        framed = [rater.frame.around(text, self.max_tokens) for text in tokens]
        prompts, rows = asked(framed, range(len(framed)))
        found = gather(rater.engine.classify(prompts), rows, table.num_rows)
        scores = [round(float(one[0].values[0]), DECIMALS) if isinstance(one, list) and one else None for one in found]
        marks = [None if score is None else int_score(score) for score in scores]
        least = LOWEST if self.threshold is None else self.threshold
        drop = [REASON if mark is not None and mark < least else None for mark in marks]
        return rater.fill(
            table,
            failures_of(found),
            usages_of(found),
            drop,
            edu_score=column(scores),
            edu_int_score=pa.array(marks, c.EDU_INT_SCORE.type),
        )


def int_score(score: float) -> int:
    """The mark from 0 to 5 that a score is nearest to; 2.5 is 2 and 3.5 is 4."""
    return round(max(LOWEST, min(score, HIGHEST)))
