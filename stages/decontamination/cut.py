"""A document without what it shares with a test item, as GPT-3 cut its own (Brown et al. 2020, appendix C.1)."""

from itertools import pairwise
from typing import NamedTuple


class Limits(NamedTuple):
    """All in code points but `max_pieces`, which counts the pieces before those that are too short are left out."""

    window: int = 200  # that go with a shared n-gram, on each side
    min_piece: int = 200
    max_pieces: int = 10


def cut(text: str, spans: list[tuple[int, int]], limits: Limits) -> list[str] | None:
    """What is left of `text` around the `spans`; None for a text in too many pieces, or of which none is long enough.

    GPT-3 makes each piece a document.
    """
    gaps, end = [0], 0
    for first, last in sorted(spans):
        start, after = max(first - limits.window, 0), min(last + limits.window, len(text))
        if start > end:
            gaps += [start, after]
        elif len(gaps) == 1:
            gaps[0] = max(gaps[0], after)
        else:
            gaps[-1] = max(gaps[-1], after)
        end = max(end, after)
    edges = [*gaps, len(text)]
    pieces = [text[start:stop] for start, stop in list(pairwise(edges))[::2] if stop > start]
    kept = [piece for piece in pieces if len(piece) >= limits.min_piece]
    return kept if kept and len(pieces) <= limits.max_pieces else None
