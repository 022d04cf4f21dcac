"""Fit the weights of the extraction engine `headrace`: stages/extract/headrace.json.

    python benchmarks/train_extraction.py     (needs scikit-learn, about a minute)

Data: the full texts of pages-dev.truth.parquet, from the development half of the sites only (`wordbag.is_development`).
A block is main text when more than half of its runs of three words stand in the page's truth; it weighs what share of
the page it is. First a logistic regression over the names on the path to a block, whose largest weights become the
lexicon; then small networks over `features`, averaged. So that the networks do not trust the lexicon more than it
deserves on new sites, they see lexicon features that were fitted without their own site.
"""

import hashlib
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from wordbag import is_development, score, truth_pages, words

from stages.extract.blocks import Page, read_page
from stages.extract.features import Lexicon, features, words_of
from stages.extract.headrace import probabilities

OUTPUT = Path(__file__).parents[1] / "stages" / "extract" / "headrace.json"
FOLDS = 4
MIN_SITES = 12
PREFIX_ONLY = "goose3"  # its truth is the beginning of a text
HIDDEN = 16
SEEDS = 4


class Example(NamedTuple):
    site: str
    page: Page
    truth: list[str]
    good: Any  # a bool for each block
    weight: Any


def example(row: dict[str, Any]) -> Example | None:
    page = read_page(row["html"])
    if not page.blocks:
        return None
    truth = words(row["text"])
    runs = set(zip(truth, truth[1:], truth[2:], strict=False))
    lines = {" ".join(words(line)) for line in row["text"].split("\n")}
    good, sizes = [], []
    for block in page.blocks:
        tokens = words(block.text)
        found = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
        share = sum(run in runs for run in found) / len(found) if found else " ".join(tokens) in lines
        good.append(bool(tokens) and share > 0.5)
        sizes.append(len(tokens))
    weight = np.minimum(np.array(sizes) / max(len(truth), 60), 0.3) + 0.002
    return Example(row["site"] or row["url"], page, truth, np.array(good), weight)


def fold(site: str) -> int:
    return int(hashlib.md5(site.encode()).hexdigest(), 16) % FOLDS


def paths(page: Page) -> list[Counter[str]]:
    """How often each word stands on the path to an element, at most three times."""
    found: list[Counter[str]] = [Counter()]
    for parent, tag, attrs in zip(page.parent[1:], page.tag[1:], page.attrs[1:], strict=True):
        counts = found[parent].copy()
        for word in words_of(tag, attrs):
            counts[word] = min(counts[word] + 1, 3)
        found.append(counts)
    return found


def fit_lexicon(examples: list[Example]) -> dict[str, float]:
    sites, rows = defaultdict(set), []
    for one in examples:
        path = paths(one.page)
        rows += [path[block.node] for block in one.page.blocks]
        for word in set().union(*path):
            sites[word].add(one.site)
    known = {word: i for i, word in enumerate(sorted(w for w, s in sites.items() if len(s) >= MIN_SITES))}
    entries = [(i, known[w], v) for i, counts in enumerate(rows) for w, v in counts.items() if w in known]
    i, j, v = zip(*entries, strict=True)
    table = scipy.sparse.csr_matrix((np.array(v, float), (i, j)), shape=(len(rows), len(known)))
    weight = np.concatenate([one.weight for one in examples])
    model = LogisticRegression(C=0.01, max_iter=200)
    model.fit(table, np.concatenate([one.good for one in examples]), sample_weight=weight / weight.mean())
    return {w: round(float(model.coef_[0][i]), 3) for w, i in known.items() if abs(model.coef_[0][i]) >= 0.02}


def fit_networks(rows: list[Any], examples: list[Example], seeds: int) -> dict[str, Any]:
    """Networks as one: their hidden units beside each other."""
    x = np.vstack(rows)
    good = np.concatenate([one.good for one in examples])
    weight = np.concatenate([one.weight for one in examples])
    mean, spread = x.mean(0), x.std(0) + 1e-6
    hidden, output, bias, last = [], [], [], []
    for seed in range(seeds):
        net = MLPClassifier(
            (HIDDEN,), alpha=0.3, max_iter=20, random_state=seed, batch_size=256, learning_rate_init=2e-3
        ).fit((x - mean) / spread, good, sample_weight=weight / weight.mean())
        scaled = net.coefs_[0] / spread[:, None]
        hidden.append(scaled)
        bias.append(net.intercepts_[0] - mean @ scaled)
        output.append(net.coefs_[1][:, 0])
        last.append(net.intercepts_[1][0])
    return {
        "hidden": np.hstack(hidden).round(4).tolist(),
        "bias": np.concatenate(bias).round(4).tolist(),
        "output": np.array(output).round(4).tolist(),
        "last": np.array(last).round(4).tolist(),
    }


def main() -> None:
    rows = [row for row in truth_pages() if row["text"] and row["source"] != PREFIX_ONLY]
    examples = [found for row in rows if is_development(row["site"] or row["url"]) and (found := example(row))]
    table: list[Any] = [None] * len(examples)
    for k in range(FOLDS):
        lexicon = Lexicon(fit_lexicon([one for one in examples if fold(one.site) != k]))
        for i, one in enumerate(examples):
            if fold(one.site) == k:
                table[i] = features(one.page, lexicon).rows
    if "--check" in sys.argv:
        check(table, examples)
    model = {"lexicon": fit_lexicon(examples)} | fit_networks(table, examples, SEEDS)
    OUTPUT.write_text(json.dumps(model, separators=(",", ":")) + "\n")
    print(f"{OUTPUT.stat().st_size} bytes from {len(examples)} pages")


def check(table: list[Any], examples: list[Example]) -> None:
    """F1 on sites that neither the lexicon nor the networks saw, at several thresholds."""
    found: dict[float, list[float]] = defaultdict(list)
    for k in range(FOLDS):
        seen = [i for i, one in enumerate(examples) if fold(one.site) != k]
        model = fit_networks([table[i] for i in seen], [examples[i] for i in seen], 2)
        arrays = {name: np.array(value) for name, value in model.items()}
        for i, one in enumerate(examples):
            if fold(one.site) == k:
                good = probabilities(table[i], arrays)
                for threshold in (0.35, 0.45, 0.55, 0.65):
                    kept = [
                        w for b, p in zip(one.page.blocks, good, strict=True) if p >= threshold for w in words(b.text)
                    ]
                    found[threshold].append(score(kept, one.truth).f1)
    print({threshold: round(float(np.mean(f1)), 4) for threshold, f1 in found.items()})


if __name__ == "__main__":
    main()
