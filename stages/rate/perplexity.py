"""Perplexity of a document by a language model: how surprising it is to it, token by token."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import pyarrow as pa

from schemas import columns as c
from stages.models.spec import parse
from stages.rate.likelihood import check_windows, likelihoods
from stages.rate.rater import DECIMALS, Floats, Rater, column, open_rater, texts_of
from stages.stage import EXECUTION, Resources, Rows, Transform

HIGHEST_NLL = 80.0  # e to that still is a float32


@dataclass(frozen=True)
class Perplexity:
    """Adds `nll`, the mean negative log-likelihood of the text's tokens, and `perplexity`, e to that.

    A text longer than `window_tokens` is scored in windows; `overlap` tokens in front of a window are shown to the
    model again, but do not count again: 0 is the cheapest, half a window the closest to a model without a limit.
    Tokens are those of the model's own tokenizer, and the first one counts if that begins texts with a special token.

    Drops what is below `min_perplexity` (reason `perplexity_low`: repetition, boilerplate) or above `max_perplexity`
    (`perplexity_high`: no language); both are off by default, since what is normal depends on the model and on the
    data: take quantiles of the column. A text with nothing to predict has no score and stays.

    `engine` is how the model is run (stages/models/spec.py); `model` its name, by default the engine's.
    """

    min_perplexity: float | None = None
    max_perplexity: float | None = None
    window_tokens: int = 1024
    overlap: int = 0
    engine: str = field(default="transformers:HuggingFaceTB/SmolLM2-135M", metadata=EXECUTION)
    model: str | None = None
    model_id: str = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.NLL, c.PERPLEXITY, c.ANSWERS, c.ERROR, c.DROP_REASON])
    rows: ClassVar[Rows] = "same"

    def __post_init__(self) -> None:
        check_windows("Perplexity", self.window_tokens, self.overlap)
        lowest, highest = self.min_perplexity, self.max_perplexity
        if lowest is not None and highest is not None and lowest > highest:
            raise ValueError(
                f"Perplexity.min_perplexity {lowest} is above max_perplexity {highest}: nothing would stay"
            )
        object.__setattr__(self, "model_id", self.model or parse(self.engine, "Perplexity").model_id)

    @property
    def resources(self) -> Resources:
        return parse(self.engine, "Perplexity").resources

    def open(self) -> Transform:
        rater = open_rater(self)
        rater.check_context(self.window_tokens, "window_tokens")
        return lambda table: self._rate(table, rater)

    def _rate(self, table: pa.Table, rater: Rater) -> pa.Table:
        found = likelihoods(rater, texts_of(table), self.window_tokens, self.overlap)
        nll = [mean_nll(logprobs) for logprobs in found.logprobs]
        perplexity = [None if value is None else math.exp(min(value, HIGHEST_NLL)) for value in nll]
        drop = [self.reason(value) for value in perplexity]
        return rater.fill(table, found.failures, found.usages, drop, nll=column(nll), perplexity=column(perplexity))

    def reason(self, perplexity: float | None) -> str | None:
        """Why a text of this perplexity is dropped, or None."""
        if perplexity is None:
            return None
        if self.min_perplexity is not None and perplexity < self.min_perplexity:
            return "perplexity_low"
        if self.max_perplexity is not None and perplexity > self.max_perplexity:
            return "perplexity_high"
        return None


def mean_nll(logprobs: Floats) -> float | None:
    """The mean, rounded so that reruns agree; None of nothing."""
    return round(-float(logprobs.mean(dtype="float64")), DECIMALS) if len(logprobs) else None
