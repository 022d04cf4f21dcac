"""Words and sentences of a text, as datatrove 0.10.1 splits them for FineWeb's filters, and fast.

datatrove runs spaCy's blank pipeline with its sentencizer on every text (8 ms for 730 words). Both look at a text chunk
by chunk between white space, so that a chunk's words can be remembered: a text costs one look-up a chunk.
"""

import importlib.util
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple

from schemas.check import nearest
from stages.text.memo import Memo
from stages.text.scripts import ScriptRules
from stages.text.spacy_rules import SpacyRules, place

ANY_SCRIPT = "unicode"
NEEDS_PACKAGE = {"ja": "sudachipy", "ko": "mecab-ko", "th": "pythainlp", "vi": "pyvi", "zh": "jieba"}

_SPACE = re.compile(r"(\s+)")
_CHUNK = re.compile(r"\S+")

# What a chunk does to the sentencizer: (sentences begun, stop seen) when no stop was pending, and when one was.
Effect = tuple[int, bool, int, bool]
UNKNOWN: Effect = (-1, False, -1, False)
ENDS: Effect = (0, False, 1, False)  # of most chunks: they only end a pending stop


class Chunk(NamedTuple):
    """The words of a chunk, and what it does to the sentencizer.

    `tied`: they hold unless the chunk before `ends` with a piece of a special case and this one `begins` with one, or
    this one ends with a piece and the one behind begins with one.
    """

    words: tuple[str, ...]
    effect: Effect
    tied: bool
    begins: bool
    ends: bool


# Stands for the words of a chunk that depend on the chunks beside it: in "a.'' ''b" the second '' stays apart.
_TIED = ("",)


class Splitter:
    """The words and sentences of texts in one language. Not shared between processes; cheap to call, dear to build."""

    def __init__(self, rules: SpacyRules | ScriptRules, stops: frozenset[str]) -> None:
        self._rules = rules
        self._stops = stops
        self._phrases = rules.phrases
        self._plain_letters = rules.plain_letters
        self._special_letters = frozenset(rules.special_letters)
        self._words: Memo[tuple[str, ...]] = Memo(self._split)
        self._cut: Memo[tuple[str, ...]] = Memo(self._cut_up)
        self._effects: Memo[Effect | None] = Memo(self._effect)

    @property
    def phrases(self) -> tuple[str, ...]:
        """What reaches across white space: a text with one is not split chunk by chunk."""
        return self._phrases

    @property
    def plain_letters(self) -> bool:
        """Whether a chunk of ASCII letters is one word unless it is among `special_letters`."""
        return self._rules.plain_letters

    @property
    def special_letters(self) -> tuple[str, ...]:
        """Chunks of ASCII letters that the rules split in their own way."""
        return self._rules.special_letters

    @property
    def named_runs(self) -> tuple[str, ...]:
        """Runs of ASCII letters or digits that a rule may tell from other runs of their kind."""
        return self._rules.named_runs if isinstance(self._rules, SpacyRules) else ()

    def chunk(self, chunk: str) -> Chunk:
        """All there is to know of `chunk`, which has no white space."""
        words, tied, cut = self._rules.alone(chunk)
        return Chunk(words, self._effect_of(words), tied, self._rules.following(cut[0]), self._rules.leading(cut[-1]))

    def words(self, text: str) -> list[str]:
        """The words of `text` in order: punctuation is words of its own, white space is left out."""
        if self._has_phrase(text):
            return [token for token, _ in self._tokens(text) if not token.isspace()]
        words = list(map(self._words.__getitem__, text.split()))
        return list(chain.from_iterable(self._untied(text, words) if _TIED in words else words))

    def count_sentences(self, text: str, enough: int | None = None) -> int:
        """How many sentences `text` has, at least 1; counting may end at `enough`."""
        chunks = text.split()
        if " ".join(chunks) != text or self._has_phrase(text):
            return len(self._starts(text))
        n, pending = 1, False
        for effect in map(self._effects.__getitem__, chunks):
            if effect is None:
                n += pending
                pending = False
            elif effect is UNKNOWN:
                return len(self._starts(text))
            elif pending:
                n, pending = n + effect[2], effect[3]
            else:
                n, pending = n + effect[0], effect[1]
            if n == enough:
                break
        return n

    def sentences(self, text: str) -> list[str]:
        """The sentences of `text`; joined they give the text again. A text without words is one sentence."""
        return [text[start:end] for start, end in pairwise([*self._starts(text), len(text)])]

    def _untied(self, text: str, words: list[tuple[str, ...]]) -> Iterator[Iterable[str]]:
        """The words of the chunks of `text`, which are `words` but for runs of chunks that depend on one another."""
        spans = [match.span() for match in _CHUNK.finditer(text)]
        done = 0
        for i in range(len(words)):
            if words[i] == _TIED and i >= done:
                first, last = i, i
                while first > done and self._is_linked(text, *spans[first - 1 : first + 1]):
                    first -= 1
                while last + 1 < len(spans) and self._is_linked(text, *spans[last : last + 2]):
                    last += 1
                yield from words[done:first]
                tokens = self._tokens(text[spans[first][0] : spans[last][1]])
                yield [token for token, _ in tokens if not token.isspace()]
                done = last + 1
        yield from words[done:]

    def _is_linked(self, text: str, one: tuple[int, int], next_one: tuple[int, int]) -> bool:
        """Whether a special case that was cut up may reach from one of two neighbours to the other."""
        last, first = self._cut[text[slice(*one)]][-1], self._cut[text[slice(*next_one)]][0]
        return self._rules.leading(last) and self._rules.following(first)

    def _starts(self, text: str) -> list[int]:
        """Where sentences begin: behind the last token before the first one that follows a stop and is neither a stop
        nor punctuation. The blank between two sentences belongs to the second, as in datatrove.
        """
        starts, pending, end = [0], False, 0
        for token, start in self._tokens(text):
            if token in self._stops:
                pending = True
            elif pending and not _is_punctuation(token):
                starts.append(end)
                pending = False
            end = start + len(token)
        return starts

    def _tokens(self, text: str) -> list[tuple[str, int]]:
        """The tokens of `text` with their places: words, and white space beyond one blank behind a word."""
        tokens: list[tuple[str, int]] = []
        start = 0
        for i, piece in enumerate(_SPACE.split(text)):
            if i % 2 == 0:
                tokens += place(self._cut[piece], start)
            elif tokens and piece[0] == " ":
                tokens += [(piece[1:], start + 1)] if len(piece) > 1 else []
            else:
                tokens.append((piece, start))
            start += len(piece)
        return self._rules.rejoin(tokens, text)

    def _has_phrase(self, text: str) -> bool:
        return any(phrase in text for phrase in self._phrases)

    def _split(self, chunk: str) -> tuple[str, ...]:
        if self._is_plain(chunk):
            return (chunk,)
        words = self._rules.split(chunk)
        return words if words is not None else _TIED

    def _cut_up(self, chunk: str) -> tuple[str, ...]:
        return (chunk,) if self._is_plain(chunk) else self._rules.cut(chunk)

    def _is_plain(self, chunk: str) -> bool:
        return self._plain_letters and chunk.isascii() and chunk.isalpha() and chunk not in self._special_letters

    def _effect(self, chunk: str) -> Effect | None:
        """What `chunk` does to the sentencizer; None for most chunks, which only end a pending stop."""
        words = self._words[chunk]
        if words == _TIED:
            return UNKNOWN
        effect = self._effect_of(words)
        return None if effect == ENDS else effect

    def _effect_of(self, words: tuple[str, ...]) -> Effect:
        results: list[int | bool] = []
        for seen in (False, True):
            n, pending = 0, seen
            for token in words:
                if token in self._stops:
                    pending = True
                elif pending and not _is_punctuation(token):
                    n, pending = n + 1, False
            results += [n, pending]
        return (int(results[0]), bool(results[1]), int(results[2]), bool(results[3]))


