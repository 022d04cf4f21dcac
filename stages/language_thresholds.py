"""A score for each language above which a text is taken to be in it: computed from scored texts, and read from a file.

    python -m stages.language_thresholds OUTPUT/filter --to thresholds.csv
    headrace run web ... --set Language.languages=[] --set Language.thresholds=thresholds.csv

The rule is FineWeb2's (Penedo et al. 2025, arXiv 2506.20920): for a language the median less one standard deviation of
the scores of all texts that the model gives it, no lower than 0.3, no higher than 0.9. Its scores were GlotLID's, over
all of Common Crawl; a model's own scores over one's own crawl ask for thresholds of their own. OUTPUT/filter is
the folder of a step with `Language` in it, whose dropped rows count too (without them the scores would be cut off at
the old thresholds), or a Parquet file with the columns `lang` and `lang_score`. A few shards of a crawl will do.
"""

import argparse
import csv
import io
import json
import math
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from schemas import columns as c
from stages.model_file import TIMEOUT_SECONDS, is_url

LOWEST, HIGHEST = 0.3, 0.9
DIGITS = 3  # as FineWeb2 publishes them
COLUMNS = ("language", "threshold")


def fineweb2_threshold(scores: npt.NDArray[Any]) -> float:
    """max(0.3, min(0.9, median - standard deviation)) of the scores of one language's texts, to 3 digits."""
    scores = scores.astype(np.float64)
    return round(max(LOWEST, min(HIGHEST, float(np.median(scores) - np.std(scores)))), DIGITS)


def compute_thresholds(scored: Iterable[pa.Table]) -> dict[str, tuple[float, int]]:
    """For each `lang` of the tables its threshold and number of texts. Rows without a language are passed over."""
    scores: dict[str, list[npt.NDArray[Any]]] = {}
    for table in scored:
        groups = table.select([c.LANG.name, c.LANG_SCORE.name]).drop_null().group_by(c.LANG.name)
        found = groups.aggregate([(c.LANG_SCORE.name, "list")])
        for name, values in zip(*found.columns, strict=True):
            scores.setdefault(name.as_py(), []).append(values.values.to_numpy())
    joined = {language: np.concatenate(parts) for language, parts in sorted(scores.items())}
    return {language: (fineweb2_threshold(values), len(values)) for language, values in joined.items()}


def read_thresholds(address: str) -> dict[str, float]:
    """Thresholds by language from a path or an http(s) URL.

    CSV with the columns `language` and `threshold` (others are passed over), or a JSON object of language to threshold.
    `ValueError` names the place of what is not as expected.
    """
    text = _text(address)
    pairs = _json_pairs(text, address) if text.lstrip().startswith("{") else _csv_pairs(text, address)
    thresholds: dict[str, float] = {}
    for place, language, value in pairs:
        try:
            threshold = float(value)
        except (TypeError, ValueError):
            threshold = math.nan
        if not language or isinstance(value, bool) or not 0 <= threshold <= 1:
            raise ValueError(f"{place}: expected a language and a score of 0 to 1, found {language!r}, {value!r}")
        if language in thresholds:
            raise ValueError(f"{place}: {language!r} is there twice")
        thresholds[language] = threshold
    if not thresholds:
        raise ValueError(f"{address} has no thresholds")
    return thresholds


def _text(address: str) -> str:
    try:
        if not is_url(address):
            return Path(address).expanduser().read_text("utf-8-sig")
        if address.partition("://")[0] not in ("http", "https"):
            raise ValueError(f"cannot fetch thresholds from {address!r}: give a local path, or an https URL")
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - http(s) only
            return str(answer.read().decode("utf-8-sig"))
    except OSError as error:
        raise ValueError(f"cannot read thresholds from {address!r}: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{address} is not UTF-8 text: {error}") from error


def _json_pairs(text: str, address: str) -> list[tuple[str, str, Any]]:
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except json.JSONDecodeError as error:
        raise ValueError(f"{address} is no JSON: {error}") from error
    return [(address, language, value) for language, value in pairs]


def _csv_pairs(text: str, address: str) -> list[tuple[str, str, Any]]:
    rows = csv.DictReader(io.StringIO(text))
    there = rows.fieldnames or []
    if not set(COLUMNS) <= set(there):
        raise ValueError(f"{address} should be CSV with the columns {', '.join(COLUMNS)}, found {', '.join(there)!r}")
    return [(f"{address} line {rows.line_num}", row[COLUMNS[0]], row[COLUMNS[1]]) for row in rows]


def scored_tables(address: str) -> Iterator[pa.Table]:
    """The scored rows of a Parquet file, or the kept and the dropped ones of a step's folder."""
    path = Path(address)
    files = [path] if path.is_file() else [*path.glob("data/*.parquet"), *path.glob("removed/*.parquet")]
    wanted = {c.LANG.name, c.LANG_SCORE.name}
    for file in sorted(file for file in files if not file.name.startswith(".")):
        if wanted <= set(pq.read_schema(file).names):
            yield pq.read_table(file, columns=sorted(wanted))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m stages.language_thresholds",
        description="Thresholds of language scores by FineWeb2's rule, from texts that `Language` has scored.",
    )
    parser.add_argument("scored", nargs="+", help="folder of a step that scores (OUTPUT/filter), or a Parquet file")
    parser.add_argument("--to", required=True, help="the CSV file to write: language,threshold,documents")
    arguments = parser.parse_args()
    found = compute_thresholds(table for address in arguments.scored for table in scored_tables(address))
    if not found:
        there = ", ".join(arguments.scored)
        sys.stderr.write(f"no rows with lang and lang_score in {there}: expected the folder of a step, OUTPUT/filter\n")
        return 2
    with Path(arguments.to).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, "documents"])
        writer.writerows((language, threshold, n_documents) for language, (threshold, n_documents) in found.items())
    sys.stdout.write(f"{arguments.to}: {len(found)} languages, {sum(n for _, n in found.values()):,} documents\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
