"""Which entities are related to which: all pairs, then triples, in an order that a budget can cut anywhere.

The original takes pairs in the order of the list and shuffles the triples by Python's random (EntiGraph, methods 2.2).
Here both are ordered by a hash of (seed, document, names): what a smaller budget asks for is the beginning of what a
larger one asks for, on any machine. Pairs come first, as in the paper, which ran all of them and some of the triples.
"""

from collections.abc import Iterator
from itertools import combinations
from math import comb

import xxhash

Relation = tuple[str, ...]
SIGNS = str.maketrans("\u2018\u2019\u02bc\u2010\u2011\u2012\u2013", "'''----")  # a model writes them its own way


def count(entities: int, triples: bool = True) -> int:
    """How many relations `entities` names have: 3 give 3 + 1, 10 give 45 + 120, 40 give 780 + 9880."""
    return comb(entities, 2) + (comb(entities, 3) if triples else 0)


def relations(names: tuple[str, ...], document: str, seed: int, most: int, triples: bool = True) -> list[Relation]:
    """The first `most` relations of a document: pairs by hash, then triples by hash."""
    pairs = ordered(combinations(names, 2), document, seed)
    if len(pairs) >= most or not triples:
        return pairs[:most]
    return pairs + ordered(combinations(names, 3), document, seed)[: most - len(pairs)]


def ordered(relations: Iterator[Relation], document: str, seed: int) -> list[Relation]:
    """`relations` by the hash of each; equal hashes by the names."""
    return sorted(relations, key=lambda names: (draw(seed, document, *names), names))


def draw(seed: int, *parts: str) -> int:
    """64 bits that depend on `seed` and `parts` alone."""
    return xxhash.xxh3_64_intdigest("\x1f".join((str(seed), *parts)).encode("utf-8", "surrogatepass"))


def fault(names: Relation, text: str) -> str | None:
    """Why a text is not about these entities; the original asks only that it is not empty.

    `relation_empty`; `relation_no_section` (no line begins with ###); `relation_missing_entity` (one is not named,
    whatever its case and its apostrophes).
    """
    if not text.strip():
        return "relation_empty"
    if not any(line.startswith("###") for line in text.split("\n")):
        return "relation_no_section"
    whole = folded(text)
    if not all(folded(name) in whole for name in names):
        return "relation_missing_entity"
    return None


def folded(text: str) -> str:
    """The text with single blanks, whatever its case, apostrophes and hyphens, to look names up in."""
    return " ".join(text.translate(SIGNS).split()).casefold()
