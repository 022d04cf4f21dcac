"""Our four heuristic filters beside datatrove's on the same extracted texts: the same verdicts, and how fast.

    python benchmarks/agreement.py [WARC] [--list] [--rounds N]

The texts are those of the recipe `web`: ReadWarc, ExtractText (precision, no comments) with the engine trafilatura and
with headrace, Language (English above 0.65). Every filter judges every text by itself, then the four in their order;
ours in every round, datatrove's in the first; by CPU time. Words are remembered within a process: GopherRepetition
meets most of them in its first round, so that its `ratio_first_round` is that of a short run, `ratio` of a long one.

A disagreement is listed with --list. Bounds: the same decision on 99 % of the documents, the same reason on 98 %, 30
times datatrove's speed. Exit status 1 when decisions or reasons miss theirs.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from record import record

from stages.c4_quality import C4Quality
from stages.extract_text import ExtractText
from stages.fineweb_quality import FineWebQuality
from stages.gopher_quality import GopherQuality
from stages.gopher_repetition import GopherRepetition
from stages.language import Language
from stages.read_warc import ReadWarc
from stages.stage import Piece, Stage, Unreadable

WARC = Path(__file__).resolve().parents[2] / "shared" / "data" / "pages-dev.warc.gz"
TABLE_ROWS = 256
ENGINES = ("trafilatura", "headrace")
SAME_DECISION, SAME_REASON = 0.99, 0.98  # of the documents, at least


class Verdict(NamedTuple):
    """Why a text is dropped (None keeps it), and the text as it goes on."""

    reason: str | None
    text: str | None


Filter = Callable[[list[str]], list[Verdict]]


def ours(stage: Stage) -> Filter:
    """A stage as a filter of texts, in tables of `TABLE_ROWS`."""
    transform = stage.open()

    def judge(texts: list[str]) -> list[Verdict]:
        verdicts = []
        for i in range(0, len(texts), TABLE_ROWS):
            table = transform(pa.table({"text": pa.array(texts[i : i + TABLE_ROWS], pa.large_string())}))
            columns = (table.column(name).to_pylist() for name in ("drop_reason", "text"))
            verdicts += [Verdict(*row) for row in zip(*columns, strict=True)]
        return verdicts

    return judge


def datatroves(block: Any) -> Filter:
    """A datatrove filter as a filter of texts."""

    def judge(texts: list[str]) -> list[Verdict]:
        verdicts = []
        for text in texts:
            document = Document(text=text, id="")
            result = block.filter(document)
            kept, reason = result if isinstance(result, tuple) else (result, "without a reason")
            verdicts.append(Verdict(None if kept else reason, document.text))
        return verdicts

    return judge


def chain(filters: list[Filter]) -> Filter:
    """One filter after another, each on what the one before kept."""

    def judge(texts: list[str]) -> list[Verdict]:
        verdicts = [Verdict(None, text) for text in texts]
        for one in filters:
            rows = [i for i, verdict in enumerate(verdicts) if verdict.reason is None]
            for i, verdict in zip(rows, one([verdicts[i].text or "" for i in rows]), strict=True):
                verdicts[i] = verdict
        return verdicts

    return judge


def extract(warc: Path, engine: str) -> tuple[int, pa.Table]:
    """(records in the archive, the English documents with `url` and `text`)."""
    stages = [stage.open() for stage in (ExtractText(engine), Language())]
    n, tables = 0, []
    with warc.open("rb") as file:
        for table in ReadWarc().open()(file, Piece(str(warc))):
            if isinstance(table, Unreadable):
                continue
            n += table.num_rows
            for transform in (lambda t: t, *stages):
                table = transform(table)  # noqa: PLW2901
                table = table.filter(pc.is_null(table.column("drop_reason")))  # noqa: PLW2901
                if "error" in table.column_names:
                    table = table.filter(pc.is_null(table.column("error")))  # noqa: PLW2901
            tables.append(table.select(["url", "text"]))
    return n, pa.concat_tables(tables)


def compare(name: str, mine: Filter, theirs: Filter, documents: pa.Table, rounds: int, listing: bool) -> dict[str, Any]:
    """The figures of one filter; disagreements to stderr if `listing`."""
    urls, texts = (documents.column(column).to_pylist() for column in ("url", "text"))
    seconds: tuple[list[float], list[float]] = ([], [])
    results: list[list[Verdict]] = []
    for judge in (mine, theirs):
        judge(texts[:1])  # not counted: loads kernels and tokenizers
    for round_ in range(rounds):
        for judge, times in zip((mine, theirs), seconds, strict=True):
            if round_ and judge is theirs:
                continue  # it remembers nothing, and takes minutes
            start = time.process_time()
            results.append(judge(texts))
            times.append(time.process_time() - start)
    n, same_verdict, same_reason, same_text = len(texts), 0, 0, 0
    for url, a, b in zip(urls, *results[:2], strict=True):
        same_verdict += (a.reason is None) == (b.reason is None)
        same_reason += a.reason == b.reason
        same_text += a.text == b.text
        if listing and a != b:
            changed = "" if a.text == b.text else f"; texts of {len(a.text or '')} and {len(b.text or '')} characters"
            print(f"{name}: {url}: headrace {a.reason}, datatrove {b.reason}{changed}", file=sys.stderr)
    my_time, their_time = statistics.median(seconds[0]), seconds[1][0]
    return {
        "documents": n,
        "kept": sum(verdict.reason is None for verdict in results[0]),
        "agreement": same_verdict / n,
        "reason_agreement": same_reason / n,
        "text_agreement": same_text / n,
        "docs_per_second": round(n / my_time, 1),
        "datatrove_docs_per_second": round(n / their_time, 1),
        "ratio": round(their_time / my_time, 1),
        "ratio_first_round": round(their_time / seconds[0][0], 1),
    }


def compare_all(documents: pa.Table, rounds: int, listing: bool) -> dict[str, dict[str, Any]]:
    """The figures of each filter alone, and of the four in their order."""
    pairs: dict[str, tuple[Filter, Filter]] = {
        "GopherRepetition": (ours(GopherRepetition()), datatroves(GopherRepetitionFilter(language="en"))),
        "GopherQuality": (ours(GopherQuality()), datatroves(GopherQualityFilter(language="en"))),
        "C4Quality": (ours(C4Quality()), datatroves(C4QualityFilter(filter_no_terminal_punct=False, language="en"))),
        "FineWebQuality": (ours(FineWebQuality()), datatroves(FineWebQualityFilter(language="en"))),
    }
    pairs["all four"] = (chain([a for a, _ in pairs.values()]), chain([b for _, b in pairs.values()]))
    return {name: compare(name, mine, theirs, documents, rounds, listing) for name, (mine, theirs) in pairs.items()}


def show(engine: str, filters: dict[str, dict[str, Any]]) -> None:
    """A line for each filter, to stderr."""
    for name, row in filters.items():
        print(
            f"{engine:11} {name:17} {row['documents']} documents, {row['kept']} kept; "
            f"agreement {row['agreement']:.2%}, with reason {row['reason_agreement']:.2%}; "
            f"{row['docs_per_second']:.0f} documents a second, datatrove {row['datatrove_docs_per_second']:.0f}: "
            f"{row['ratio']} times, {row['ratio_first_round']} in the first round",
            file=sys.stderr,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("warc", nargs="?", type=Path, default=WARC)
    parser.add_argument("--list", action="store_true", help="each disagreement to stderr")
    parser.add_argument("--rounds", type=int, default=3, help="of ours; the median counts (default 3)")
    arguments = parser.parse_args()
    if not arguments.warc.is_file():
        print(f"agreement.py: no archive {arguments.warc}; name one: agreement.py WARC", file=sys.stderr)
        return 2
    engines: dict[str, Any] = {}
    for engine in ENGINES:
        n_records, documents = extract(arguments.warc, engine)
        if not documents.num_rows:
            print(f"agreement.py: no English documents in {arguments.warc}", file=sys.stderr)
            return 2
        filters = compare_all(documents, arguments.rounds, arguments.list)
        mean_chars = round(pc.mean(pc.utf8_length(documents.column("text"))).as_py())
        engines[engine] = {"documents": documents.num_rows, "mean_chars": mean_chars, "filters": filters}
        show(engine, filters)
    record(
        "agreement",
        {"warc": arguments.warc.name, "records": n_records, "rounds": arguments.rounds, "engines": engines},
    )
    rows = [row for told in engines.values() for row in told["filters"].values()]
    return int(any(row["agreement"] < SAME_DECISION or row["reason_agreement"] < SAME_REASON for row in rows))


if __name__ == "__main__":
    sys.exit(main())
