"""Fewer reports of a shard that goes well: a driver hears some thousand a second, from however many workers.

A table is told of at once when the last report is EVERY_S ago; those in between are told of together. Where a worker
has died at the shard before, each table is told of, so that it is known which one it dies of.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from cluster.work import TableDone

EVERY_S = 5.0


def seldom(reports: Iterator[Any], each: bool = False) -> Iterator[Any]:
    """`reports`, in order, with tables that follow one another in one report. `each`: as they are."""
    if each:
        yield from reports
        return
    waiting: TableDone | None = None
    told = float("-inf")
    for report in reports:
        alone = not isinstance(report, TableDone) or bool(report.asked)  # what was paid for is told of by table
        if alone:
            if waiting is not None:
                yield waiting
                waiting = None
            yield report
            continue
        waiting = report if waiting is None else _joined(waiting, report)
        if time.monotonic() - told >= EVERY_S:
            told = time.monotonic()
            yield waiting
            waiting = None
    if waiting is not None:
        yield waiting


def _joined(before: TableDone, report: TableDone) -> TableDone:
    deaths = Counter(dict(before.deaths)) + Counter(dict(report.deaths))
    return replace(report, counts=before.counts + report.counts, deaths=tuple(deaths.most_common()))
