"""Our four heuristic filters beside datatrove's on the same extracted texts: the same verdicts, and how fast.

    python benchmarks/agreement.py [WARC] [--list] [--rounds N] [--at-least SHARE]

The texts are those of the recipe `web`: ReadWarc, ExtractText (trafilatura, precision, no comments), Language (English
above 0.65). Every filter judges every text, once in each implementation and in turns; then both whole chains run. A
disagreement is listed with --list. Exit status 1 when a filter agrees on less than `--at-least` of the documents.
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


def extract(warc: Path) -> tuple[int, pa.Table]:
    """(records in the archive, the English documents with `url` and `text`)."""
    stages = [stage.open() for stage in (ExtractText(), Language())]
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
    for _ in range(rounds):
        results = []
        for judge, times in zip((mine, theirs), seconds, strict=True):
            start = time.perf_counter()
            results.append(judge(texts))
            times.append(time.perf_counter() - start)
    n, same_verdict, same_reason, same_text = len(texts), 0, 0, 0
    for url, a, b in zip(urls, *results, strict=True):
        same_verdict += (a.reason is None) == (b.reason is None)
        same_reason += a.reason == b.reason
        same_text += a.text == b.text
        if listing and a != b:
            changed = "" if a.text == b.text else f"; texts of {len(a.text or '')} and {len(b.text or '')} characters"
            print(f"{name}: {url}: headrace {a.reason}, datatrove {b.reason}{changed}", file=sys.stderr)
    my_time, their_time = map(statistics.median, seconds)
    return {
        "documents": n,
        "kept": sum(verdict.reason is None for verdict in results[0]),
        "agreement": same_verdict / n,
        "reason_agreement": same_reason / n,
        "text_agreement": same_text / n,
        "docs_per_second": round(n / my_time, 1),
        "docs_per_second_first_round": round(n / seconds[0][0], 1),
        "datatrove_docs_per_second": round(n / their_time, 1),
        "ratio": round(their_time / my_time, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("warc", nargs="?", type=Path, default=WARC)
    parser.add_argument("--list", action="store_true", help="each disagreement to stderr")
    parser.add_argument("--rounds", type=int, default=3, help="the median round is reported (default 3)")
    parser.add_argument("--at-least", type=float, default=0.97, help="agreement asked of every filter (default 0.97)")
    arguments = parser.parse_args()
    if not arguments.warc.is_file():
        print(f"agreement.py: no archive {arguments.warc}; name one: agreement.py WARC", file=sys.stderr)
        return 2
    n_records, documents = extract(arguments.warc)
    if not documents.num_rows:
        print(f"agreement.py: no English documents in {arguments.warc}", file=sys.stderr)
        return 2
    pairs: dict[str, tuple[Filter, Filter]] = {
        "GopherRepetition": (ours(GopherRepetition()), datatroves(GopherRepetitionFilter(language="en"))),
        "GopherQuality": (ours(GopherQuality()), datatroves(GopherQualityFilter(language="en"))),
        "C4Quality": (ours(C4Quality()), datatroves(C4QualityFilter(filter_no_terminal_punct=False, language="en"))),
        "FineWebQuality": (ours(FineWebQuality()), datatroves(FineWebQualityFilter(language="en"))),
    }
    pairs["all four"] = (chain([a for a, _ in pairs.values()]), chain([b for _, b in pairs.values()]))
    figures = {
        name: compare(name, mine, theirs, documents, arguments.rounds, arguments.list)
        for name, (mine, theirs) in pairs.items()
    }
    for name, row in figures.items():
        print(
            f"{name:17} {row['documents']} documents, {row['kept']} kept; agreement {row['agreement']:.2%}, "
            f"with reason {row['reason_agreement']:.2%}; {row['docs_per_second']:.0f} documents a second, "
            f"datatrove {row['datatrove_docs_per_second']:.0f}: {row['ratio']} times",
            file=sys.stderr,
        )
    sizes = pc.utf8_length(documents.column("text"))
    record(
        "agreement",
        {
            "warc": arguments.warc.name,
            "records": n_records,
            "documents": documents.num_rows,
            "mean_chars": round(pc.mean(sizes).as_py()),
            "rounds": arguments.rounds,
            "filters": figures,
        },
    )
    return int(min(row["agreement"] for row in figures.values()) < arguments.at_least)


if __name__ == "__main__":
    sys.exit(main())
