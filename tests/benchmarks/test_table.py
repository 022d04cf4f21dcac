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


def test_dedup(table):
    ours = {"ms_a_document": 0.131, "times_faster": 70.4, "startup_cpu_s": 2.9}
    theirs = {"ms_a_document": 9.22, "startup_cpu_s": 4.04}
    f1 = {"verified 0.7": 0.95, "unverified": 0.91, "datatrove": 0.949, "text-dedup": 0.92}
    result = {
        "versions": {"datatrove": "0.10.1"},
        "speed": {"documents": 20000, "sides": {"datatrove": theirs, "unverified": ours, "verified": ours}},
        "growth": {
            "documents": [50000, 500000], "cpu_ratio": 9.871, "peak_mb": [600, 700],
            "ray": {"workers": 2, "documents": 500000, "total_peak_mb": 2449},
        },
        "truth": {"synthetic": {side: {"0.7": {"f1": value}} for side, value in f1.items()}},
    }  # fmt: skip
    assert table.dedup(result) == [
        *(
            (
                f"`dedup`, {what}, against datatrove 0.10.1's four stages, Parquet to Parquet, 20,000 documents of "
                "500 words",
                "0.13 against 9.2 ms of CPU a document, 70 x the speed; start-up 2.9 against 4.0 s",
            )
            for what in ("as FineWeb does it", "verified at 0.7")
        ),
        (
            "`dedup`, verified: 10 x the documents, 50,000 to 500,000",
            "9.87 x the CPU time; peak memory 600 and 700 MB",
        ),
        ("`dedup` on Ray, 2 workers, 500,000 documents: peak memory", "2.4 GB in all, Ray's own processes included"),
        (
            "F1 of near-duplicate pairs, made documents, similarity 0.7: `dedup`, datatrove, text-dedup",
            "0.950 (0.910 unverified), 0.949, 0.920",
        ),
    ]


def test_dedup_tells_what_was_measured(table):
    assert table.dedup({"versions": {}}) == []
