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

from stages.text.affixes import ALONE, WINDOW, Affixes, Search
from stages.text.light_spacy import spacy  # before any other part of it

from spacy.lang.tokenizer_exceptions import URL_PATTERN  # isort: skip
from spacy.symbols import ORTH  # isort: skip

LONG = 4096  # a longer chunk is neither an address nor a special case; the search for one takes quadratic time

# Languages with no affix or infix rule that matches within ASCII letters alone. Any other loses nothing but speed.
PLAIN_LETTERS = frozenset({"en"})

_LETTERS = re.compile("[A-Za-z]+")
_RUN = re.compile("[A-Za-z]+|[0-9]+")

# Parts of patterns, with the words that the pattern has, by a word of theirs.
Parts = dict[str, list[tuple[tuple[str, ...], int]]]

# The user and password of an address: a password is more of what a user's name may be, and the search for it quadratic.
_PASSWORD = (r"(?:\S+(?::\S*)?@)?", r"(?:\S+@)?")


class SpacyRules:
    """`split` for chunks and `rejoin` for texts, by the rules of `spacy.blank(language)`."""

    def __init__(self, language: str) -> None:
        pipeline = spacy.blank(language)
        rules = pipeline.tokenizer
        defaults = pipeline.Defaults
        self._prefixes = Affixes(rules.prefix_search, defaults.prefixes, at_end=False)
        self._suffixes = Affixes(rules.suffix_search, defaults.suffixes, at_end=True)
        self._infixes: Callable[[str], list[re.Match[str]]] = rules.infix_finditer
        self._token: Search | None = rules.token_match
        self._url = _address(rules.url_match)
        self._plain_letters = language in PLAIN_LETTERS
        self._specials: dict[str, tuple[str, ...]] = {}
        whole = {key: tuple(spec[ORTH] for spec in specs) for key, specs in rules.rules.items() if not key.isspace()}
        self._longest = 0  # code points of a special case: longer chunks need not be looked up
        cut_up = {
            tuple(token for chunk in key.split() for token in self._cut(chunk))
            for key in whole
            if rules.prefix_search(key) or rules.suffix_search(key) or any(self._infixes(key)) or " " in key
        }
        self._specials, self._longest = whole, max(map(len, whole), default=0)
        self._patterns = _by_beginning(cut_up)
        self._n_pattern = max(map(len, cut_up), default=0)
        self._ends, self._beginnings = _parts(cut_up)
        self._leading = frozenset(word for pattern in cut_up for word in pattern[:-1])
        self._following = frozenset(word for pattern in cut_up for word in pattern[1:])
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
            if word not in self._patterns:
                continue
            patterns = self._patterns[word]
            behind = words[i + 1] if i + 1 < len(words) else ""
            for pattern in (*patterns.get("", ()), *(patterns.get(behind, ()) if behind else ())):
                if tuple(words[i : i + len(pattern)]) == pattern:
                    found.append((-len(pattern), i))
        return found

    def _may_be_hidden(self, n: int, i: int, words: Sequence[str]) -> bool:
        """Whether the match of `n` words at `i` of a chunk's words may lose to one that begins or ends outside them."""
        if i < self._n_pattern:
            for inside, size in self._ends.get(words[0], ()):
                if size >= n and min(len(inside), len(words)) > i and all(map(eq, inside, words)):
                    return True
        if i + n > len(words) - self._n_pattern:
            for inside, size in self._beginnings.get(words[-1], ()):
                k = len(inside)
                if size > n and len(words) - k < i + n and tuple(words[-k:]) == inside:
                    return True
        return False

    def _cut(self, chunk: str) -> list[str]:
        """As spaCy's `_split_affixes` and `_attach_tokens`."""
        head: list[str] = []
        tail: list[str] = []
        low, high, size = 0, len(chunk), -1
        while low < high and high - low != size:
            size = high - low
            if size > self._longest + WINDOW and not self._token:
                n_before, n_after = self._alike(chunk, low, high)
                if n_before or n_after:
                    head += chunk[low : low + n_before]
                    tail += chunk[high - n_after : high][::-1]
                    low, high = low + n_before, high - n_after
                    continue
            if self._is_special(chunk, low, high) or (self._token and size <= LONG and self._token(chunk[low:high])):
                break
            before = self._prefixes.length(chunk, low, high)
            if before and self._is_special(chunk, low + before, high):
                head.append(chunk[low : low + before])
                low += before
                break
            after = self._suffixes.length(chunk, low + before, high) if low + before < high else 0
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

    def _alike(self, chunk: str, low: int, high: int) -> tuple[int, int]:
        """How many affixes of one character may be taken off either end at once: a special case is not yet in reach.

        Where only one end has them, the other has to be known to have no affix: the steps take one off each.
        """
        room = high - low - self._longest - WINDOW
        if self._prefixes.kind(chunk[low]) == ALONE and self._suffixes.kind(chunk[high - 1]) == ALONE:
            n = limit = 0
            while n == limit < room // 2:
                limit = min(4 * limit + WINDOW, room // 2)
                n = min(self._prefixes.run(chunk, low, low + limit), self._suffixes.run(chunk, high - limit, high))
            return n, n
        if self._prefixes.kind(chunk[low]) == ALONE and not self._suffixes.length(chunk, low, high):
            return self._prefixes.run(chunk, low, low + room), 0
        if self._suffixes.kind(chunk[high - 1]) == ALONE and not self._prefixes.length(chunk, low, high):
            return 0, self._suffixes.run(chunk, high - room, high)
        return 0, 0

    def _core(self, core: str) -> tuple[str, ...] | list[str]:
        """What is left between the affixes, cut at infixes."""
        if not core:
            return []
        if core in self._specials:
            return self._specials[core]
        if len(core) <= LONG and ((self._token and self._token(core)) or (self._url and self._url(core))):
            return [core]
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
        return high - low <= self._longest and chunk[low:high] in self._specials


def place(tokens: Sequence[str], start: int = 0) -> list[tuple[str, int]]:
    """Each of `tokens`, which follow one another without a gap, with its place."""
    placed = []
    for token in tokens:
        placed.append((token, start))
        start += len(token)
    return placed


def _by_beginning(patterns: set[tuple[str, ...]]) -> dict[str, dict[str, list[tuple[str, ...]]]]:
    """`patterns` by their first and second word, "" for none."""
    found: dict[str, dict[str, list[tuple[str, ...]]]] = {}
    for pattern in sorted(patterns):
        found.setdefault(pattern[0], {}).setdefault((*pattern, "")[1], []).append(pattern)
    return found


def _parts(patterns: set[tuple[str, ...]]) -> tuple[Parts, Parts]:
    """The ends of `patterns` by their first word, the beginnings by their last, with the patterns' lengths."""
    ends: Parts = defaultdict(list)
    beginnings: Parts = defaultdict(list)
    for pattern in sorted(patterns):
        for k in range(1, len(pattern)):
            ends[pattern[k]].append((pattern[k:], len(pattern)))
            beginnings[pattern[k - 1]].append((pattern[:k], len(pattern)))
    return dict(ends), dict(beginnings)


def _address(search: Search | None) -> Search | None:
    """The same search in linear time, if it is the one that spaCy has for most languages."""
    pattern = getattr(getattr(search, "__self__", None), "pattern", "")
    if pattern != "(?u)" + URL_PATTERN or URL_PATTERN.count(_PASSWORD[0]) != 1:
        return search
    return re.compile(pattern.replace(*_PASSWORD)).match
