"""What screening pages before extraction saves, and what it loses: the calibration of `Screen`, one core.

    python benchmarks/screen.py [--rounds N] [--engines trafilatura headrace]

Over pages-dev and crawl-dev the first step of the recipe `web` with and without `Screen`, in turns: CPU seconds (best
of N rounds) and the rows that are kept only without it. Then each of its tests alone at several bounds: the share of
pages it drops, and how many of them the recipe keeps without it, with either engine. Last, by the labels of pages-dev:
how many pages in English the test of language drops, which needs no extraction to be told.
"""

import argparse
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from record import record

from cluster.chain import Chain
from pipelines.config import configure
from pipelines.web import web
from schemas import columns as c
from schemas.manifest import StageCost
from stages.screen import Screen
from stages.stage import Piece, Unreadable

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
ARCHIVES = ("pages-dev", "crawl-dev")
BOUNDS: dict[str, tuple[float, ...]] = {
    "language_bound": (0.0, 0.3, 0.5, 0.65, 0.8, 0.9, 0.95),
    "min_words": (50, 100, 150, 300),
    "min_stop_words": (1, 2, 3, 4),
}
OFF: dict[str, Any] = dict.fromkeys(BOUNDS)


def main() -> None:
    parser = argparse.ArgumentParser(description="What screening saves, and what it loses.")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--engines", nargs="*", default=["trafilatura", "headrace"])
    arguments = parser.parse_args()
    tables = {name: pages_of(name) for name in ARCHIVES}
    engines: dict[str, dict[str, Any]] = {}
    kept: dict[str, set[str]] = {name: set() for name in ARCHIVES}
    for engine in arguments.engines:
        engines[engine] = {}
        for name in ARCHIVES:
            found, without = compare(tables[name], engine, arguments.rounds)
            engines[engine][name] = found
            kept[name] |= without
    pages = {name: pa.concat_tables(parts) for name, parts in tables.items()}
    record("screen", {"engines": engines, "bounds": bounds(pages, kept), "english": english(pages["pages-dev"])})


def pages_of(name: str) -> list[pa.Table]:
    """The tables of an archive as the recipe reads them, without the rows that the source rejects."""
    with (DATA / f"{name}.warc.gz").open("rb") as file:
        read = web().steps[0].source.open()(file, Piece(f"{name}.warc.gz"))
        parts = [part for part in read if not isinstance(part, Unreadable)]
    return [
        part.filter(pc.is_null(part.column(c.DROP_REASON.name))).drop_columns([c.DROP_REASON.name]) for part in parts
    ]


def compare(tables: list[pa.Table], engine: str, rounds: int) -> tuple[dict[str, Any], set[str]]:
    """(figures with and without the stage, ids of the rows that are kept without it)."""
    (step,) = (step for step in configure(web(), {"ExtractText": {"engine": engine}}).steps if step.name == "filter")
    chains = {"with": Chain(step.stages), "without": Chain(tuple(s for s in step.stages if not isinstance(s, Screen)))}
    seconds: dict[str, float] = {}
    kept: dict[str, set[str]] = {}
    costs: dict[str, StageCost] = {}
    for chain in chains.values():  # compiling and loading are not counted
        chain.apply(tables[0])
    for _ in range(rounds):
        for way, chain in chains.items():
            batches = [chain.apply(table) for table in tables]
            total = sum(cost.cpu_seconds for batch in batches for cost in batch.costs.values())
            seconds[way] = min(seconds.get(way, float("inf")), total)
            kept[way] = {id_ for batch in batches for id_ in batch.kept.column(c.ID.name).to_pylist()}
            if way == "with":
                costs = {"Screen": sum((batch.costs["Screen"] for batch in batches), StageCost())}
    n = sum(map(len, tables))
    figures = {
        "pages": n,
        "cpu_seconds": {way: round(value, 2) for way, value in seconds.items()},
        "saved": round(1 - seconds["with"] / seconds["without"], 3),
        "screen_ms_a_page": round(1000 * costs["Screen"].cpu_seconds / costs["Screen"].rows_in, 3),
        "screened": round(1 - costs["Screen"].rows_out / costs["Screen"].rows_in, 3),
        "kept": {way: len(ids) for way, ids in kept.items()},
        "lost": len(kept["without"] - kept["with"]),
        "won": len(kept["with"] - kept["without"]),
    }
    return figures, kept["without"]


def bounds(pages: dict[str, pa.Table], kept: dict[str, set[str]]) -> dict[str, list[dict[str, Any]]]:
    """Each test alone: (bound, share of pages dropped, rows dropped that the recipe keeps), both archives together."""
    table = pa.concat_tables(pages.values())
    wanted = set.union(*kept.values())
    found: dict[str, list[dict[str, Any]]] = {}
    for setting, values in BOUNDS.items():
        found[setting] = []
        for value in values:
            dropped = dropped_by(Screen(**{**OFF, setting: value}), table)
            lost = len(wanted.intersection(dropped))
            found[setting].append({"bound": value, "screened": round(len(dropped) / len(table), 4), "lost": lost})
    return found


def english(table: pa.Table) -> dict[str, Any]:
    """Pages that people or CLD2 call English, and how many of them the test of language drops at each bound."""
    truth = pq.read_table(DATA / "pages-dev.truth.parquet", columns=["url", "lang"])
    labelled = set(truth.filter(pc.equal(truth.column("lang"), "en")).column("url").to_pylist())
    rows = table.filter(pc.is_in(table.column(c.URL.name), pa.array(labelled)))
    dropped = {
        str(bound): dropped_by(Screen(**{**OFF, "language_bound": bound}), rows) for bound in BOUNDS["language_bound"]
    }
    return {"pages": len(rows), "dropped": {bound: len(ids) for bound, ids in dropped.items()}}


def dropped_by(stage: Screen, table: pa.Table) -> list[str]:
    """Ids of the rows that the stage drops."""
    result = stage.open()(table)
    return list(result.filter(pc.is_valid(result.column(c.DROP_REASON.name))).column(c.ID.name).to_pylist())


if __name__ == "__main__":
    main()
