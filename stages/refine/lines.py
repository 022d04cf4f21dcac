"""A text as a refining model sees it: numbered lines, in chunks of so many tokens (methods 1.3)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

Cost = Callable[[Sequence[str]], Sequence[int]]  # tokens of each of some lines, each by itself
DIGITS = 3  # of a line's number, at least


class Chunk(NamedTuple):
    """Numbered lines from `first` to `last` of a text; `tokens` is the sum of what each costs by itself."""

    first: int
    last: int
    text: str
    tokens: int


def numbered(text: str, first: int = 0) -> list[str]:
    """The lines of `text`, each behind its number, counted from `first` over the whole text: `[000]line`."""
    return [f"[{number:0{DIGITS}d}]{line}" for number, line in enumerate(text.split("\n"), first)]


def fill(lines: Sequence[str], costs: Sequence[int], chunk_tokens: int = 1500) -> list[Chunk]:
    """Numbered lines in chunks, greedily: a line that does not fit begins the next one.

    A line that costs more than `chunk_tokens` is a chunk by itself, the only kind that does.
    """
    chunks: list[Chunk] = []
    first, total = 0, 0
    for number, cost in enumerate(costs):
        if number > first and total + cost > chunk_tokens:
            chunks.append(Chunk(first, number - 1, "\n".join(lines[first:number]), total))
            first, total = number, 0
        total += cost
    if costs:
        chunks.append(Chunk(first, len(lines) - 1, "\n".join(lines[first:]), total))
    return chunks


def chunk(text: str, cost: Cost, chunk_tokens: int = 1500) -> list[Chunk]:
    """The chunks of `text`, which may be empty: an empty text is one empty line."""
    lines = numbered(text)
    return fill(lines, cost(lines), chunk_tokens)
