"""What a whole run would cost, from a few shards, with an interval that means something."""

from pathlib import Path
from typing import Any

import pytest

from cluster.plan import Plan
from pipelines import estimate as module
from pipelines.estimate import _extrapolate, _size, as_text, describe, estimate
from schemas.manifest import StageCost
from tests.fakes import CrashOn, DropWith, OnGpu, Upper
from tests.runs import one_step, plan_over, two_steps, write

FILES = {f"{i}.txt": "a\nspam\nb\n" * (i + 1) for i in range(6)}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_over(two_steps(DropWith("spam"), Upper()), write(tmp_path / "in", FILES))


def test_plan_is_described_as_plain_data(plan: Plan) -> None:
    found = describe(plan)
    assert {k: found[k] for k in ("recipe", "inputs", "shards", "bytes")} == {
        "recipe": "twice", "inputs": 6, "shards": 6, "bytes": 9 * 21,
    }  # fmt: skip
    first, second = found["steps"]
    assert (first["reads"], first["shuffle"], second["reads"], second["shuffle"]) == (
        "ReadLines", None, "filter", "KeepFirst",
    )  # fmt: skip
    assert first["stages"][1] == {"stage": "DropWith", "settings": {"word": "spam"}}
    assert first["workers"] == [
        {"stages": ["DropWith", "Upper", "ContentHash"], "cpus": 1.0, "gpus": 0.0, "memory_gb": 2.0, "tables": 1}
    ]
    assert any(column.startswith("content_hash: fixed_size_binary[16]") for column in first["columns"])


def test_workers_of_several_kinds_are_told(tmp_path: Path) -> None:
    plan = plan_over(one_step(Upper(), OnGpu()), write(tmp_path / "in", FILES))
    assert "  worker of 1 CPU, 0.5 GPU, 0.5 GB: OnGpu" in as_text(describe(plan)).splitlines()


def test_sample_is_spread_over_the_input_and_measured(plan: Plan, tmp_path: Path) -> None:
    found = estimate(plan, 2, workers=4)
    assert (found["shards"], found["rows_in"]) == (2, 3 + 12)  # the first and the fourth file
    assert found["kept"] == 2
    assert found["stages"]["filter"]["DropWith"]["rows_in"] == 15
    assert found["wall_seconds"][0] == pytest.approx(found["cpu_seconds"][0] / 4)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["in"]


def test_sample_of_everything_is_known_and_has_no_interval(plan: Plan) -> None:
    for sample in (6, 100):
        found = estimate(plan, sample, workers=1)
        assert found["shards"] == 6
        low, middle, high = (found["output_bytes"][i] for i in (1, 0, 2))
        assert low == middle == high


def test_sample_of_one_has_no_interval_to_give(plan: Plan) -> None:
    found = estimate(plan, 1, workers=1)
    assert found["cpu_seconds"][1:] == (None, None)
    text = as_text({**describe(plan), "estimate": found})
    assert "(one shard says nothing of the spread)" in text


def test_dead_rows_do_not_stop_an_estimate(tmp_path: Path) -> None:
    plan = plan_over(one_step(CrashOn("a")), write(tmp_path / "in", FILES))
    assert estimate(plan, 2, workers=1)["kept"] == 5


def test_estimate_is_by_bytes() -> None:
    values, sizes = {"a": 2.0, "b": 6.0}, {"a": 100, "b": 300}
    assert _extrapolate(values, sizes, 4000, whole=False) == (80.0, 80.0, 80.0)


def test_interval_is_students_t_over_the_spread_of_the_shards() -> None:
    # Ratios 0.02 and 0.04: mean 0.03, standard deviation 0.01414, t(1) = 12.71, half width 12.71 * 0.01 = 0.1271.
    middle, low, high = _extrapolate({"a": 2.0, "b": 4.0}, {"a": 100, "b": 100}, 1000, whole=False)
    assert (middle, low) == (pytest.approx(30.0), 0.0)
    assert high == pytest.approx(30.0 + 127.1)


@pytest.mark.parametrize(("n", "t"), [(3, 4.30), (11, 2.23), (13, 2.23), (16, 2.13), (21, 2.09), (22, 1.96)])
def test_quantile_is_that_of_the_degrees_of_freedom(n: int, t: float) -> None:
    values = {str(i): 1.0 + i % 2 for i in range(n)}
    sizes = dict.fromkeys(values, 1)
    middle, _, high = _extrapolate(values, sizes, n, whole=False)
    assert high is not None
    spread = module.statistics.stdev(values.values())
    assert (high - middle) / (spread / n**0.5 * n) == pytest.approx(t)


