"""The totals as text: from rows in to rows kept."""

from typing import Any

from pipelines.funnel import funnel


def step(name: str, **values: Any) -> dict[str, Any]:
    return {
        "name": name, "shards": 1, "rows_in": 0, "emitted": 0, "out": 0, "dropped": {}, "dead": 0, "unreadable": 0,
        "seconds": 1.0, "cpu_seconds": 1.0, **values,
    }  # fmt: skip


def result(*steps: dict[str, Any]) -> dict[str, Any]:
    return {
        "recipe": "r", "status": "done", "final": steps[-1]["name"] if steps else "none", "seconds": 75.2,
        "cpu_seconds": 1234.56, "steps": list(steps),
    }  # fmt: skip


def lines(*steps: dict[str, Any]) -> list[str]:
    return [line.rstrip() for line in funnel(result(*steps), "out/").splitlines()]


def test_every_way_out_has_a_line_with_its_share() -> None:
    first = step("filter", rows_in=2000, out=1000, dropped={"A.x": 500, "B.y": 490}, dead=20, emitted=10, unreadable=3)
    assert [line[:65].rstrip() for line in lines(first)] == [
        "filter: 1 shards, 2,000 rows in",
        "  + made                                               10    0.5%",
        "  - A.x                                               500   25.0%",
        "  - B.y                                               490   24.5%",
        "  - dead                                               20    1.0%",
        "  = kept                                            1,000   50.0%",
        "  3 pieces of input were unreadable (see manifests/)",
        "",
        "done in 1m15s, 1,234.6 CPU seconds: out/filter/data",
    ]


def test_later_steps_are_shares_of_the_first() -> None:
    found = lines(step("filter", rows_in=200, out=100), step("dedup", rows_in=100, out=50))
    assert "dedup: 1 shards, 100 rows (50.0%) in" in found
    assert next(line for line in found[3:] if "= kept" in line).split()[2:4] == ["50", "25.0%"]
    assert found[-1].endswith("out/dedup/data")


def test_bars_are_as_long_as_their_share_and_never_longer() -> None:
    found = lines(step("a", rows_in=100, out=300, dropped={"A.x": 50, "B.y": 0}))
    assert [line.count("█") for line in found[1:4]] == [12, 0, 24]


def test_run_without_rows_or_steps_divides_by_nothing() -> None:
    assert lines(step("a"))[0] == "a: 1 shards, 0 rows (0.0%) in"
    assert lines() == ["done in 1m15s, 1,234.6 CPU seconds: out/none/data"]


def test_models_have_two_lines_under_the_step_that_asked_them() -> None:
    told = {
        "stage": "Rephrase", "model": "m", "rows": 9, "calls": 12, "from_ledger": 3, "prompt_tokens": 12_345,
        "completion_tokens": 678, "cost": 0.5, "decisions": {"rewritten": 1200, "original: guard_novel_number": 3},
    }  # fmt: skip
    free = {**told, "stage": "Rate", "from_ledger": 0, "cost": 0.0, "decisions": {f"d{n}": 9 - n for n in range(8)}}
    assert lines(step("a", rows_in=9, out=9, models=[told, free]))[2:6] == [
        "  Rephrase asked m: 12 calls, 3 of them from the ledger, 12,345 tokens in, 678 out, 0.5 dollars",
        "    rewritten 1,200, original: guard_novel_number 3",
        "  Rate asked m: 12 calls, 12,345 tokens in, 678 out",
        "    d0 9, d1 8, d2 7, d3 6, d4 5, d5 4, 2 more",
    ]


def test_rows_that_became_fewer_are_told() -> None:
    assert "- joined to others" in lines(step("a", rows_in=3, out=2, emitted=-1))[1]
