"""The settings of all guards, and the one verdict that they come to."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.check import nearest
from stages.guards.addresses import novel_addresses
from stages.guards.language import checksum_of, labels
from stages.guards.leaks import leak
from stages.guards.numbers import novel_numbers
from stages.guards.refusals import refusal
from stages.guards.repetition import DUP_N_GRAMS, repeats
from stages.language import BUNDLED
from stages.models.engine import Finish

EMPTY = "guard_empty"
TRUNCATED = "guard_truncated"
PREFIX = "guard_prefix"
LENGTH_RATIO = "guard_length_ratio"
NOVEL_NUMBER = "guard_novel_number"
NOVEL_URL = "guard_novel_url"
LANGUAGE = "guard_language"
REPETITION = "guard_repetition"
REFUSAL = "guard_refusal"
LEAK = "guard_leak"
# In the order in which they are asked: the first that holds is the reason.
REASONS = (
    TRUNCATED, PREFIX, EMPTY, REFUSAL, LEAK, LENGTH_RATIO, NOVEL_NUMBER, NOVEL_URL, LANGUAGE, REPETITION,
)  # fmt: skip


@dataclass(frozen=True)
class Guards:
    """Which guards there are, and how strict. None or False switches one off.

    `min_length_ratio`, `max_length_ratio`: code points of the rewrite for each of the source. `novel_numbers`,
    `novel_urls`: how many of them are let pass. `language`: both texts have `language_chars` code points and a
    language of at least `language_score` (FineWeb's threshold), and it is not the same. `dup_n_grams`: Gopher's
    shares, of a rewrite of at least `repetition_chars` code points and not of its source. `truncated`: the engine cut
    the answer (Nemotron-CC).
    """

    min_length_ratio: float | None = 0.3
    max_length_ratio: float | None = 3.0
    novel_numbers: int | None = 0
    novel_urls: int | None = 0
    language: bool = True
    language_score: float = 0.65
    language_chars: int = 100
    language_model: str = BUNDLED
    language_model_sha256: str | None = None
    dup_n_grams: tuple[tuple[int, float], ...] = DUP_N_GRAMS
    repetition_chars: int = 200
    refusals: bool = True
    leaks: bool = True
    truncated: bool = True
    language_checksum: str = field(init=False, default="")

    def __post_init__(self) -> None:
        low, high = self.min_length_ratio or 0.0, self.max_length_ratio
        if low < 0 or (high is not None and high < low):
            raise ValueError(f"guards: a length ratio from {low} to {high} lets nothing pass")
        object.__setattr__(self, "dup_n_grams", tuple((int(n), float(share)) for n, share in self.dup_n_grams))
        if self.language:
            checksum = checksum_of(self.language_model, self.language_model_sha256)
            object.__setattr__(self, "language_checksum", checksum)

    def check(self, source: str, text: str, finish: Finish = "stop", prompt: str = "") -> str | None:
        """Why `text` is not taken for `source`, or None. `prompt`: what the model was told, without the source."""
        return self.check_all([source], [text], [finish], prompt)[0]

    def check_all(
        self, sources: Sequence[str], texts: Sequence[str], finishes: Sequence[Finish] | None = None, prompt: str = ""
    ) -> list[str | None]:
        """The same of many; the dear guards, which come last, see those alone that passed the others, all at once."""
        ends = finishes or ["stop"] * len(texts)
        reasons = [self._cheap(s, t, end, prompt) for s, t, end in zip(sources, texts, ends, strict=True)]
        if self.language:
            self._check_language(sources, texts, reasons)
        if self.dup_n_grams:
            self._check_repetition(sources, texts, reasons)
        return reasons

    def _cheap(self, source: str, text: str, finish: Finish, prompt: str) -> str | None:
        """The first of the guards that look at one text after the other."""
        ratio = len(text) / max(len(source), 1)
        low, high = self.min_length_ratio or 0.0, self.max_length_ratio or math.inf
        numbers, urls = self.novel_numbers, self.novel_urls
        verdicts = (
            (TRUNCATED, lambda: self.truncated and finish == "length"),
            (EMPTY, lambda: not text.strip()),
            (REFUSAL, lambda: self.refusals and refusal(source, text)),
            (LEAK, lambda: self.leaks and leak(source, text, prompt)),
            (LENGTH_RATIO, lambda: not low <= ratio <= high),
            (NOVEL_NUMBER, lambda: numbers is not None and len(novel_numbers(source, text)) > numbers),
            (NOVEL_URL, lambda: urls is not None and len(novel_addresses(source, text)) > urls),
        )
        return next((reason for reason, holds in verdicts if holds()), None)

    def _check_language(self, sources: Sequence[str], texts: Sequence[str], reasons: list[str | None]) -> None:
        """Fill `reasons` where it is None and the language is another."""
        rows = [
            row
            for row, reason in enumerate(reasons)
            if reason is None and min(len(sources[row]), len(texts[row])) >= self.language_chars
        ]
        if not rows:
            return
        both = [*(sources[row] for row in rows), *(texts[row] for row in rows)]
        found = labels(both, self.language_model, self.language_checksum)
        for row, before, after in zip(rows, found[: len(rows)], found[len(rows) :], strict=True):
            sure = min(before[1], after[1]) >= self.language_score
            if sure and before[0] != after[0]:
                reasons[row] = LANGUAGE

    def _check_repetition(self, sources: Sequence[str], texts: Sequence[str], reasons: list[str | None]) -> None:
        """Fill `reasons` where it is None and the text repeats itself but its source does not."""
        least = self.repetition_chars
        rows = [row for row, reason in enumerate(reasons) if reason is None and len(texts[row]) >= least]
        if not rows:
            return
        again = repeats([texts[row] for row in rows], self.dup_n_grams)
        suspects = [row for row, does in zip(rows, again, strict=True) if does]
        if not suspects:
            return
        for row, does in zip(suspects, repeats([sources[row] for row in suspects], self.dup_n_grams), strict=True):
            if not does:
                reasons[row] = REPETITION


def guards_of(settings: "dict[str, Any] | Guards", who: str, default: Guards | None = None) -> Guards:
    """`default` with `settings` changed, as they come from a recipe; `ValueError` names what is wrong. `who` asks."""
    if isinstance(settings, Guards):
        return settings
    if not isinstance(settings, dict):
        raise ValueError(f"{who}: guards should be a mapping such as {{novel_numbers: 1}}, got {settings!r}")
    known = [f.name for f in dataclasses.fields(Guards) if f.init]
    for name in settings:
        if name not in known:
            hint = nearest(str(name), known) or f" (they have {', '.join(known)})"
            raise ValueError(f"{who}: guards have no setting {name!r}{hint}")
    try:
        return dataclasses.replace(default or Guards(), **settings)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{who}: guards: {error}") from error
