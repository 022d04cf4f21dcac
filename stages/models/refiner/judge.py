"""A refiner beside its rivals: to remove nothing, and the best rule of one number; by source, and by language.

Judged on documents that neither the model nor the rule has seen, and on clean text of theirs with boilerplate of
families that no training used.
"""

from collections import defaultdict
from collections.abc import Sequence
from random import Random
from typing import Any

from stages.models.refiner.evaluate import Cost, Generate, figures, programs_valid, refine
from stages.models.refiner.rules import best_rule
from stages.refine import noise
from stages.refine.labels import Document

GENERATED_CHUNKS = 300
LINES = (3, 12)  # of clean text in a generated chunk
MOST_DOCUMENTS = 400  # that a rule is fitted to


def judge(
    learnt: Sequence[Document],
    held: Sequence[Document],
    generate: Generate,
    cost: Cost,
    chunk_tokens: int,
    n_generated: int = GENERATED_CHUNKS,
    most: int | None = None,
) -> dict[str, Any]:
    """Figures on `held`, at most `most` documents a source, and on `n_generated` chunks of theirs.

    Rules are fitted to `learnt`.
    """
    found: dict[str, Any] = {}
    for name in sorted({d.source for d in held}):
        documents = [d for d in held if d.source == name][:most]
        refined = refine(documents, generate, cost, chunk_tokens)
        removed = [r.removed for r in refined]
        known = [d for d in learnt if d.source == name][:MOST_DOCUMENTS]
        found[name] = {
            "refiner": figures(documents, removed) | {"programs_valid": programs_valid(refined)},
            "keep all": figures(documents, [frozenset()] * len(documents)),
            "languages": _by_language(documents, removed),
        }
        if known:
            rule = best_rule(known)
            ruled = figures(documents, [rule.removed(d) for d in documents])
            found[name]["best rule"] = {"rule": str(rule)} | ruled
    for name, seen in (("generated, families seen", True), ("generated, families unseen", False)):
        documents = generated(held, n_generated, seen)
        if documents:
            refined = refine(documents, generate, cost, chunk_tokens)
            told = figures(documents, [r.removed for r in refined])
            found[name] = {"refiner": told | {"programs_valid": programs_valid(refined)}}
    return found


def generated(documents: Sequence[Document], n: int, seen: bool, seed: int = 7) -> list[Document]:
    """`n` chunks of the main text of `documents` with generated boilerplate."""
    rng = Random(seed)
    clean = [(d.lang, [l for l, k in zip(d.lines, d.keep, strict=True) if k and l]) for d in documents]
    clean = [(lang, lines) for lang, lines in clean if len(lines) >= LINES[0]]
    stuff, kinds = noise.material(documents), noise.families(seen)
    made: list[Document] = []
    while clean and len(made) < n:
        lang, lines = rng.choice(clean)
        begin, many = rng.randrange(len(lines) - 2), rng.randint(*LINES)
        chunk = noise.chunk(rng, lines[begin : begin + many], lang, kinds, stuff)
        if chunk.lines:
            made.append(Document(f"{len(made)}", f"{len(made)}", lang, "generated", chunk.lines, chunk.keep))
    return made


def _by_language(documents: Sequence[Document], removed: Sequence[frozenset[int]]) -> dict[str, Any]:
    """F1 of noise and macro F1 for each language with three documents or more."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, document in enumerate(documents):
        groups[document.lang].append(i)
    told = {
        lang: figures([documents[i] for i in places], [removed[i] for i in places])
        for lang, places in sorted(groups.items())
        if len(places) >= 3
    }
    return {lang: {k: f[k] for k in ("documents", "lines", "f1", "macro_f1")} for lang, f in told.items()}
