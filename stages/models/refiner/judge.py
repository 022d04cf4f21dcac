"""A refiner beside its rivals: to remove nothing, and the best rule of one number; by source, and by language.

Judged on documents that neither the model nor the rule has seen. Two rules: "best rule" is fitted to each source by
itself, and so is told where a document comes from; "one rule" is the one for all sources, as the refiner is one. And on
generated boilerplate of families that no training used: in any text of those documents, of which much is short lines
(names, lists, contacts), and in its paragraphs alone.
"""

from collections import defaultdict
from collections.abc import Sequence
from random import Random
from typing import Any

from stages.models.refiner.evaluate import Cost, Generate, figures, programs_valid, refine
from stages.models.refiner.rules import Rule, best_rule, one_rule
from stages.refine import noise
from stages.refine.labels import Document

GENERATED_CHUNKS = 300
LINES = (3, 12)  # of clean text in a generated chunk
PARAGRAPH = 100  # characters, at least
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
    by_source = {name: [d for d in learnt if d.source == name][:MOST_DOCUMENTS] for name in {d.source for d in held}}
    rule_of_all = (
        one_rule([known for _, known in sorted(by_source.items()) if known]) if any(by_source.values()) else None
    )
    for name in sorted({d.source for d in held}):
        documents = [d for d in held if d.source == name][:most]
        refined = refine(documents, generate, cost, chunk_tokens)
        removed = [r.removed for r in refined]
        found[name] = {
            "refiner": figures(documents, removed) | {"programs_valid": programs_valid(refined)},
            "keep all": figures(documents, [frozenset()] * len(documents)),
            "languages": _by_language(documents, removed),
        }
        if by_source[name]:
            found[name]["best rule"] = _ruled(best_rule(by_source[name]), documents)
        if rule_of_all:
            found[name]["one rule"] = _ruled(rule_of_all, documents)
    for seen in (True, False):
        for paragraphs in (False, True):
            documents = generated(held, n_generated, seen, paragraphs=paragraphs)
            if documents:
                refined = refine(documents, generate, cost, chunk_tokens)
                told = figures(documents, [r.removed for r in refined])
                name = f"generated{' in paragraphs' if paragraphs else ''}, families {'' if seen else 'un'}seen"
                found[name] = {"refiner": told | {"programs_valid": programs_valid(refined)}}
    return found


def _ruled(rule: Rule, documents: Sequence[Document]) -> dict[str, Any]:
    return {"rule": str(rule)} | figures(documents, [rule.removed(d) for d in documents])


def generated(
    documents: Sequence[Document], n: int, seen: bool, seed: int = 7, paragraphs: bool = False
) -> list[Document]:
    """`n` chunks of the main text of `documents`, or of its paragraphs alone, with generated boilerplate."""
    rng, least = Random(seed), PARAGRAPH if paragraphs else 1
    clean = [(d.lang, [l for l, k in zip(d.lines, d.keep, strict=True) if k and len(l) >= least]) for d in documents]
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
