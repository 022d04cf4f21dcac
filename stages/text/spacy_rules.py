"""The words of a chunk of text by spaCy's rules for a language, without spaCy's vocabulary.

As spaCy 3.8's `Tokenizer` does it: a text is cut at white space; prefixes and suffixes are taken off each chunk until
there is none or a special case is left; what is left, unless an address, is cut at infixes; special cases that the
affix rules cut up are put together again. The rules (regular expressions and special cases) are spaCy's own objects.
Its `Tokenizer` is not called: it keeps a lexeme of every new word, takes quadratic time on a long chunk, and fails on
the word IS_ALPHA.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain
from operator import eq

import spacy
from spacy.symbols import ORTH

WINDOW = 32  # code points at either end of a chunk that are searched for an affix; doubled while an affix fills them
MARGIN = 8  # more than any rule of any language looks ahead of or behind its affix (2)
LONG = 4096  # a longer chunk is neither an address nor a special case; the search for one takes quadratic time

# Languages with no affix or infix rule that matches within ASCII letters alone. Any other loses nothing but speed.
PLAIN_LETTERS = frozenset({"en"})

_LETTERS = re.compile("[A-Za-z]+")
_RUN = re.compile("[A-Za-z]+|[0-9]+")

Search = Callable[[str], re.Match[str] | None]


class SpacyRules:
    """`split` for chunks and `rejoin` for texts, by the rules of `spacy.blank(language)`."""

    def __init__(self, language: str) -> None:
        pipeline = spacy.blank(language)
        rules = pipeline.tokenizer
        self._prefix: Search = rules.prefix_search
        self._suffix: Search = rules.suffix_search
        self._infixes: Callable[[str], list[re.Match[str]]] = rules.infix_finditer
        self._token: Search = rules.token_match or _never
        self._url: Search = rules.url_match or _never
        self._plain_letters = language in PLAIN_LETTERS
        self._specials: dict[str, tuple[str, ...]] = {}
        self._patterns: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        whole = {key: tuple(spec[ORTH] for spec in specs) for key, specs in rules.rules.items() if not key.isspace()}
        for key in whole:
            if self._prefix(key) or self._suffix(key) or any(self._infixes(key)) or " " in key:
                pattern = tuple(token for chunk in key.split() for token in self._cut(chunk))
                self._patterns[pattern[0]].add(pattern)
        self._specials = whole
        cut_up = [pattern for patterns in self._patterns.values() for pattern in patterns]
        self._leading = frozenset(word for pattern in cut_up for word in pattern[:-1])
        self._following = frozenset(word for pattern in cut_up for word in pattern[1:])
        defaults = pipeline.Defaults
        affixes = _LETTERS.findall(" ".join((*defaults.prefixes, *defaults.suffixes, *defaults.infixes)))
        cases = (_RUN.findall(part) for part in (*whole, *self._leading, *self._following))
        self._named = frozenset(chain(affixes, *cases))

    @property
    def phrases(self) -> tuple[str, ...]:
        """Special cases that reach across white space: "EE. UU."; a text with one cannot be split chunk by chunk."""
        return tuple(sorted(key for key in self._specials if " " in key))

    @property
    def plain_letters(self) -> bool:
        """Whether a chunk of ASCII letters is one word unless it is a special case."""
        return self._plain_letters

    @property
    def special_letters(self) -> tuple[str, ...]:
        """Special cases, and pieces of them, of ASCII letters alone: "cannot"."""
        return tuple(
            sorted(
                key for key in {*self._specials, *self._leading, *self._following} if key.isascii() and key.isalpha()
            )
        )

    @property
    def named_runs(self) -> tuple[str, ...]:
        """The runs of ASCII letters in affix rules, and of letters or digits in special cases and pieces of them."""
        return tuple(sorted(self._named))

    def leading(self, word: str) -> bool:
        """Whether `word` is a piece of a special case that the affix rules cut up, but not its last."""
        return word in self._leading

    def following(self, word: str) -> bool:
        """Whether `word` is a piece of a special case that the affix rules cut up, but not its first."""
        return word in self._following

    def split(self, chunk: str) -> tuple[str, ...] | None:
        """The words of `chunk`, which has no white space; None where they depend on the chunks beside it."""
        words, tied, _ = self.alone(chunk)
        return None if tied else words

    def alone(self, chunk: str) -> tuple[tuple[str, ...], bool, tuple[str, ...]]:
        """(the words of `chunk` with nothing beside it, whether chunks beside it may change them, its words as cut).

        The chunk before changes them only if its last word as cut is `leading`, the next if its first is `following`.
        """
        words = self.cut(chunk)
        found = self._found(words) if len(words) > 1 else []
        if not found:
            return words, False, words
        joined = tuple(word for word, _ in self.rejoin(place(words), chunk))
        return joined, joined != words and any(self._may_be_hidden(-n, i, words) for n, i in found), words

    def cut(self, chunk: str) -> tuple[str, ...]:
        """The words of `chunk` before `rejoin`; joined they give the chunk again."""
        special = self._specials.get(chunk)
        return special if special is not None else tuple(self._cut(chunk))

    def rejoin(self, tokens: list[tuple[str, int]], text: str) -> list[tuple[str, int]]:
        """`tokens` (with their places in `text`) with each special case that the affix rules cut up as it should be.

        As in spaCy the longest match wins, then the first; a match that is none (for the white space in it), or that
        overlaps a better one, still hides others.
        """
        taken: set[int] = set()
        special: dict[int, tuple[int, tuple[str, ...]]] = {}
        for n, i in sorted(self._found([token for token, _ in tokens])):
            end = i - n
            if i not in taken and end - 1 not in taken:
                last, start = tokens[end - 1]
                key = text[tokens[i][1] : start + len(last)]
                if key in self._specials:
                    special[i] = (end, self._specials[key])
            taken.update(range(i, end))
        result, i = [], 0
        while i < len(tokens):
            if i in special:
                end, words = special[i]
                result += place(words, tokens[i][1])
                i = end
            else:
                result.append(tokens[i])
                i += 1
        return result

    def _found(self, words: Sequence[str]) -> list[tuple[int, int]]:
        """(minus the length, place) of each run of words that looks like a special case cut up."""
        found = []
        for i, word in enumerate(words):
            for pattern in self._patterns.get(word, ()):
                if tuple(words[i : i + len(pattern)]) == pattern:
                    found.append((-len(pattern), i))
        return found

    def _may_be_hidden(self, n: int, i: int, words: Sequence[str]) -> bool:
        """Whether the match of `n` words at `i` of a chunk's words may lose to one that begins or ends outside them."""
        for pattern in chain.from_iterable(self._patterns.values()):
            for k in range(1, len(pattern)):
                inside = pattern[k:]
                if len(pattern) >= n and min(len(inside), len(words)) > i and all(map(eq, inside, words)):
                    return True
                if len(pattern) > n and len(words) - k < i + n and tuple(words[-k:]) == pattern[:k]:
                    return True
        return False

    def _cut(self, chunk: str) -> list[str]:
        """As spaCy's `_split_affixes` and `_attach_tokens`."""
        head, tail = [], []
        low, high, size = 0, len(chunk), -1
        while low < high and high - low != size:
            size = high - low
            if size <= LONG and ((rest := chunk[low:high]) in self._specials or self._token(rest)):
                break
            before = self._affix(self._prefix, chunk, low, high, at_end=False)
            if before and self._is_special(chunk, low + before, high):
                head.append(chunk[low : low + before])
                low += before
                break
            after = self._affix(self._suffix, chunk, low + before, high, at_end=True)
            if after and self._is_special(chunk, low, high - after):
                tail.append(chunk[high - after : high])
                high -= after
                break
            if before:
                head.append(chunk[low : low + before])
            if after:
                tail.append(chunk[high - after : high])
            low, high = low + before, high - after
        return [*head, *self._core(chunk[low:high]), *reversed(tail)]

    def _core(self, core: str) -> tuple[str, ...] | list[str]:
        """What is left between the affixes, cut at infixes."""
        if core in self._specials:
            return self._specials[core]
        if not core or (len(core) <= LONG and (self._token(core) or self._url(core))):
            return [core] if core else []
        words, start = [], 0
        for match in self._infixes(core):
            first, end = match.span()
            if first:
                words += [part for part in (core[start:first], core[first:end]) if part]
                start = end
        if start < len(core):
            words.append(core[start:])
        return words

    def _is_special(self, chunk: str, low: int, high: int) -> bool:
        return high - low <= LONG and chunk[low:high] in self._specials

    def _affix(self, search: Search, chunk: str, low: int, high: int, *, at_end: bool) -> int:
        """Length of the affix of `chunk[low:high]`. Only as much of it is looked at as decides the question."""
        window = WINDOW
        while True:
            piece = chunk[max(low, high - window) : high] if at_end else chunk[low : min(high, low + window)]
            match = search(piece)
            if match is None:
                return 0
            room = match.start() if at_end else len(piece) - match.end()
            if room >= MARGIN or len(piece) == high - low:
                return match.end() - match.start()
            window *= 2


def place(tokens: Sequence[str], start: int = 0) -> list[tuple[str, int]]:
    """Each of `tokens`, which follow one another without a gap, with its place."""
    placed = []
    for token in tokens:
        placed.append((token, start))
        start += len(token)
    return placed


def _never(_: str) -> None:
    return None
