"""A budget of calls, tokens or money, shared by all documents before the first relation is asked for.

It is a shuffle: what is left of small documents goes to large ones, so all must be known. Calls are dealt out one by
one, to each document the same number as far as its relations go. Tokens and money are poured: each document gets the
same amount of them, so one with a long text, which every prompt repeats, gets fewer calls.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas import columns as c
from stages.stage import at_least
from stages.synthesize.relations import count, draw

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
CHARS_A_TOKEN = 4.0  # of English, by the tokenizers of large models
PROMPT_TOKENS = 250  # of the instructions and the names


@dataclass(frozen=True)
class ShareBudget:
    """How many relations of each document are written: the column `quota`.

    `budget` None pays for all of them. `unit`: `calls`; `tokens` of prompts and answers together; `dollars`, by
    `prompt_price` and `completion_price` per million tokens. What a call takes is reckoned before it is made, from
    the document's length at four characters a token and `answer_tokens` an answer: `plan --sample` measures it.
    `triples` and `most` (of one document) are to be those of the stage that writes: what it does not ask is no call.
    """

    budget: float | None = None
    unit: Literal["calls", "tokens", "dollars"] = "calls"
    answer_tokens: int = 500
    prompt_price: float = 0.0
    completion_price: float = 0.0
    triples: bool = True
    most: int = 10_660
    seed: int = 42

    key: ClassVar[str] = "pot"  # one for all: rows of it are small
    fan_out: ClassVar[int] = 1
    reads: ClassVar[pa.Schema] = pa.schema([c.ID, c.BODY, c.ENTITIES])
    adds: ClassVar[pa.Schema] = pa.schema([c.QUOTA])
    alone: ClassVar[dict[str, int]] = {}

    def __post_init__(self) -> None:
        at_least(self, budget=0, answer_tokens=1, most=1, prompt_price=0, completion_price=0)
        if self.budget is not None and self.unit == "dollars" and self.prompt_price + self.completion_price <= 0:
            raise ValueError("ShareBudget: a budget in dollars needs prompt_price and completion_price")

    def scaled(self, share: float) -> "ShareBudget":
        """The same for a sample that is this share of the documents."""
        return self if self.budget is None else replace(self, budget=self.budget * share)

    def spread(self, table: pa.Table) -> pa.Table:
        """(row, pot, calls, price, place): how many relations there are, what one takes, a number by hash."""
        names = pc.fill_null(pc.list_value_length(table.column(c.ENTITIES.name)), 0).to_numpy()
        places = [draw(self.seed, id_) >> 1 for id_ in table.column(c.ID.name).to_pylist()]
        return pa.table(
            {
                "row": table.column("row"),
                "pot": pa.array(np.zeros(table.num_rows, np.uint64)),
                "calls": pa.array([min(count(int(n), self.triples), self.most) for n in names], pa.int64()),
                "price": pa.array(self._prices(table.column(c.BODY.name)), pa.float64()),
                "place": pa.array(places, pa.int64()),
            }
        )

    def reduce(self, table: pa.Table) -> pa.Table:
        """The quota of every row."""
        calls, price, place = (table.column(name).to_numpy() for name in ("calls", "price", "place"))
        quota = share(calls, price, place, self.budget)
        return pa.table({"shard": table.column("shard"), "row": table.column("row"), c.QUOTA.name: pa.array(quota)})

    def gather(self, verdicts: pa.Table) -> pa.Table:
        """A row is in one partition only."""
        return verdicts

    def _prices(self, texts: pa.ChunkedArray) -> Floats:
        """What one call about each text takes, in the budget's unit."""
        chars: Floats = pc.fill_null(pc.utf8_length(texts), 0).to_numpy().astype(np.float64)
        prompt = chars / CHARS_A_TOKEN + PROMPT_TOKENS
        if self.unit == "calls":
            return np.ones(len(chars))
        if self.unit == "tokens":
            return prompt + self.answer_tokens
        return (prompt * self.prompt_price + self.answer_tokens * self.completion_price) / 1e6


def share(calls: Ints, price: Floats, place: Ints, budget: float | None) -> Ints:
    """How many of its `calls`, at `price` each, every document gets of `budget`; never more than that in all.

    The amount that each may spend is raised as far as the budget goes. What is left of whole calls is dealt out by
    `place`, one call each, to documents that have more to ask.
    """
    if budget is None or float((calls * price).sum()) <= budget:
        return np.array(calls)
    wanted = np.sort(calls * price)
    left = len(wanted) - np.arange(len(wanted))
    before = np.concatenate([[0.0], np.cumsum(wanted)[:-1]])
    full = int(np.searchsorted(before + wanted * left > budget, True))  # documents that get all they want
    full = min(full, len(wanted) - 1)  # sums of floats depend on their order: the last one may seem to fit
    level = (budget - before[full]) / left[full]
    quota: Ints = np.minimum(calls, np.floor(level / price * (1 + 1e-12))).astype(np.int64)
    rest, order = budget - float((quota * price).sum()), np.argsort(place, kind="stable")
    dealt = True
    while dealt:
        dealt = False
        for at in order[(quota < calls)[order]]:
            if price[at] <= rest * (1 + 1e-12):
                quota[at] += 1
                rest -= price[at]
                dealt = True
    return quota
