"""Fit the weights of the extraction engine `headrace`: stages/extract/headrace.json.

    python benchmarks/train_extraction.py     (needs scikit-learn, about a minute)

Data: the full texts of pages-dev.truth.parquet, from the development half of the sites only (`wordbag.is_development`).
A block is main text when more than half of its runs of three words stand in the page's truth; it weighs what share of
the page it is. First a logistic regression over the names on the path to a block, whose largest weights become the
lexicon; then small networks over `features`, averaged. So that the networks do not trust the lexicon more than it
deserves on new sites, they see lexicon features that were fitted without their own site. Few of these pages are short
or have no names, so the networks also see a few neighbouring blocks of each as a page, half of them without attributes.
"""

import hashlib
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from element_words import elements, words_of
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from wordbag import is_development, score, truth_pages, words

from stages.extract.headrace import lexicon_of, network_of
from stages.kernels.html_blocks import Page, read_page
from stages.kernels.html_features import features, probabilities

OUTPUT = Path(__file__).parents[1] / "stages" / "extract" / "headrace.json"
FOLDS = 4
MIN_SITES = 12
PREFIX_ONLY = "goose3"  # its truth is the beginning of a text
HIDDEN = 16
SEEDS = 4
SHORT_PAGES, SHORT_WEIGHT = 2, 0.15  # cut from each page, and what they weigh beside it
SHORT_BLOCKS = (1, 1, 2, 3, 4, 6, 9)


class Example(NamedTuple):
    site: str
    page: Page
    data: Any  # the page's bytes
    texts: list[str]
    truth: list[str]
    good: Any  # a bool for each block
    weight: Any


def example(row: dict[str, Any]) -> Example | None:
    page, data = read_page(row["html"].encode())
    texts = [page.text[a:b].tobytes().decode() for a, b in zip(page.starts.tolist(), page.stops.tolist(), strict=True)]
    if not texts:
        return None
    truth = words(row["text"])
    runs = set(zip(truth, truth[1:], truth[2:], strict=False))
    lines = {" ".join(words(line)) for line in row["text"].split("\n")}
    good, sizes = [], []
    for text in texts:
        tokens = words(text)
        found = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
        share = sum(run in runs for run in found) / len(found) if found else " ".join(tokens) in lines
        good.append(bool(tokens) and share > 0.5)
        sizes.append(len(tokens))
    weight = np.minimum(np.array(sizes) / max(len(truth), 60), 0.3) + 0.002
    return Example(row["site"] or row["url"], page, data, texts, truth, np.array(good), weight)


def short_pages(one: Example) -> list[Example]:
    """Neighbouring blocks of a page as pages: around one that is main text, one time in four around any."""
    rng = np.random.default_rng(int(hashlib.md5(one.site.encode() + one.data[:99999].tobytes()).hexdigest(), 16))
    found = []
    for _ in range(SHORT_PAGES):
        n = int(rng.choice(SHORT_BLOCKS))
        places = np.flatnonzero(one.good)
        centre = rng.choice(places) if len(places) and rng.random() < 0.75 else rng.integers(len(one.good))
        first = max(0, centre - int(rng.integers(n)))
        part = slice(first, first + n)
        page = one.page
        page = page._replace(
            **{name: getattr(page, name)[part] for name in ("starts", "stops", "element", "linked")},
            last=page.first if rng.random() < 0.5 else page.last,
        )
        sizes = page.stops - page.starts
        weight = SHORT_WEIGHT * (np.minimum(sizes / sizes.sum(), 0.5) + 0.002)
        found.append(one._replace(page=page, texts=one.texts[part], good=one.good[part], weight=weight))
    return found


def fold(site: str) -> int:
    return int(hashlib.md5(site.encode()).hexdigest(), 16) % FOLDS


def paths(page: Page, data: Any) -> list[Counter[str]]:
    """How often each word stands on the path to an element, at most three times."""
    found: list[Counter[str]] = [Counter()]
    for parent, element in zip(page.parent[1:].tolist(), elements(page, data), strict=True):
        counts = found[parent].copy()
        for word in words_of(*element):
            counts[word] = min(counts[word] + 1, 3)
        found.append(counts)
    return found


def fit_lexicon(examples: list[Example]) -> dict[str, float]:
    sites, rows = defaultdict(set), []
    for one in examples:
        path = paths(one.page, one.data)
        rows += [path[element] for element in one.page.element.tolist()]
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
    every = [*examples, *(short for one in examples for short in short_pages(one))]
    table: list[Any] = [None] * len(every)
    for k in range(FOLDS):
        lexicon = lexicon_of(fit_lexicon([one for one in examples if fold(one.site) != k]))
        for i, one in enumerate(every):
            if fold(one.site) == k:
                table[i] = features(one.page, one.data, lexicon).rows.astype(np.float64)
    if "--check" in sys.argv:
        check(table, every, len(examples))
    model = {"lexicon": fit_lexicon(examples)} | fit_networks(table, every, SEEDS)
    OUTPUT.write_text(json.dumps(model, separators=(",", ":")) + "\n")
    print(f"{OUTPUT.stat().st_size} bytes from {len(examples)} pages")


def check(table: list[Any], examples: list[Example], n_whole: int) -> None:
    """F1 on sites that neither the lexicon nor the networks saw, at several thresholds: of pages, and of short ones."""
    found: dict[tuple[str, float], list[float]] = defaultdict(list)
    for k in range(FOLDS):
        seen = [i for i, one in enumerate(examples) if fold(one.site) != k]
        network = network_of(fit_networks([table[i] for i in seen], [examples[i] for i in seen], 2))
        for i, one in enumerate(examples):
            if fold(one.site) != k:
                continue
            truth = one.truth if i < n_whole else said(one.texts, one.good)
            good = probabilities(table[i].astype(np.float32), network)
            for threshold in (0.35, 0.45, 0.55, 0.65):
                kept = said(one.texts, good >= threshold)
                found["whole" if i < n_whole else "short", threshold].append(
                    score(kept, truth).f1 if truth else not kept
                )
    print({key: round(float(np.mean(f1)), 4) for key, f1 in found.items()})


def said(texts: list[str], chosen: Any) -> list[str]:
    """The words of the texts that are chosen."""
    return [word for text, keep in zip(texts, chosen.tolist(), strict=True) if keep for word in words(text)]


if __name__ == "__main__":
    main()
