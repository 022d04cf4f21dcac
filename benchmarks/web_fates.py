"""What became of each page on both sides of benchmarks/web.py, and why where one side keeps what the other does not."""

from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from archive import Record, member, records_of
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.readers.warc import process_record
from warcio.archiveiterator import ArchiveIterator
from web_datatrove import english

from stages.extract import Page, Settings
from stages.read_warc import ReadWarc
from stages.stage import Piece


class Fate(NamedTuple):
    """Which stage dropped a page and why; (None, None) for a page that is kept."""

    stage: str | None = None
    reason: str | None = None

    def __str__(self) -> str:
        return f"{self.stage}.{self.reason}" if self.stage else "kept"


def our_fates(output: Path, records: list[Record]) -> dict[str, Fate]:
    """The fate of every record in the step `filter` of the recipe `web`, by record id."""
    fates: dict[int, Fate] = {}
    for part in ("data", "removed", "dead"):
        for path in sorted((output / "filter" / part).glob("*.parquet")):
            table = pq.read_table(path)
            starts = [int(source.rpartition("#")[2]) for source in table.column("source").to_pylist()]
            if part == "data":
                fates |= dict.fromkeys(starts, Fate())
                continue
            names = ("drop_stage", "drop_reason") if part == "removed" else ("stage", "error")
            columns = (table.column(name).to_pylist() for name in names)
            fates |= {start: Fate(*fate) for start, fate in zip(starts, zip(*columns, strict=True), strict=True)}
    return {record.id: fates[record.start] for record in records}


def their_fates(output: Path, records: list[Record]) -> dict[str, Fate]:
    """The fate of every record in datatrove's run.

    What no writer has seen is `Trafilatura.unsaid`: not read, no text found, or out of time.
    """
    fates = {record.id: Fate("Trafilatura", "unsaid") for record in records}
    for folder in sorted([output / "data", *(output / "removed").glob("*")]):
        for path in sorted(folder.glob("*.parquet")):
            table = pq.read_table(path, columns=["id", "metadata"])
            for id_, metadata in zip(*(table.column(name).to_pylist() for name in ("id", "metadata")), strict=True):
                reason = metadata.get("filter_reason") or "language"
                fates[id_] = Fate() if folder.name == "data" else Fate(folder.name, reason)
    return fates


class Judge:
    """Finds the cause of a difference by doing a page's steps again, one by one, with nothing remembered."""

    def __init__(self, warc: Path, engine: str) -> None:
        self.warc = warc
        settings = Settings(favor_precision=True, include_comments=False)
        self.engine, self.trafilatura = Page(engine, settings), Page("trafilatura", settings)
        self.blocks = (
            GopherRepetitionFilter(),
            GopherQualityFilter(),
            C4QualityFilter(filter_no_terminal_punct=False),
            FineWebQualityFilter(),
        )
        self.is_english = english()

    def keeps(self, text: bytes) -> bool:
        """Whether datatrove's filters keep a text."""
        document = Document(text=text.decode(), id="")
        if not document.text.strip() or not self.is_english(document):
            return False
        results = (block.filter(document) for block in self.blocks)
        return all((result[0] if isinstance(result, tuple) else result) for result in results)

    def cause(self, record: Record, ours: Fate, theirs: Fate) -> str:
        """Why one side kept the page and the other did not."""
        if ours.stage == "ReadWarc":
            return f"our reader wants an HTML page of status 200 ({ours.reason})"
        if ours.stage == "Screen":
            return "our screen before extraction"
        their_html, our_html = self._read_theirs(record), self._read_ours(record)
        if their_html is None:
            return "datatrove's reader cannot decode the page"
        if "UrlFilter" in (ours.stage, theirs.stage):
            return "block lists"
        if ours.stage == "ExtractText" and ours.reason != "empty":
            return f"our limit for a page ({ours.reason})"
        keeps, kept = ours.stage is None, theirs.stage is None
        text, their_text = self.engine(our_html), self.trafilatura(their_html)
        if their_html != our_html and (
            self.keeps(self.trafilatura(our_html)) == keeps or self.keeps(self.engine(their_html)) == kept
        ):
            return "the page's encoding"
        if theirs.stage == "Trafilatura" and their_text:
            return "datatrove's limit for a page"
        if text != their_text:
            return "the engine's text"
        if self.keeps(text) == keeps:
            return "segments that trafilatura remembers from earlier pages"
        return "the filters"

    def _read_theirs(self, record: Record) -> bytes | None:
        for found in ArchiveIterator(BytesIO(member(self.warc, record))):
            page = process_record(found)
            return page["text"].encode(errors="replace") if page else None
        return None

    def _read_ours(self, record: Record) -> bytes:
        tables: Iterator[Any] = ReadWarc().open()(BytesIO(member(self.warc, record)), Piece("page"))
        html = next(table for table in tables if isinstance(table, pa.Table)).column("html")[0].as_py()
        return str(html).encode()


def compare(warc: Path, ours: dict[str, Fate], theirs: dict[str, Fate], judge: Judge) -> dict[str, Any]:
    """How many pages both keep, and each difference counted by side, cause and fates."""
    kept = Counter((ours[id_].stage is None, theirs[id_].stage is None) for id_ in ours)
    causes: dict[str, Counter[str]] = {"only_headrace": Counter(), "only_datatrove": Counter()}
    pairs: Counter[tuple[str, str, str]] = Counter()
    for record in records_of(warc):
        mine, other = ours[record.id], theirs[record.id]
        if (mine.stage is None) == (other.stage is None):
            continue
        side = "only_headrace" if mine.stage is None else "only_datatrove"
        cause = judge.cause(record, mine, other)
        causes[side][cause] += 1
        pairs[cause, str(mine), str(other)] += 1
    return {
        "both_keep": kept[True, True],
        "only_headrace": kept[True, False],
        "only_datatrove": kept[False, True],
        "neither": kept[False, False],
        "agreement": round((kept[True, True] + kept[False, False]) / max(1, len(ours)), 4),
        "causes": {side: dict(counts.most_common()) for side, counts in causes.items()},
        "fates": [{"cause": c, "headrace": a, "datatrove": b, "pages": n} for (c, a, b), n in pairs.most_common()],
    }
