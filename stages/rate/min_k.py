"""Min-K% Prob (Shi et al. 2023, arXiv 2310.16789; methods 18): has a model seen this text when it was trained?"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa

from schemas import columns as c
from stages.models.spec import parse
from stages.rate.likelihood import check_windows, likelihoods
from stages.rate.rater import DECIMALS, Floats, Rater, column, open_rater, texts_of
from stages.stage import EXECUTION, Resources, Rows, Transform

REASON = "seen"


@dataclass(frozen=True)
class MinK:
    """Adds `min_k_score`, the mean negative log-likelihood of the `share` of tokens that the model finds least likely.

    A text that the model has learnt has few tokens that surprise it, so a lower score means more likely seen. Below
    `threshold` it is dropped (reason `seen`); that is off by default, since the paper sets it per model and length.
    `min_k` has the score for each of `shares`, as the authors' program does. Where a share is less than a token there
    is no score (NaN in theirs), and such a text stays.

    `engine` is the model that is asked about; longer texts than `window_tokens` are scored in windows (`Perplexity`).
    """

    share: float = 0.2
    shares: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    threshold: float | None = None
    window_tokens: int = 1024
    overlap: int = 0
    engine: str = field(default="transformers:HuggingFaceTB/SmolLM2-135M", metadata=EXECUTION)
    model: str | None = None
    model_id: str = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.MIN_K_SCORE, c.MIN_K, c.ANSWERS, c.ERROR, c.DROP_REASON])
    rows: ClassVar[Rows] = "same"

    def __post_init__(self) -> None:
        object.__setattr__(self, "shares", tuple(self.shares))
        for share in (self.share, *self.shares):
            if not 0 < share <= 1:
                raise ValueError(f"MinK: a share of tokens should be above 0 and at most 1, got {share}")
        check_windows("MinK", self.window_tokens, self.overlap)
        object.__setattr__(self, "model_id", self.model or parse(self.engine, "MinK").model_id)

    @property
    def resources(self) -> Resources:
        return parse(self.engine, "MinK").resources

    def open(self) -> Transform:
        rater = open_rater(self)
        rater.check_context(self.window_tokens, "window_tokens")
        return lambda table: self._rate(table, rater)

    def _rate(self, table: pa.Table, rater: Rater) -> pa.Table:
        found = likelihoods(rater, texts_of(table), self.window_tokens, self.overlap)
        scores = [min_k(logprobs, self.share) for logprobs in found.logprobs]
        limit = self.threshold
        drop = [REASON if score is not None and limit is not None and score < limit else None for score in scores]
        every = [self._of_shares(logprobs) for logprobs in found.logprobs]
        return rater.fill(
            table,
            found.failures,
            found.usages,
            drop,
            min_k_score=column(scores),
            min_k=pa.array(every, c.MIN_K.type),
        )

    def _of_shares(self, logprobs: Floats) -> list[dict[str, float | None]]:
        ordered = np.sort(logprobs)
        return [{"share": share, "score": min_k(ordered, share)} for share in self.shares]


def min_k(logprobs: Floats | Sequence[float], share: float) -> float | None:
    """Negative mean of the lowest `share` of `logprobs`; None if that is none of them."""
    k = int(len(logprobs) * share)
    if k == 0:
        return None
    lowest = np.partition(np.asarray(logprobs, np.float64), k - 1)[:k]
    return round(-float(lowest.mean()), DECIMALS)