def test_shards_of_no_bytes_divide_by_nothing() -> None:
    assert _extrapolate({"a": 1.0}, {"a": 0}, 0, whole=False) == (0.0, None, None)
    assert _extrapolate({}, {}, 10, whole=False) == (0.0, None, None)


def test_text_tells_cost_by_stage_and_the_interval(plan: Plan) -> None:
    found: dict[str, Any] = {
        "shards": 2, "rows_in": 1500, "kept": 700, "cpu_seconds": (7200.0, 3600.0, 10800.0),
        "wall_seconds": (3600.0, 1800.0, 5400.0), "output_bytes": (2.5e9, 2e9, 3e9),
        "stages": {"filter": {"Upper": {"rows_in": 1000, "rows_out": 400, "cpu_seconds": 2.5, "seconds": 3.0}}},
    }  # fmt: skip
    lines = as_text({**describe(plan), "estimate": found}).splitlines()
    assert lines[-6:] == [
        "measured on 2 shards: 1,500 rows in, 700 kept",
        "  filter.Upper                    2.500 ms CPU a row, passes  40.0%",
        "the whole input, with 95 % interval:",
        "  CPU   2h00m (1h00m to 3h00m)",
        "  wall  1h00m (30m00s to 1h30m)",
        "  output 2.5 GB (2.0 GB to 3.0 GB)",
    ]


def test_cheaper_order_is_proposed_if_it_saves_more_than_a_hundredth(tmp_path: Path) -> None:
    plan = plan_over(one_step(CrashOn("x"), DropWith("spam")), write(tmp_path / "in", FILES))
    # 2 + 0.5 s in this order, 0.5 + 0.5 * 2 s in the other: 1 s less.
    costs = {"only": {"CrashOn": StageCost(100, 100, 2.0, 2.0), "DropWith": StageCost(100, 50, 0.5, 0.5)}}
    orders = module._orders(plan, costs, 10.0)
    assert orders == {"only": {"order": ["DropWith", "CrashOn"], "cpu_saved": pytest.approx(0.1)}}
    assert module._orders(plan, costs, 99.0) == orders | {
        "only": {"order": ["DropWith", "CrashOn"], "cpu_saved": pytest.approx(1 / 99)}
    }
    assert module._orders(plan, costs, 101.0) == {}


def test_cheaper_order_is_told_with_what_it_rests_on(plan: Plan) -> None:
    found: dict[str, Any] = {
        "shards": 1, "rows_in": 100, "kept": 50, "cpu_seconds": (2.5, None, None), "wall_seconds": (2.5, None, None),
        "output_bytes": (1.0, None, None),
        "stages": {"only": {"CrashOn": {"rows_in": 100, "rows_out": 100, "cpu_seconds": 2.0, "seconds": 2.0},
                            "DropWith": {"rows_in": 100, "rows_out": 50, "cpu_seconds": 0.5, "seconds": 0.5}}},
        "orders": {"only": {"order": ["DropWith", "CrashOn"], "cpu_saved": 0.4}},
    }  # fmt: skip
    lines = as_text({**describe(plan), "estimate": found}).splitlines()
    assert lines[-8:-4] == [
        "  only.CrashOn                 20.000 ms CPU a row, passes 100.0%",
        "  only.DropWith                 5.000 ms CPU a row, passes  50.0%",
        "  only: about 40.0% less CPU in the order DropWith -> CrashOn",
        "  (by CPU a row dropped, as if stages dropped the same shares in any order; the recipe's stays)",
    ]


def test_sample_says_what_a_dropped_row_cost(plan: Plan) -> None:
    costs = estimate(plan, 2, workers=1)["stages"]["filter"]
    assert costs["DropWith"]["cpu_per_drop"] == pytest.approx(costs["DropWith"]["cpu_seconds"] / 5)
    assert costs["Upper"]["cpu_per_drop"] is None


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2.5e9, "2.5 GB"), (7e15, "7,000.0 TB")]
)
def test_size_is_read_at_a_glance(size: float, text: str) -> None:
    assert _size(size) == text
