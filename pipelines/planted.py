"""Documents with known copies planted among them: what an audit looks for again.

| kind       | the copy is                                                                       | Jaccard similarity |
|------------|-----------------------------------------------------------------------------------|--------------------|
| `exact`    | the same text                                                                     | 1                  |
| `edited`   | 1 to 30 % of its words replaced, left out or with another before them, by thirds  | 0.9 to 0.1         |
| `longer`   | the text and as much again: its own words in another order                        | about 0.5          |
| `half`     | the first half of the words                                                       | about 0.5          |
| `shuffled` | all of its words in another order: no copy, and as unlike as a text can be in it   | about 0            |

A word is a run of letters and digits, or one letter of a script without spaces; what stands between words stays.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cluster.errors import ConfigError
from stages.text.scripts import UNSPACED

EDITS = (0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.10, 0.15, 0.20, 0.30)
LEAST_WORDS = 50  # of a document that is copied: fewer have no room for an edit of 1 %
VOCABULARY = 20_000
SYLLABLES = [a + b for a in ("b", "d", "f", "k", "l", "m", "n", "p", "r", "s", "t", "v", "st", "gr") for b in "aeiou"]
WORD = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])\w)+")


@dataclass(frozen=True)
class Kind:
    """How a copy is made; `edited` is the share of words that change."""

    name: str
    edited: float = 0.0


KINDS = (Kind("exact"), *(Kind("edited", share) for share in EDITS), Kind("longer"), Kind("half"), Kind("shuffled"))
SHUFFLED = KINDS[-1]


@dataclass(frozen=True)
class Pair:
    """Row `copy` was made from row `of`."""

    kind: Kind
    of: int
    copy: int


@dataclass(frozen=True)
class Planted:
    """Rows: `documents` of them first, then the planted ones. Every document was copied once at most."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    documents: int
    pairs: tuple[Pair, ...]

    def origin(self, row: int) -> int:
        """The document that a row was made from; itself for a document, and for a text that is no copy."""
        pair = self.pairs[row - self.documents] if row >= self.documents else None
        return row if pair is None or pair.kind == SHUFFLED else pair.of


def plant(documents: list[str], seed: int) -> Planted:
    """Copies of each kind for half of the documents of `LEAST_WORDS` and more. `ConfigError` if those are too few."""
    draw = np.random.default_rng(seed)
    fit = [row for row, text in enumerate(documents) if len(WORD.findall(text)) >= LEAST_WORDS]
    each = len(fit) // (2 * len(KINDS))
    if not each:
        raise ConfigError(
            f"an audit needs {2 * len(KINDS)} documents of {LEAST_WORDS} words or more, of {len(documents)} that were "
            f"read {len(fit)} are that long: give more --input, or a larger --documents"
        )
    chosen = draw.permutation(fit)[: each * len(KINDS)].tolist()
    words = [word for row in chosen[:500] for word in WORD.findall(documents[row])]
    texts, ids, pairs = list(documents), [f"doc-{row:07d}" for row in range(len(documents))], []
    for number, of in enumerate(chosen):
        kind = KINDS[number % len(KINDS)]
        pairs.append(Pair(kind, of, len(texts)))
        ids.append(f"{ids[of]}-{kind.name}" + (f"-{100 * kind.edited:.0f}" if kind.edited else ""))
        texts.append(_copy(kind, documents[of], words, draw))
    return Planted(tuple(ids), tuple(texts), len(documents), tuple(pairs))


def generate(n: int, seed: int) -> list[str]:
    """`n` texts of 50 to 2,000 made-up words, by Zipf's law, in sentences: no two share a shingle but by chance."""
    draw = np.random.default_rng(seed)
    vocabulary = ["".join(draw.choice(SYLLABLES, size)) for size in draw.integers(1, 5, VOCABULARY)]
    weights = 1 / np.arange(3, VOCABULARY + 3)
    weights /= weights.sum()
    texts = []
    for size in np.clip(draw.lognormal(5.5, 0.8, n), LEAST_WORDS, 2000).astype(int):
        words = [vocabulary[word] for word in draw.choice(VOCABULARY, size, p=weights)]
        ends = np.cumsum(draw.integers(5, 25, size // 5 + 1))
        cuts = [0, *ends[ends < size].tolist(), size]
        texts.append(" ".join(" ".join(words[a:b]).capitalize() + "." for a, b in pairwise(cuts)))
    return texts


def edit(text: str, share: float, words: list[str], draw: np.random.Generator) -> str:
    """`text` with a `share` of its words changed, one at least; new words are drawn from `words`."""
    spans = [found.span() for found in WORD.finditer(text)]
    chosen = np.sort(draw.choice(len(spans), max(1, round(share * len(spans))), replace=False))
    pieces, at = [], 0
    for place in chosen:
        start, stop = spans[place]
        word, other = text[start:stop], words[draw.integers(len(words))]
        pieces += [text[at:start], (other, "", f"{other} {word}")[draw.integers(3)]]
        at = stop
    return "".join([*pieces, text[at:]])


def shuffle(text: str, draw: np.random.Generator) -> str:
    """The words of `text` in another order; what stands between them stays where it is."""
    words = WORD.findall(text)
    order = iter(draw.permutation(len(words)).tolist())
    return WORD.sub(lambda _: words[next(order)], text)


def _copy(kind: Kind, text: str, words: list[str], draw: np.random.Generator) -> str:
    spans = [found.span() for found in WORD.finditer(text)]
    ways: dict[str, Callable[[], str]] = {
        "exact": lambda: text,
        "edited": lambda: edit(text, kind.edited, words, draw),
        "longer": lambda: f"{text}\n{shuffle(text, draw)}",
        "half": lambda: text[: spans[len(spans) // 2][0]],
        "shuffled": lambda: shuffle(text, draw),
    }
    return ways[kind.name]()
