"""How likely a language model finds each token of a text, of whatever length: in windows that fit its context."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stages.models.engine import Failure, Prompt, Usage
from stages.rate.rater import Floats, Rater, failures_of, gather, usages_of

LEAST = 8  # tokens of a window: half of it may be overlap, and there are special ones


class Likelihoods(NamedTuple):
    """By row: the natural logarithms of its tokens' probabilities, its `error`, and what it took."""

    logprobs: list[Floats]  # empty for a row that failed, or has nothing to predict
    failures: list[str | None]
    usages: list[list[Usage]]


class Window(NamedTuple):
    """Tokens to send, of which the last `new` count."""

    tokens: tuple[int, ...]
    new: int


def windows(tokens: Sequence[int], before: tuple[int, ...], size: int, overlap: int) -> list[Window]:
    """`tokens` in windows of at most `size`, each behind `before` and the `overlap` tokens that stand in front of it.

    A window in which nothing is predicted (one token with none in front) is left out.
    """
    step = size - len(before) - overlap
    cut = []
    for start in range(0, len(tokens), step):
        new = tokens[start : start + step]
        window = Window((*before, *tokens[max(start - overlap, 0) : start], *new), len(new))
        if len(window.tokens) > 1:
            cut.append(window)
    return cut


def likelihoods(rater: Rater, texts: Sequence[str], size: int, overlap: int) -> Likelihoods:
    """Of every token of each text but the very first, which counts where the tokenizer puts one in front of it."""
    cut = [windows(tokens, rater.frame.before, size, overlap) for tokens in rater.engine.tokenize(texts)]
    rows = [row for row, mine in enumerate(cut) for _ in mine]
    prompts = [Prompt(tokens=window.tokens) for mine in cut for window in mine]
    found = gather(rater.engine.score(prompts), rows, len(texts))
    nothing = np.zeros(0, np.float32)
    logprobs = []
    for one, mine in zip(found, cut, strict=True):
        parts = [] if isinstance(one, Failure) else [s.logprobs[-w.new :] for s, w in zip(one, mine, strict=True)]
        logprobs.append(np.concatenate(parts) if parts else nothing)
    return Likelihoods(logprobs, failures_of(found), usages_of(found))


def check_windows(who: str, size: int, overlap: int) -> None:
    """`ValueError` if windows of `size` that overlap by `overlap` make no progress."""
    if size < LEAST:
        raise ValueError(f"{who}.window_tokens should be at least {LEAST}, got {size}")
    if not 0 <= overlap <= size // 2:
        raise ValueError(f"{who}.overlap should be from 0 to half of window_tokens ({size // 2}), got {overlap}")
