"""Two texts side by side: which words only one of them has."""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from stages.text.scripts import UNSPACED

COMPARED = 600  # words of each text between the first and the last that differ
AROUND = 12  # words shown before and after a difference
SHOWN = 160  # words shown of a text
MOST = 200_000  # code points of a text that are looked at
LETTER = rf"[{UNSPACED}]"  # a word by itself
WORD = re.compile(rf"(?:{LETTER}|(?:(?!{LETTER})\S){{1,60}})\s{{0,60}}|\s{{1,60}}")  # bounded: a page shows so many


@dataclass(frozen=True)
class Part:
    """A run of words: in both texts (`same`), in this one alone (`only`), or so many that are left out (`fold`)."""

    kind: Literal["same", "only", "fold"]
    text: str


def difference(left: str, right: str) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Both texts as parts. Long runs that are the same are folded; what is behind the first `SHOWN` words too."""
    a, b = WORD.findall(left[:MOST]), WORD.findall(right[:MOST])
    bare_a, bare_b = [word.strip() for word in a], [word.strip() for word in b]  # another line break is no difference
    head = 0
    while head < min(len(a), len(b)) and bare_a[head] == bare_b[head]:
        head += 1
    tail = 0
    while tail < min(len(a), len(b)) - head and bare_a[-1 - tail] == bare_b[-1 - tail]:
        tail += 1
    ends = min(len(a) - tail, head + COMPARED), min(len(b) - tail, head + COMPARED)
    match = SequenceMatcher(None, bare_a[head : ends[0]], bare_b[head : ends[1]], autojunk=False)
    ours, theirs = _Side(a), _Side(b)
    ours.same(0, head)
    theirs.same(0, head)
    for kind, i, j, k, l in match.get_opcodes():
        for side, start, stop in ((ours, i + head, j + head), (theirs, k + head, l + head)):
            (side.same if kind == "equal" else side.only)(start, stop)
    for side, end, words in ((ours, ends[0], a), (theirs, ends[1], b)):
        side.fold(end, len(words) - tail)  # what was not compared
        side.same(len(words) - tail, len(words))
    return ours.parts(), theirs.parts()


class _Side:
    """The parts of one text, as they come."""

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._runs: list[tuple[Literal["same", "only", "fold"], int, int]] = []

    def same(self, start: int, stop: int) -> None:
        """Words of both; of a long run those beside a difference, or the first ones where there is none."""
        first, last = start == 0, stop == len(self._words)
        before = AROUND if not first else SHOWN if last else 0
        after = 0 if last else AROUND
        if stop - start <= before + after:
            self._add("same", start, stop)
            return
        self._add("same", start, start + before)
        self._add("fold", start + before, stop - after)
        self._add("same", stop - after, stop)

    def only(self, start: int, stop: int) -> None:
        self._add("only", start, stop)

    def fold(self, start: int, stop: int) -> None:
        self._add("fold", start, stop)

    def _add(self, kind: Literal["same", "only", "fold"], start: int, stop: int) -> None:
        if stop > start:
            self._runs.append((kind, start, stop))

    def parts(self) -> tuple[Part, ...]:
        """The first `SHOWN` words as text; how many are left out, there and behind them."""
        found, shown, hidden = [], 0, 0
        for kind, start, stop in self._runs:
            cut = min(stop, start + SHOWN - shown)
            if kind == "fold" and shown < SHOWN:
                found.append(Part("fold", f"{stop - start:,}"))
            elif kind == "fold" or cut <= start:
                hidden += stop - start
            else:
                found.append(Part(kind, "".join(self._words[start:cut])))
                shown, hidden = shown + cut - start, hidden + stop - cut
        return tuple([*found, Part("fold", f"{hidden:,}")] if hidden else found)
