"""Extraction engines on the pages with a truth: how much of the text they find, and at what cost. One JSON line.

    python benchmarks/extraction.py [--repeat 2] [--pages N]

F1, precision and recall are means over pages of multisets of words and of runs of four words; include and exclude are
the shares of the strings that must and must not be in the text which are. Each page goes through every engine in turn,
in one process; its cost is CPU time, the least of the repetitions, after one page to warm up. `validation` holds the
sites that headrace's own engine was not fitted to.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from record import record
from wordbag import Score, is_development, score, shingles, truth_pages, words

from stages.extract import WARM_UP, Settings, load

PRECISE, BALANCED = Settings(favor_precision=True), Settings(favor_precision=False)
RECALL = Settings(favor_precision=False, favor_recall=True)
ENGINES = {
    "trafilatura precision": ("trafilatura", PRECISE),
    "trafilatura": ("trafilatura", BALANCED),
    "resiliparse": ("resiliparse", PRECISE),
    "headrace precision": ("headrace", PRECISE),
    "headrace": ("headrace", BALANCED),
    "headrace recall": ("headrace", RECALL),
}
Row = dict[str, Any]


def timed(extract: Callable[[bytes, Settings], str], html: bytes, settings: Settings) -> tuple[str, float]:
    """The text, and CPU milliseconds."""
    begun = time.process_time()
    text = extract(html, settings)
    return text, (time.process_time() - begun) * 1e3


def run(pages: list[Row], repeat: int) -> tuple[dict[str, list[str]], dict[str, list[float]]]:
    """For each engine the texts and the least time of each page."""
    engines = {name: (load(engine), settings) for name, (engine, settings) in ENGINES.items()}
    texts: dict[str, list[str]] = {name: [] for name in engines}
    costs: dict[str, list[float]] = {name: [] for name in engines}
    for extract, settings in engines.values():
        extract(WARM_UP, settings)
    for page in pages:
        best = dict.fromkeys(engines, float("inf"))
        html = page["html"].encode()
        for _ in range(repeat):
            for name, (extract, settings) in engines.items():
                text, cost = timed(extract, html, settings)
                best[name] = min(best[name], cost)
                if len(texts[name]) == len(costs[name]):
                    texts[name].append(text)
        for name, cost in best.items():
            costs[name].append(cost)
    return texts, costs


def mean(scores: list[Score]) -> dict[str, float]:
    """Of many pages' scores."""
    return dict(zip(Score._fields, np.mean(scores, axis=0).round(4).tolist(), strict=True)) if scores else {}


def figures(pages: list[Row], texts: list[str], costs: list[float]) -> dict[str, Any]:
    """What one engine makes of some pages."""
    full = [(text, page["text"]) for text, page in zip(texts, pages, strict=True) if page["text"]]
    asked = [(text, page) for text, page in zip(texts, pages, strict=True) if page["must_include"]]
    include = [part in text for text, page in asked for part in page["must_include"] or ()]
    exclude = [part in text for text, page in asked for part in page["must_exclude"] or ()]
    return {
        "words": mean([score(words(a), words(b)) for a, b in full]),
        "shingles": mean([score(shingles(words(a)), shingles(words(b))) for a, b in full]),
        "include": round(float(np.mean(include)), 4) if include else None,
        "exclude": round(float(np.mean(exclude)), 4) if exclude else None,
        "empty": sum(not text.strip() for text in texts),
        "ms": round(float(np.mean(costs)), 3),
    }


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=2, help="times that every engine sees a page")
    parser.add_argument("--pages", type=int, default=None, help="only the first N pages")
    arguments = parser.parse_args()
    pages = truth_pages()[: arguments.pages]
    texts, costs = run(pages, arguments.repeat)
    held = [i for i, page in enumerate(pages) if not is_development(page["site"] or page["url"])]
    engines = {
        name: figures(pages, texts[name], costs[name])
        | {"validation": figures(*([column[i] for i in held] for column in (pages, texts[name], costs[name])))}
        for name in ENGINES
    }
    ratio = engines["trafilatura precision"]["ms"] / engines["headrace precision"]["ms"]
    full = sum(bool(page["text"]) for page in pages)
    record("extraction", {"pages": len(pages), "full_texts": full, "times_faster": round(ratio, 1), "engines": engines})


if __name__ == "__main__":
    main()