@lru_cache(maxsize=8)
def splitter(language: str) -> Splitter:
    """The process's splitter for `language`: a code of spaCy's, or "unicode"; `ValueError` for any other."""
    check_language(language)
    from spacy.pipeline import Sentencizer  # noqa: PLC0415  seconds to import, and only a worker needs it

    rules = ScriptRules() if language == ANY_SCRIPT else SpacyRules(language)
    return Splitter(rules, frozenset(Sentencizer.default_punct_chars))


def check_language(language: str) -> None:
    """Raise `ValueError` unless `splitter` has a rule for `language`. Does not import spaCy."""
    way_out = f"language={ANY_SCRIPT!r} splits any script by Unicode's word boundaries, CJK by character"
    if language in NEEDS_PACKAGE:
        package = NEEDS_PACKAGE[language]
        raise ValueError(f"language {language!r}: spaCy needs the package {package} for its words; {way_out}")
    if language != ANY_SCRIPT and language not in _spacy_languages():
        hint = nearest(language.lower(), sorted(_spacy_languages()))
        raise ValueError(f"language {language!r}: spaCy has no word rules for it{hint}; {way_out}")


@lru_cache(maxsize=1)
def _spacy_languages() -> frozenset[str]:
    spec = importlib.util.find_spec("spacy")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the word rules are spaCy's, which is not installed: make install")
    folders = (Path(spec.origin).parent / "lang").iterdir()
    return frozenset(folder.name for folder in folders if (folder / "__init__.py").exists())


def _is_punctuation(token: str) -> bool:
    """As spaCy's `is_punct`: every character is punctuation to Unicode."""
    return all(unicodedata.category(char)[0] == "P" for char in token)
