"""Text that repeats itself: shares of characters in n-grams met before (Gopher, arXiv 2112.11446, table A1)."""

from collections.abc import Sequence

import pyarrow as pa

from schemas import columns as c
from stages.text.words import ANY_SCRIPT

DUP_N_GRAMS = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))


def repeats(texts: Sequence[str], shares: tuple[tuple[int, float], ...] = DUP_N_GRAMS) -> list[bool]:
    """Whether more than the share of any n in `shares` of each text is in n-grams that it has before."""
    from stages.kernels.chunks import chunk_table  # noqa: PLC0415 - numba takes 0.4 s to import
    from stages.kernels.repetition import count_repetition  # noqa: PLC0415

    sizes = tuple(n for n, _ in shares)
    counted = count_repetition(chunk_table(ANY_SCRIPT), pa.array(texts, c.TEXT), (), sizes)
    return [
        any(chars > share * text.n_chars for (_, share), chars in zip(shares, text.duplicated, strict=True))
        for text in counted
    ]
