"""A budget shared: never more than it is, the same for all as far as they go, whatever the order of rows."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from stages.synthesize.budget import ShareBudget, share
from stages.synthesize.entigraph import EntiGraph


def shared(calls: list[int], price: list[float], budget: float | None) -> list[int]:
    return share(np.array(calls), np.array(price, float), np.arange(len(calls)), budget).tolist()


def test_all_is_paid_for_where_the_budget_allows() -> None:
    assert shared([3, 5], [1, 1], None) == [3, 5]
    assert shared([3, 5], [1, 1], 8) == [3, 5]


def test_calls_are_dealt_out_evenly_and_what_small_documents_leave_goes_to_large_ones() -> None:
    assert shared([2, 100, 100], [1, 1, 1], 12) == [2, 5, 5]
    assert shared([2, 100, 100], [1, 1, 1], 13) == [2, 6, 5]  # the odd one by place
    assert shared([10, 10, 10], [1, 1, 1], 2) == [1, 1, 0]
    assert shared([10, 10], [1, 1], 0) == [0, 0]


def test_tokens_are_poured_evenly() -> None:
    assert shared([100, 100], [1000, 500], 10_000) == [5, 10]
    assert shared([1, 100], [1000, 500], 10_000) == [1, 18]


@pytest.mark.parametrize("seed", range(20))
def test_never_more_than_the_budget_and_nothing_left_that_would_do(seed: int) -> None:
    dice = np.random.default_rng(seed)
    calls, price = dice.integers(0, 10_000, 50), dice.uniform(0.5, 9.0, 50)
    budget = float(dice.uniform(0, 1.1)) * float((calls * price).sum())
    quota = share(calls, price, dice.permutation(50), budget)
    spent = float((quota * price).sum())
    assert ((quota >= 0) & (quota <= calls)).all()
    assert spent <= budget * (1 + 1e-9)
    wanting = quota < calls
    assert not wanting.any() or budget - spent < price[wanting].min() + 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_a_budget_a_hair_below_all(seed: int) -> None:
    """The sum of floats depends on their order: one says that all fit, the other that they do not."""
    price = np.random.default_rng(seed).uniform(0.1, 0.9, 1000)
    for budget in (np.nextafter(price.sum(), 0), np.sort(price).cumsum()[-1]):
        quota = share(np.ones(1000, np.int64), price, np.arange(1000), float(budget))
        assert quota.sum() >= 999


def test_what_is_never_asked_is_no_call() -> None:
    table = pa.table({"id": ["a"], "text": ["x"], "entities": [list("abcdef")], "row": [0]})
    assert [ShareBudget(most=most).spread(table).column("calls").to_pylist() for most in (10, 100)] == [[10], [35]]


@pytest.mark.parametrize(
    ("budget", "pairs", "triples"), [(None, 39_000, 494_000), (2_000, 2_000, 0), (45_000, 39_000, 6_000)]
)
def test_fifty_documents_of_forty_entities(budget: float | None, pairs: int, triples: int) -> None:
    """780 pairs and 9,880 triples each, as the formula says, and of them as many as the budget pays for."""
    ids = [f"d{number}" for number in range(50)]
    names = [[f"{id_} {i}" for i in range(40)] for id_ in ids]
    table = pa.table({"id": ids, "text": ["x"] * 50, "entities": names, "summary": ["s"] * 50})
    shuffle = ShareBudget(budget=budget)
    spread = shuffle.spread(table.append_column("row", [list(range(50))]))
    quotas = shuffle.reduce(spread.append_column("shard", [[0] * 50])).column("quota").to_pylist()
    sizes: Counter[int] = Counter()
    for row, quota in enumerate(quotas):  # one by one: all together they are half a million
        tasks = EntiGraph().tasks(table.slice(row, 1).append_column("quota", [[quota]]))
        assert len({task.names for task in tasks}) == len(tasks) == quota
        sizes.update(len(task.names) for task in tasks)
    assert max(quotas) == min(quotas)
    assert (sizes[2], sizes[3]) == (pairs, triples)


def test_a_quarter_of_the_documents_has_a_quarter_of_the_budget() -> None:
    assert ShareBudget(budget=1000.0).scaled(0.25).budget == 250.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": -1.0}, "ShareBudget.budget should be at least 0, got -1.0"),
        ({"budget": float("nan")}, "ShareBudget.budget should be at least 0, got nan"),
        ({"most": 0}, "ShareBudget.most should be at least 1, got 0"),
        ({"answer_tokens": 0}, "ShareBudget.answer_tokens should be at least 1, got 0"),
        ({"prompt_price": -1.0}, "ShareBudget.prompt_price should be at least 0, got -1.0"),
        ({"budget": 5.0, "unit": "dollars"}, "a budget in dollars needs prompt_price and completion_price"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", "\\(")):
        ShareBudget(**settings)  # type: ignore[arg-type]
