"""What models were asked for rows, as rows say it."""

from typing import Any

import pyarrow as pa

from cluster.asked import Asked, asked_of
from schemas import columns as c


def entry(stage: str, calls: int, from_ledger: int, prompt: int, completion: int) -> dict[str, Any]:
    return {
        "stage": stage, "model": "m", "prompt_hash": "", "output": None, "decision": "", "errors": 0, "calls": calls,
        "from_ledger": from_ledger, "prompt_tokens": prompt, "completion_tokens": completion, "seconds": 0.0,
        "cost": 0.0,
    }  # fmt: skip


def table(*answers: list[dict[str, Any]] | None) -> pa.Table:
    return pa.table({"answers": pa.array(answers, c.ANSWERS.type)})


def test_entries_of_all_tables_and_chunks_are_added_up_by_stage() -> None:
    kept = pa.concat_tables([
        table([entry("B", 1, 0, 10, 2), entry("A", 2, 1, 20, 4)], None), table([]), table([entry("B", 1, 1, 5, 1)])
    ])  # fmt: skip
    dead = table([entry("A", 1, 0, 7, 0)])
    assert asked_of([kept, dead, pa.table({"text": ["none"]})]) == (Asked("A", 3, 1, 27, 4), Asked("B", 2, 1, 15, 3))


def test_a_slice_counts_its_own_rows() -> None:
    whole = table(*([entry("A", 1, 0, n, 0)] for n in range(10)))
    assert asked_of([whole.slice(2, 3)]) == (Asked("A", 3, 0, 9, 0),)


def test_rows_that_asked_nothing_cost_nothing() -> None:
    assert asked_of([pa.table({"text": ["a"]}), table(None, [])]) == ()
