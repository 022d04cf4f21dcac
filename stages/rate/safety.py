"""Toxic and otherwise unwanted text by a classifier with named labels."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas import columns as c
from schemas.check import nearest
from stages.models.engine import Vector
from stages.models.spec import parse
from stages.rate.rater import (
    DECIMALS,
    Floats,
    Rater,
    asked,
    chunks_of,
    column,
    failures_of,
    gather,
    open_rater,
    texts_of,
    usages_of,
)
from stages.stage import EXECUTION, Resources, Rows, StageError, Transform, at_least

Activation = Literal["sigmoid", "softmax"]
REASON = "unsafe_score"


class Found(NamedTuple):
    """The score of a text and the unwanted label that is most probable in it."""

    score: float
    label: str


@dataclass(frozen=True)
class Safety:
    """Adds `unsafe_score`, the probability that the text has one of the unwanted `labels`, and the likeliest of them.

    `activation` makes probabilities of the model's outputs: `sigmoid` for labels that may go together (toxic-bert), of
    which the highest counts; `softmax` for labels of which one is right (neutral or toxic), which add up. A text longer
    than `max_tokens` is read in pieces of that, `max_pieces` at most (null: all), and the worst piece counts.

    Documents above `threshold` are dropped (reason `unsafe_score`). 0.95 is what took 2 % away and helped in "A
    Pretrainer's Guide" (arXiv 2305.13169; methods 16): with 0.9 and less answers to questions got worse. Its scores
    were Perspective's, so look at what another model drops. None keeps all.

    `engine` is how the model is run (stages/models/spec.py); `model` its name, by default the engine's.
    """

    labels: tuple[str, ...] = ("toxic",)
    activation: Activation = "sigmoid"
    threshold: float | None = 0.95
    max_tokens: int = 512
    max_pieces: int | None = None
    engine: str = field(default="transformers:unitary/toxic-bert", metadata=EXECUTION)
    model: str | None = None
    model_id: str = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.UNSAFE_SCORE, c.UNSAFE_LABEL, c.ANSWERS, c.ERROR, c.DROP_REASON])
    rows: ClassVar[Rows] = "same"

    def __post_init__(self) -> None:
        given: Any = self.labels
        if isinstance(given, str) or not given:
            raise ValueError(f"Safety.labels should be the model's unwanted labels, such as ('toxic',), got {given!r}")
        object.__setattr__(self, "labels", tuple(given))
        if self.activation not in get_args(Activation):
            raise ValueError(f"Safety.activation should be sigmoid or softmax, got {self.activation!r}")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f"Safety.threshold should be from 0 to 1, or null, got {self.threshold}")
        at_least(self, max_tokens=1, max_pieces=1)
        object.__setattr__(self, "model_id", self.model or parse(self.engine, "Safety").model_id)

    @property
    def resources(self) -> Resources:
        return parse(self.engine, "Safety").resources

    def open(self) -> Transform:
        rater = open_rater(self)
        rater.check_context(self.max_tokens, "max_tokens")
        known = rater.engine.labels
        for label in self.labels:
            if label not in known:
                there = ", ".join(known) or "none: it is no classifier"
                raise StageError(f"Safety: {rater.model} has no label {label!r}{nearest(label, list(known))} ({there})")
        return lambda table: self._rate(table, rater)

    def _rate(self, table: pa.Table, rater: Rater) -> pa.Table:
        frame = rater.frame
        room = max(self.max_tokens - len(frame.before) - len(frame.behind), 1)
        cut = [(chunks_of(text, room) or [[]])[: self.max_pieces] for text in rater.engine.tokenize(texts_of(table))]
        framed = [frame.around(piece, self.max_tokens) for pieces in cut for piece in pieces]
        prompts, rows = asked(framed, [row for row, pieces in enumerate(cut) for _ in pieces])
        found = gather(rater.engine.classify(prompts), rows, table.num_rows)
        at = [rater.engine.labels.index(label) for label in self.labels]
        worst = [self._worst(one, at) if isinstance(one, list) and one else None for one in found]
        limit = 1.0 if self.threshold is None else self.threshold
        return rater.fill(
            table,
            failures_of(found),
            usages_of(found),
            [REASON if one is not None and one.score > limit else None for one in worst],
            unsafe_score=column([one and one.score for one in worst]),
            unsafe_label=pa.array([one and one.label for one in worst], c.UNSAFE_LABEL.type),
        )

    def _worst(self, pieces: Sequence[Vector], at: Sequence[int]) -> Found:
        shares = [probabilities(piece.values, self.activation)[at] for piece in pieces]
        totals = [float(share.max() if self.activation == "sigmoid" else share.sum()) for share in shares]
        worst = int(np.argmax(totals))
        return Found(round(min(totals[worst], 1.0), DECIMALS), self.labels[int(shares[worst].argmax())])


def probabilities(logits: Floats, activation: Activation) -> npt.NDArray[np.float64]:
    """Logits as probabilities: each on its own, or of one choice."""
    values = logits.astype(np.float64)
    if activation == "sigmoid":
        return np.asarray(np.exp(-np.logaddexp(0, -values)))
    shares = np.exp(values - values.max())
    return np.asarray(shares / shares.sum())
