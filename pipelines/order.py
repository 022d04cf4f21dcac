"""A cheaper order of a step's stages, from what each cost and dropped: `headrace plan --sample N`. A proposal only.

Filters that commute are best run by rising cost of a row dropped, cost / (1 - selectivity): J. M. Hellerstein and
M. Stonebraker, Predicate migration: optimizing queries with expensive predicates, SIGMOD 1993. Stages here do not all
commute, so the cheapest of the orders that the contract allows is looked for; where all are allowed, it is that one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from cluster.chain import VERDICT
from schemas.manifest import StageCost
from stages.stage import Stage, name_of

MAX_STAGES = 14  # 2 ** 14 sets of stages that may have run already are gone through in a second; more are left alone


@dataclass(frozen=True)
class Order:
    """The stages of a step by name; `saved` CPU seconds of those that the stages took in the recipe's order."""

    stages: tuple[str, ...]
    saved: float


def propose(stages: Sequence[Stage], costs: dict[str, StageCost]) -> Order:
    """The cheapest order that leaves every row's fate as it is, the recipe's own where none is cheaper.

    It takes each stage to cost the same a row, and to drop the same share of rows, wherever it stands. Both were
    measured behind the stages before it: filters that drop the same rows look better here than they are.
    """
    names = tuple(map(name_of, stages))
    found = [costs.get(name, StageCost()) for name in names]
    if len(set(names)) < len(names) or len(names) > MAX_STAGES or not found or not found[0].rows_in:
        return Order(names, 0.0)
    n_rows = found[0].rows_in
    a_row = [cost.cpu_seconds / cost.rows_in if cost.rows_in else 0.0 for cost in found]
    passes = [cost.rows_out / cost.rows_in if cost.rows_in else 1.0 for cost in found]
    before = [{i for i in range(at) if not may_swap(stages[i], stages[at])} for at in range(len(stages))]
    recipes, cheapest = _cost(range(len(names)), a_row, passes), _cheapest(a_row, passes, before)
    return Order(tuple(names[i] for i in cheapest), (recipes - _cost(cheapest, a_row, passes)) * n_rows)


def may_swap(first: Stage, second: Stage) -> bool:
    """Whether `second`, which now stands behind `first`, may as well run before it.

    Not where one reads or writes a column that the other writes, such as text; the verdict on a row is apart, since a
    row that was dropped is seen by no later stage. Not where one makes rows.
    """
    reads, later_reads = _names(first.reads), _names(second.reads)
    adds, later_adds = _names(first.adds), _names(second.adds)
    touched = adds & (later_reads | later_adds) or reads & later_adds
    return first.rows == second.rows == "same" and not touched


def rank(cost: StageCost) -> float | None:
    """CPU seconds a row that the stage drops; None where it drops none."""
    dropped = cost.rows_in - cost.rows_out
    return cost.cpu_seconds / dropped if dropped > 0 else None


def _names(schema: pa.Schema) -> set[str]:
    return set(schema.names) - set(VERDICT)


def _cost(order: Sequence[int], a_row: list[float], passes: list[float]) -> float:
    """What one row of the input costs in that order."""
    total, share = 0.0, 1.0
    for i in order:
        total += share * a_row[i]
        share *= passes[i]
    return total


def _cheapest(a_row: list[float], passes: list[float], before: list[set[int]]) -> tuple[int, ...]:
    """The cheapest order in which each stage stands behind those of `before`; of equals the one nearest the recipe's.

    What goes on behind a set of stages does not depend on their order, so only the best order of each set is kept.
    """
    best: dict[frozenset[int], tuple[float, tuple[int, ...]]] = {frozenset(): (0.0, ())}
    for _ in a_row:
        longer: dict[frozenset[int], tuple[float, tuple[int, ...]]] = {}
        for done, (_, order) in best.items():
            for i in range(len(a_row)):
                if i in done or not before[i] <= done:
                    continue
                found = (round(_cost((*order, i), a_row, passes), 15), (*order, i))
                longer[done | {i}] = min(found, longer.get(done | {i}, found))
        best = longer
    return best[frozenset(range(len(a_row)))][1]
