"""Four qualities that people see in texts, by QuRater (Wettig et al. 2024, arXiv 2402.09739; methods 5.3)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa

from schemas import columns as c
from stages.models.engine import Failure, Prompt, Vector
from stages.models.spec import parse
from stages.rate.rater import Rater, chunks_of, column, failures_of, gather, open_rater, texts_of, usages_of
from stages.stage import EXECUTION, Resources, Rows, Transform, at_least

HEADS = (c.WRITING_STYLE, c.REQUIRED_EXPERTISE, c.FACTS_AND_TRIVIA, c.EDUCATIONAL_VALUE)  # in the order of the model


@dataclass(frozen=True)
class QuRater:
    """Adds QuRater's four scores and `n_tokens`; drops nothing: `SelectByScore` does, by a budget of tokens.

    As the authors annotate: a text is tokenised without special tokens and cut into chunks of `chunk_tokens`, the last
    one shorter; a score is the mean of the chunks' logits, weighted by their tokens. A text without tokens has no
    scores (the authors' program fails there). The model is a classifier with four outputs in the order of the columns.

    `engine` is how the model is run (stages/models/spec.py); `model` its name, by default the engine's.
    """

    chunk_tokens: int = 512
    engine: str = field(default="transformers:princeton-nlp/QuRater-1.3B?dtype=bfloat16", metadata=EXECUTION)
    model: str | None = None
    model_id: str = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([*HEADS, c.N_TOKENS, c.ANSWERS, c.ERROR])
    rows: ClassVar[Rows] = "same"

    def __post_init__(self) -> None:
        at_least(self, chunk_tokens=1)
        object.__setattr__(self, "model_id", self.model or parse(self.engine, "QuRater").model_id)

    @property
    def resources(self) -> Resources:
        return parse(self.engine, "QuRater").resources

    def open(self) -> Transform:
        rater = open_rater(self)
        rater.check_outputs(len(HEADS))
        rater.check_context(self.chunk_tokens, "chunk_tokens")
        return lambda table: self._rate(table, rater)

    def _rate(self, table: pa.Table, rater: Rater) -> pa.Table:
        tokens = rater.engine.tokenize(texts_of(table))
        chunks = [(row, chunk) for row, mine in enumerate(tokens) for chunk in chunks_of(mine, self.chunk_tokens)]
        prompts = [Prompt(tokens=tuple(chunk)) for _, chunk in chunks]
        found = gather(rater.engine.classify(prompts), [row for row, _ in chunks], table.num_rows)
        scores = [
            document_scores(one, [len(chunk) for chunk in chunks_of(mine, self.chunk_tokens)])
            for one, mine in zip(found, tokens, strict=True)
        ]
        columns = {
            head.name: column([None if one is None else one[i] for one in scores]) for i, head in enumerate(HEADS)
        }
        n_tokens = pa.array([len(mine) for mine in tokens], c.N_TOKENS.type)
        return rater.fill(table, failures_of(found), usages_of(found), n_tokens=n_tokens, **columns)


def document_scores(found: Sequence[Vector] | Failure, lengths: Sequence[int]) -> list[float] | None:
    """Mean of the chunks' scores by the chunks' lengths; None where there is nothing to rate."""
    if isinstance(found, Failure) or not found:
        return None
    values = np.array([vector.values for vector in found], np.float64)
    return [float(value) for value in np.average(values, axis=0, weights=lengths)]
