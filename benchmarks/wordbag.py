"""How near an extracted text is to its truth: F1, precision and recall of the words, or of four words in a row."""

import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from stages.read_warc import ReadWarc
from stages.stage import Unreadable

SHARED = Path("../shared/data")
IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
WORD = re.compile(f"[{IDEOGRAPHS}]|[^\\W{IDEOGRAPHS}]+")
RUN = 4  # words of a shingle


class Score(NamedTuple):
    """Of one page, or the mean of many."""

    f1: float
    precision: float
    recall: float


def words(text: str) -> list[str]:
    """Lower-case words; Chinese and Japanese by character."""
    return WORD.findall(text.lower())


def shingles(tokens: list[str]) -> list[tuple[str, ...]]:
    """Runs of `RUN` words; a shorter text is one run."""
    return list(zip(*(tokens[i:] for i in range(RUN)), strict=False)) or ([tuple(tokens)] if tokens else [])


def score(found: list[Any], truth: list[Any]) -> Score:
    """Of the multiset `found` against `truth`; an empty one scores 0."""
    common = (Counter(found) & Counter(truth)).total()
    if not common:
        return Score(0.0, 0.0, 0.0)
    precision, recall = common / len(found), common / len(truth)
    return Score(2 * precision * recall / (precision + recall), precision, recall)


def is_development(site: str) -> bool:
    """The half of the sites that a scorer may be fitted to. The other half validates it."""
    return int(hashlib.sha256(site.encode()).hexdigest(), 16) % 2 == 0


def truth_pages(shared: Path = SHARED) -> list[dict[str, Any]]:
    """Rows of the truth with `html`: the pages that have a full text, or strings to include and exclude."""
    path = shared / "pages-dev.warc.gz"
    reader, html = ReadWarc(), {}
    with path.open("rb") as file:
        for piece in reader.split(file, str(path), path.stat().st_size):
            for table in reader.open()(file, piece):
                if not isinstance(table, Unreadable):
                    html.update(zip(*(table.column(name).to_pylist() for name in ("url", "html")), strict=True))
    rows = pq.read_table(shared / "pages-dev.truth.parquet").to_pylist()
    return [row | {"html": html[row["url"]]} for row in rows if row["text"] or row["must_include"]]
