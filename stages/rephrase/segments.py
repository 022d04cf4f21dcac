"""A document in segments that a model can rewrite without losing content.

WRAP (methods 3.1): sentences are packed to at most about 300 tokens; one that is longer stays alone. Its sentences were
NLTK's; ours are those of datatrove's filters (stages/text/words.py), and one that is too long falls apart at its line
breaks first, since a page of short lines without a full stop is one sentence to either. What is then still longer than
twice the limit is no sentence (a log, a list of words, encoded bytes) and no model takes it: it is cut at the limit, at
white space where there is any.

Nemotron-CC (methods 3.2): a document falls apart at line breaks; lines that are too long go, neighbours are joined as
far as there is room, what is too short then goes. Here what goes keeps its place and the reason, so that whoever
rewrites may put it back; lines on both sides of one that went are no neighbours.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from stages.models.engine import Engine
from stages.stage import StageError
from stages.text.scripts import UNSPACED
from stages.text.words import splitter

SEGMENT_LONG, SEGMENT_SHORT = "segment_long", "segment_short"
TOKENS_A_WORD = 1.3  # of English prose with the vocabularies of Llama and GPT
LONGEST_WORD, CHARS_A_TOKEN = 60, 4  # characters, of a word on average; of what is no words
BLANKS = " \t\u00a0\u3000"
NO_SENTENCE = 2  # times the limit
WORD = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])\S)+")

Count = Callable[[Sequence[str]], list[int]]


class Segment(NamedTuple):
    """A part of a document; with a `reason` it is not sent to the model."""

    text: str
    reason: str | None = None


def count_words(texts: Sequence[str]) -> list[int]:
    """About how many tokens texts have: 1.3 for each word, a character of an unspaced script being one.

    What has longer words on average than any language is not made of words: a token for each four characters.
    """
    words = [len(text.split()) if text.isascii() else len(WORD.findall(text)) for text in texts]
    return [
        math.ceil(TOKENS_A_WORD * n if len(text) <= LONGEST_WORD * n else len(text) / CHARS_A_TOKEN)
        for text, n in zip(texts, words, strict=True)
    ]


def counter(engine: Engine, tokens: str, who: str) -> Count:
    """How tokens are counted: by the `engine`'s own tokenizer, or by `words`. `StageError` if the engine has none."""
    if tokens == "words":
        return count_words
    try:
        engine.tokenize(["one"])
    except StageError as error:
        hint = f"add tokenizer=FOLDER to the engine, or set {who}.tokens=words"
        raise StageError(f"{who}: cannot count tokens: {error}; {hint}") from error
    return lambda texts: [len(tokens) for tokens in engine.tokenize(list(texts))]


def pack_sentences(text: str, limit: int, count: Count, language: str = "en") -> list[Segment]:
    """Sentences of `text` in runs of at most `limit` tokens, as they stand, without the white space between runs."""
    sentences = list(_sentences(text, limit, count, language))
    return [Segment(run) for run in map(str.strip, _packed(sentences, count(sentences), limit, "")) if run]


def pack_lines(text: str, limit: int, min_segment: int, count: Count) -> list[Segment]:
    """Lines of `text` in runs of at most `limit` tokens; joined by line breaks they give the text again."""
    lines = text.split("\n")
    segments: list[Segment] = []
    together: list[tuple[str, int]] = []

    def close() -> None:
        if together:
            runs = _packed([line for line, _ in together], [n + 1 for _, n in together], limit + 1, "\n")
            short = [n < min_segment for n in count(runs)]
            segments.extend(Segment(run, SEGMENT_SHORT if s else None) for run, s in zip(runs, short, strict=True))
            together.clear()

    for line, n in zip(lines, count(lines), strict=True):
        if n > limit:
            close()
            segments.append(Segment(line, SEGMENT_LONG))
        else:
            together.append((line, n))
    close()
    return segments


def _sentences(text: str, limit: int, count: Count, language: str) -> Iterator[str]:
    sentences = splitter(language).sentences(text)
    for sentence, n in zip(sentences, count(sentences), strict=True):
        if n <= limit:
            yield sentence
            continue
        lines = sentence.splitlines(keepends=True)
        for line, m in zip(lines, count(lines), strict=True):
            yield from [line] if m <= NO_SENTENCE * limit else _cut(line, m, limit, count)


def _cut(text: str, n: int, limit: int, count: Count) -> Iterator[str]:
    """`text`, of `n` tokens, in pieces of at most `limit`; it ends at white space in the second half of each."""
    size = max(len(text) * limit // n, 1)
    pieces, at = [], 0
    while at < len(text):
        end = at + size
        if end < len(text):
            end = max(text.rfind(blank, at + size // 2, end) for blank in BLANKS) + 1 or end
        pieces.append(text[at:end])
        at = end
    for piece, m in zip(pieces, count(pieces), strict=True):
        yield from [piece] if m <= limit or len(piece) == 1 else _cut(piece, m, limit, count)


def _packed(parts: list[str], lengths: list[int], limit: int, joint: str) -> list[str]:
    """`parts` in order, as many together as `limit` allows, at least one."""
    runs: list[list[str]] = []
    room = 0
    for part, n in zip(parts, lengths, strict=True):
        if runs and n <= room:
            runs[-1].append(part)
            room -= n
        else:
            runs.append([part])
            room = limit - n
    return [joint.join(run) for run in runs]
