"""The prefix, or the suffix, of a chunk by spaCy's expressions, asked only of characters that leave a doubt.

spaCy searches a chunk for a hundred pieces joined by `|`, for every character that is taken off: 4 us. Most pieces are
one character, so that the first or last character of a chunk alone tells most affixes: it is one by itself, or begins
none. Only a character that a longer piece begins or ends with has the expression searched.
"""

import re
from collections.abc import Callable, Sequence

from stages.text.memo import Memo

WINDOW = 32  # code points at the end of a chunk that are searched for an affix; doubled while an affix fills them
MARGIN = 8  # more than any rule of any language looks ahead of or behind its affix (2)
MAX_KINDS = 1 << 16  # characters whose kind is remembered
MAX_SEEN = 4096  # ends of chunks whose affix is remembered: of a chunk of one character they are all the same
NONE, ALONE, DOUBTFUL = 0, 1, 2  # of a character at the end of a chunk: no affix; an affix by itself; to be searched

Search = Callable[[str], re.Match[str] | None]

_ONE = re.compile(r"\\\W|[^\\\[\].^$*+?{}()|]|\[[^\[\]]+\]", re.DOTALL)  # a piece that is one character
_AROUND = re.compile(r"\(\?<?[=!](?:\[(?:\\.|[^\]\\])*\]|\\.|[^()\[\]\\])*\)", re.DOTALL)
_LITERAL = re.compile(r"(?:\\\W|[^\\\[\].^$*+?{}()|])\+?", re.DOTALL)
_GROUP = re.compile(rf"\(\?:((?:{_LITERAL.pattern})+(?:\|(?:{_LITERAL.pattern})+)*)\)", re.DOTALL)


class Affixes:
    """`length` of the affix at one end of a chunk: what `search`, made of `pieces`, finds there."""

    def __init__(self, search: Search | None, pieces: Sequence[str] | None, *, at_end: bool) -> None:
        self._search: Search = search or _never
        self._at_end = at_end
        self._pieces = [piece for piece in pieces or () if piece.strip()] if search else []
        known = self._pattern(self._pieces) == getattr(getattr(search, "__self__", None), "pattern", "")
        self._longer = {
            piece: _edges(piece, at_end=at_end) if known else None
            for piece in self._pieces
            if not (known and _ONE.fullmatch(piece))
        }
        self._known = None not in self._longer.values()
        self._doubtful = frozenset().union(*(edges or () for edges in self._longer.values()))
        self._ones = re.compile("|".join(piece for piece in self._pieces if piece not in self._longer))
        self._kinds: Memo[int] = Memo(self._kind_of, max_entries=MAX_KINDS)
        self._searches: Memo[Search] = Memo(self._search_of, max_entries=MAX_KINDS)
        self._seen: Memo[tuple[int, int]] = Memo(self._found, max_entries=MAX_SEEN)

    def kind(self, char: str) -> int:
        """NONE, ALONE or DOUBTFUL."""
        return self._kinds[char]

    def length(self, chunk: str, low: int, high: int) -> int:
        """Length of the affix of `chunk[low:high]`, which is not empty; 0 for none."""
        kind = self._kinds[chunk[high - 1 if self._at_end else low]]
        return kind if kind != DOUBTFUL else self._searched(chunk, low, high)

    def run(self, chunk: str, low: int, high: int) -> int:
        """How many characters at this end of `chunk[low:high]` are ALONE, one behind the other."""
        kinds = self._kinds
        part = chunk[low:high]
        for n, char in enumerate(reversed(part) if self._at_end else part):
            if kinds[char] != ALONE:
                return n
        return len(part)

    def _searched(self, chunk: str, low: int, high: int) -> int:
        """The same by the expression. Only as much of the chunk is looked at as decides the question."""
        window = WINDOW
        while True:
            piece = chunk[max(low, high - window) : high] if self._at_end else chunk[low : min(high, low + window)]
            size, room = self._seen[piece] if len(piece) == WINDOW else self._found(piece)
            if not size or room >= MARGIN or len(piece) == high - low:
                return size
            window *= 2

    def _found(self, piece: str) -> tuple[int, int]:
        """(length of the affix of `piece`, 0 for none; how much of `piece` is beside it)."""
        match = self._searches[piece[-1 if self._at_end else 0]](piece)
        if match is None:
            return 0, 0
        return match.end() - match.start(), match.start() if self._at_end else len(piece) - match.end()

    def _pattern(self, pieces: list[str]) -> str:
        """As spaCy joins them."""
        return "|".join(piece + "$" if self._at_end else "^" + piece for piece in pieces)

    def _kind_of(self, char: str) -> int:
        if not self._known or char in self._doubtful:
            return DOUBTFUL
        return ALONE if self._ones.fullmatch(char) else NONE

    def _search_of(self, char: str) -> Search:
        """The search for no more than the pieces that `char` may begin, or end."""
        if not self._known:
            return self._search
        pieces = [
            piece
            for piece in self._pieces
            if (char in (self._longer[piece] or ()) if piece in self._longer else re.fullmatch(piece, char))
        ]
        return re.compile(self._pattern(pieces)).search


def _edges(piece: str, *, at_end: bool) -> set[str] | None:
    """The characters that a match of `piece` may begin or end with; None where that is not plain to see.

    What is read: literals, each with a `+` or without, and groups of alternatives of them; looking around is left out.
    """
    rest = _AROUND.sub("", piece)
    group = _GROUP.fullmatch(rest)
    edges: set[str] = set()
    for part in re.split(r"(?<!\\)\|", group[1]) if group else [rest]:
        literals = _LITERAL.findall(part)
        if not literals or "".join(literals) != part:
            return None
        edges.add(literals[-1 if at_end else 0].removeprefix("\\")[0])
    return edges


def _never(_: str) -> None:
    return None
