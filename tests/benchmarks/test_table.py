"""How a benchmark's result is told in the README."""

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import table

    return table


def test_web(table):
    ours = {
        "ms_a_page": 4.04, "times_faster": 10.05, "startup_cpu_s": 2.5, "against_datatrove": {"agreement": 0.9}
    }  # fmt: skip
    sides = {"datatrove": {"ms_a_page": 40.6, "startup_cpu_s": 1.0}, "trafilatura": ours, "headrace": ours}
    lines = table.web({"versions": {"datatrove": "0.10.1"}, "pages": 1709, "sides": sides})
    assert lines == [
        (
            f"`web`, engine {engine}, against datatrove 0.10.1's FineWeb chain, WARC to Parquet, 1,709 pages",
            "4.0 against 40.6 ms of CPU a page, 10.1 x the speed; start-up 2.5 against 1.0 s; same decision 90.0%",
        )
        for engine in ("headrace", "trafilatura")
    ]


def test_linearity(table):
    result = {
        "times": 10, "rows": [800, 8000], "cpu_ratio": 10.049, "own_ratio": 1.021,
        "own_peak_mb": [400, 408], "sandbox_peak_mb": [90, 91],
    }  # fmt: skip
    assert table.linearity(result) == [
        (
            "`web`, engine headrace: 10 x the pages, 800 to 8,000",
            "10.05 x the CPU time, 1.02 x the memory (408 MB, its sandbox 91 MB)",
        )
    ]


def test_agreement_by_engine(table):
    row = {"documents": 884, "agreement": 1.0, "reason_agreement": 0.995, "ratio": 44.6}
    engines = {"trafilatura": {"filters": {"C4Quality": row}}, "headrace": {"filters": {"C4Quality": row}}}
    assert table.agreement({"versions": {"datatrove": "0.10.1"}, "engines": engines}) == [
        (
            f"`C4Quality` against datatrove 0.10.1, 884 documents by {engine}",
            "same decision 100.0%, reason 99.5%; 45 x the speed",
        )
        for engine in ("trafilatura", "headrace")
    ]
