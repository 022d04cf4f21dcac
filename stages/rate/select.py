"""Rows by their score: above a threshold, or drawn so that better ones are likelier (QuRating; methods 5.4).

Adding Gumbel noise to scores over a temperature and taking the highest is drawing without replacement with p ~
exp(score / temperature). The noise is a hash of the seed and the row's id: any worker has the same for a row, so that
one threshold for all, which `pipelines.score_threshold` finds for a budget of tokens, makes the selection.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from schemas import columns as c
from stages.dedup.keep import ANY
from stages.stage import Resources, Rows, StageError, Transform, set_columns
from stages.verdict import reasons

Doubles = npt.NDArray[np.float64]
NO_SCORE, NOT_SELECTED = "no_score", "not_selected"


@dataclass(frozen=True)
class SelectByScore:
    """Keeps rows whose selection score is at least `least`, or above `above`; adds that as `selection_score`.

    The selection score is the column `score`, less `mean`, over `std`. With a `temperature` above 0 it is divided by
    that, and Gumbel noise is added: QuRating recommends 2.0, and found that sampling beats taking the best. Null, or 0,
    takes the best. `pipelines.score_threshold` finds `mean`, `std` and `least` for a budget, and any quantile.

    Reasons: `not_selected`; `no_score` for a row whose score is null.
    """

    score: str = c.EDUCATIONAL_VALUE.name
    least: float | None = None
    above: float | None = None
    temperature: float | None = None
    mean: float = 0.0
    std: float = 1.0
    seed: int = 42

    adds: ClassVar[pa.Schema] = pa.schema([c.SELECTION_SCORE, c.DROP_REASON])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        if not self.std > 0:
            raise ValueError(f"SelectByScore.std should be above 0, got {self.std}")
        if self.temperature is not None and self.temperature < 0:
            raise ValueError(f"SelectByScore.temperature should be at least 0, or null, got {self.temperature}")

    @property
    def reads(self) -> pa.Schema:
        return pa.schema([c.ID, pa.field(self.score, ANY)])

    def open(self) -> Transform:
        return self._select

    def _select(self, table: pa.Table) -> pa.Table:
        column = table.column(self.score)
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            raise StageError(f"SelectByScore.score {self.score!r} is {column.type}, expected numbers")
        values = numbers(column)
        known = ~np.isnan(values)
        chosen = self.of(values, self.noise(table.column(c.ID.name).to_pylist()))
        stays = known.copy()
        if self.least is not None:
            stays &= chosen >= self.least
        if self.above is not None:
            stays &= chosen > self.above
        drop = [None if stay else (NOT_SELECTED if one else NO_SCORE) for stay, one in zip(stays, known, strict=True)]
        return set_columns(
            table, selection_score=pa.array(chosen, mask=~known).cast(pa.float32()), drop_reason=reasons(drop)
        )

    def of(self, values: Doubles, noise: Doubles) -> Doubles:
        """The selection score of rows with these scores and this noise."""
        scores = (values - self.mean) / self.std
        return scores / self.temperature + noise if self.temperature else scores

    def noise(self, ids: Sequence[str]) -> Doubles:
        """What is added to the scores of rows with these ids."""
        return gumbel(ids, self.seed) if self.temperature else np.zeros(len(ids))


def numbers(column: pa.ChunkedArray) -> Doubles:
    """A column of numbers in double precision; nulls as NaN."""
    return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)


def gumbel(ids: Sequence[str], seed: int) -> Doubles:
    """A draw of Gumbel(0, 1) for each id, by a hash of it; rounded, since machines differ in a logarithm's last bit."""
    bits = np.array([xxhash.xxh3_64_intdigest(id_.encode(), seed) >> 11 for id_ in ids], np.float64)
    draws: Doubles = -np.log(-np.log((bits + 0.5) / 2.0**53))
    return draws.round(9)
