"""Draws by hash: what is drawn for a row depends on seed, row and the name of the draw, and on no other row or draw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

from stages.synthesize.relations import draw

T = TypeVar("T")


@dataclass(frozen=True)
class Lot:
    """The draws of one row. Each is named, so that one more of them changes none of the others."""

    seed: int
    row: str

    def share(self, what: str) -> float:
        """A number from 0 up to 1."""
        return (draw(self.seed, self.row, what) >> 11) / (1 << 53)  # all 64 bits would round to 1

    def pick(self, what: str, among: Sequence[T]) -> T:
        """One of `among`, each as likely."""
        return among[int(self.share(what) * len(among))]

    def weighted(self, what: str, weights: Mapping[str, float]) -> str:
        """One of the names, as likely as its weight says."""
        limit = self.share(what) * sum(weights.values())
        return next(name for name, upto in zip(weights, accumulate(weights.values()), strict=True) if limit < upto)

    def shuffled(self, what: str, things: Sequence[T]) -> list[T]:
        """`things` in another order."""
        return [things[n] for n in sorted(range(len(things)), key=lambda n: draw(self.seed, self.row, what, str(n)))]
