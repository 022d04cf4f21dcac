"""A vector for each document, in which texts that say the same are close: what semantic dedup works on."""

from dataclasses import dataclass, field
from typing import ClassVar

import pyarrow as pa

from schemas import columns as c
from stages.models.spec import parse
from stages.rate.rater import Rater, asked, failures_of, gather, open_rater, texts_of, usages_of
from stages.stage import EXECUTION, Resources, Rows, Transform, at_least


@dataclass(frozen=True)
class Embed:
    """Adds `embedding`, a vector of length 1 for the text's first `max_tokens` tokens.

    How tokens become one vector is the model's own affair (its folder says it); `prefix` is put in front of each text
    where the model was trained with one, such as `passage: ` of the E5 models. `python -m pipelines.centroids` and the
    recipe `dedup-semantic` go on from here. A text without tokens has no embedding, and is nobody's duplicate there.

    `engine` is how the model is run (stages/models/spec.py); `model` its name, by default the engine's.
    """

    max_tokens: int = 512
    prefix: str = ""
    engine: str = field(default="transformers:Qwen/Qwen3-Embedding-0.6B", metadata=EXECUTION)
    model: str | None = None
    model_id: str = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.EMBEDDING, c.ANSWERS, c.ERROR])
    rows: ClassVar[Rows] = "same"

    def __post_init__(self) -> None:
        at_least(self, max_tokens=1)
        object.__setattr__(self, "model_id", self.model or parse(self.engine, "Embed").model_id)

    @property
    def resources(self) -> Resources:
        return parse(self.engine, "Embed").resources

    def open(self) -> Transform:
        rater = open_rater(self)
        rater.check_context(self.max_tokens, "max_tokens")
        return lambda table: self._embed(table, rater)

    def _embed(self, table: pa.Table, rater: Rater) -> pa.Table:
        tokens = rater.heads([self.prefix + text for text in texts_of(table)], self.max_tokens)
        framed = [rater.frame.around(text, self.max_tokens) for text in tokens]
        prompts, rows = asked(framed, range(len(framed)))
        found = gather(rater.engine.embed(prompts), rows, table.num_rows)
        vectors = [one[0].values if isinstance(one, list) and one else None for one in found]
        return rater.fill(table, failures_of(found), usages_of(found), embedding=pa.array(vectors, c.EMBEDDING.type))
