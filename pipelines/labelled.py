"""What a refiner learns from, read: labelled rows, pages beside their reference texts, and texts without labels."""

from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.errors import ConfigError
from cluster.shards import list_inputs
from cluster.storage import open_input
from schemas.check import nearest
from stages.models.refiner.annotate import Text
from stages.models.refiner.corpus import TAUGHT
from stages.read_warc import ReadWarc
from stages.refine.agreed import from_unread, raw_unread
from stages.refine.labels import Document, from_page, labelled_rows, unlabelled
from stages.stage import Unreadable

LABELS, TRUTH = ("lines", "keep"), ("url", "text")
LONG_LINE = 40  # characters; a text that shares such a line with a document that judges is left out


def read_documents(
    inputs: Sequence[str], pages: Sequence[str], truth: str | None
) -> tuple[list[Document], list[dict[str, Any]]]:
    """All labelled documents, and for each file what it is and its licences."""
    if bool(pages) != bool(truth):
        raise ConfigError("--pages and --truth go together: web archives, and the Parquet of their reference texts")
    if not inputs and not pages:
        raise ConfigError("nothing to learn from: give --input (rows with lines and keep) or --pages with --truth")
    documents: list[Document] = []
    sources: list[dict[str, Any]] = []
    for file in list_inputs(list(inputs)) if inputs else ():
        rows = rows_of(file.uri, LABELS, "--input")
        try:
            documents += [document for document in labelled_rows(rows, "people") if any(document.lines)]
        except ValueError as error:
            raise ConfigError(f"{file.uri}: {error}") from error
        sources.append(_source(file.uri, rows))
    if truth:
        rows = [row for row in rows_of(truth, TRUTH, "--truth") if row["text"] and not _is_prefix(row)]
        html = _html(pages, {row["url"] for row in rows})
        for row in rows:
            if row["url"] in html:
                site = str(row.get("site") or row["url"])
                documents += from_page(row["url"], site, str(row.get("lang") or "un"), html[row["url"]], row["text"])
        sources.append(_source(truth, rows))
    return documents, sources


def read_unread(
    pages: Sequence[str], truth: str | None, rest: bool = False
) -> tuple[list[Document], list[Document], list[dict[str, Any]]]:
    """Pages of the archives that `truth` has no text of: those with labels, the others; and how many of each archive.

    The others only with `rest`.
    """
    rows = rows_of(truth, TRUTH, "--truth") if truth else []
    sites = Sites(rows)
    documents: list[Document] = []
    others: list[Document] = []
    sources: list[dict[str, Any]] = []
    for file in list_inputs(list(pages)) if pages else ():
        html = _html([file.uri])
        found: list[Document] = []
        broken, before = 0, len({document.name for document in others})
        for url in sorted(html.keys() - {row["url"] for row in rows if row["text"]}):
            site = sites.of(url)
            labelled = from_unread(url, site, "un", html[url])
            broken += labelled is None
            found += labelled or []
            if labelled == [] and rest:
                raw = raw_unread(html[url])
                broken += raw is None
                others += [unlabelled(url, site, "un", f"{TAUGHT}/{way}", text) for way, text in raw or []]
        documents += found
        if not html:
            raise ConfigError(f"{file.uri}: no page in it; --unread takes web archives")
        used = len({document.name for document in found})
        name = file.uri.rpartition("/")[2]
        sources.append({"file": name, "unread": len(html), "agreed": used, "broken": broken})
        if rest:
            sources[-1]["taught"] = len({document.name for document in others}) - before
    return documents, others, sources


class Sites:
    """Of which site a page is: of the one that rows of reference texts say, or that its host belongs to there."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self._by_url = {str(row["url"]): str(row.get("site") or row["url"]) for row in rows}
        self._names = set(self._by_url.values())

    def of(self, url: str) -> str:
        host = urlsplit(url).hostname or url
        above = (host.split(".", n)[-1] for n in range(host.count(".") + 1))
        return self._by_url.get(url) or next((name for name in above if name in self._names), host)


def read_texts(addresses: Sequence[str], truth: str | None) -> tuple[list[Document], list[dict[str, Any]]]:
    """Texts without labels, and what each file is; their sites are those of `truth` where it knows them."""
    sites = Sites(rows_of(truth, TRUTH, "--truth") if truth else [])
    documents: list[Document] = []
    sources: list[dict[str, Any]] = []
    for file in list_inputs(list(addresses)) if addresses else ():
        rows = rows_of(file.uri, ("text",), "--texts")
        given = [row for row in rows if len(row["text"] or "") >= LONG_LINE]
        found = [
            unlabelled(
                text.name, sites.of(row["url"]) if row.get("url") else text.site, text.lang, f"{TAUGHT}/text", text.text
            )
            for row, text in zip(given, texts_of(given), strict=True)
        ]
        documents += found
        sources.append(_source(file.uri, rows) | {"taught": len(found)})
    return documents, sources


def texts_of(rows: Sequence[dict[str, Any]]) -> list[Text]:
    return [
        Text(
            str(row.get("id") or n),
            urlsplit(row.get("url") or "").hostname or str(row.get("id") or n),
            str(row.get("lang") or "un"),
            row["text"],
        )
        for n, row in enumerate(rows)
    ]


def _is_prefix(row: dict[str, Any]) -> bool:
    """Whether the reference is only how the text begins."""
    return "prefix" in str(row.get("truth_kind") or "")


def rows_of(uri: str, needed: tuple[str, ...], option: str) -> list[dict[str, Any]]:
    with open_input(uri) as opened:
        try:
            table = pq.read_table(opened)
        except pa.ArrowInvalid as error:
            raise ConfigError(f"{uri}: no Parquet file: {error}") from error
    for name in needed:
        if name not in table.column_names:
            hint = nearest(name, table.column_names)
            raise ConfigError(
                f"{uri}: no column {name!r}{hint} (there: {', '.join(table.column_names)}), given by {option}"
            )
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _source(uri: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    licences = Counter(str(row.get("licence") or "unknown") for row in rows)
    return {"file": uri.rpartition("/")[2], "rows": len(rows), "licences": dict(licences.most_common())}


def _html(pages: Sequence[str], wanted: set[str] | None = None) -> dict[str, str]:
    """The pages of the archives, by URL; those of `wanted` alone if it is given."""
    reader, found = ReadWarc(), {}
    for file in list_inputs(list(pages)):
        with open_input(file.uri) as opened:
            for piece in reader.split(opened, file.uri, file.size):
                for table in reader.open()(opened, piece):
                    if not isinstance(table, Unreadable):
                        pairs = zip(*(table.column(name).to_pylist() for name in ("url", "html")), strict=True)
                        found.update({url: html for url, html in pairs if html and (wanted is None or url in wanted)})
    return found
