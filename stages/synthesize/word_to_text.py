"""Sentences full of a domain's own words, to be written from three of them (AdaptLLM, methods 12).

A domain's own words are pieces of a vocabulary that was trained on the domain which the general model's does not have,
which begin a word and are longer than ten characters. A sentence has three of them and at most a hundred pieces.

Vocabularies are files: SentencePiece's `.vocab` (a piece, a tab, its log-probability) or a `tokenizer.json`. The
domain's is a unigram model's, since its pieces are looked for by their probabilities; of the general one only the names
of the pieces count.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from stages.synthesize.lots import Lot

MARK = "\u2581"  # begins a word
LONGER_THAN = 10
LEAST_WORDS, MOST_PIECES, MOST_SENTENCES = 3, 100, 2
UNKNOWN_PENALTY = 10.0  # below the least likely piece, as SentencePiece has it
LONGEST_WORD = 200  # characters


class Found(NamedTuple):
    """A sentence and the domain's words in it."""

    words: tuple[str, ...]
    sentence: str


@dataclass(frozen=True)
class Vocabulary:
    """A domain's pieces with their log-probabilities, and which of them are its own."""

    scores: dict[str, float]
    own: frozenset[str]
    longest: int
    _words: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def pieces(self, text: str) -> list[str]:
        """The most likely pieces of a text."""
        return [piece for word in text.split() for piece in self._of_word(word)]

    def _of_word(self, word: str) -> tuple[str, ...]:
        if word not in self._words:
            if len(self._words) > 1_000_000:
                self._words.clear()
            self._words[word] = self._best(MARK + word)
        return self._words[word]

    def _best(self, word: str) -> tuple[str, ...]:
        """The pieces of the greatest product of probabilities (Viterbi)."""
        if len(word) > LONGEST_WORD:
            return (word,)
        unknown = min(self.scores.values()) - UNKNOWN_PENALTY
        best = [(0.0, 0)]
        for end in range(1, len(word) + 1):
            paths = [
                (best[start][0] + self.scores.get(word[start:end], unknown), start)
                for start in range(max(end - self.longest, 0), end)
                if word[start:end] in self.scores or end - start == 1
            ]
            best.append(max(paths))
        found: list[str] = []
        end = len(word)
        while end:
            start = best[end][1]
            found.append(word[start:end])
            end = start
        return tuple(reversed(found))


@lru_cache(maxsize=2)
def load_vocabulary(domain: str, general: str) -> Vocabulary:
    """The vocabulary of two files; `ValueError` names what is wrong with one."""
    scores, known = read_pieces(domain), read_pieces(general)
    if len(set(scores.values())) < 2:
        raise ValueError(f"{domain}: expected pieces with log-probabilities, as SentencePiece's unigram model has them")
    own = frozenset(p for p in scores if p.startswith(MARK) and len(p) > LONGER_THAN and p not in known)
    return Vocabulary(scores, own, max(map(len, scores)))


def read_pieces(path: str) -> dict[str, float]:
    """The pieces of a `.vocab` or of a `tokenizer.json`, with their log-probabilities; 0 where it has none."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"vocabulary {path}: {error}") from error
    pieces = _of_json(text, path) if path.endswith(".json") else _of_lines(text, path)
    if not any(piece.startswith(MARK) for piece in pieces):
        raise ValueError(
            f"vocabulary {path}: no piece begins with U+2581, as SentencePiece marks the beginning of words"
        )
    return pieces


def _of_lines(text: str, path: str) -> dict[str, float]:
    parts = (line.split("\t") for line in text.split("\n") if line)
    try:
        return {piece: float(score[0]) if score else 0.0 for piece, *score in parts}
    except ValueError as error:
        raise ValueError(f"vocabulary {path}: expected a piece, a tab and a number a line: {error}") from error


def _of_json(text: str, path: str) -> dict[str, float]:
    try:
        pieces: Any = json.loads(text)["model"]["vocab"]
        return dict.fromkeys(pieces, 0.0) if isinstance(pieces, dict) else {piece: float(s) for piece, s in pieces}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"vocabulary {path}: expected a tokenizer.json with model.vocab: {error!r}") from error


def word_to_text(sentences: Sequence[str], vocabulary: Vocabulary, lot: Lot) -> list[Found]:
    """At most two sentences, drawn among those that have three of the domain's words, with the words as they come."""
    found: list[Found] = []
    for sentence in lot.shuffled("word to text", sentences):
        pieces = vocabulary.pieces(sentence)
        words = dict.fromkeys(piece for piece in pieces if piece in vocabulary.own)
        if len(words) >= LEAST_WORDS and len(pieces) <= MOST_PIECES:
            found.append(Found(tuple(word.removeprefix(MARK) for word in words), sentence.strip()))
        if len(found) == MOST_SENTENCES:
            break
    return found
