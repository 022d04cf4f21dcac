"""What a model's reply holds that should be a conversation: turns that begin a line with their speaker's name.

What stands before the first turn is no part of it. A turn goes on until the next name of a speaker begins a line.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from stages.guards.refusals import refusal
from stages.models.engine import Finish

# Faults; before each stands what was to be written: dialogue_empty.
EMPTY, REFUSAL, NO_TURNS, TRUNCATED = "empty", "refusal", "no_turns", "truncated"
EMPTY_TURN, ONE_SPEAKER, FEW_TURNS = "empty_turn", "one_speaker", "few_turns"
WRONG_START, NOT_ALTERNATING, UNANSWERED = "wrong_start", "not_alternating", "unanswered"
FAULTS = (
    EMPTY, REFUSAL, NO_TURNS, TRUNCATED, EMPTY_TURN, WRONG_START, NOT_ALTERNATING, UNANSWERED, ONE_SPEAKER, FEW_TURNS,
)  # fmt: skip


class Turn(NamedTuple):
    """What one speaker says at a time."""

    speaker: str
    text: str


def parse_turns(
    reply: str, speakers: Sequence[str], finish: Finish = "stop", least: int = 2, strict: bool = False
) -> tuple[Turn, ...] | str:
    """The turns of a reply, or the fault that makes it none.

    `strict`: the speakers take turns, the first of them begins and the last of them ends. Else one of them may speak
    twice in a row, as people do.
    """
    if not reply.strip():
        return EMPTY
    turns = _turns(reply, speakers)
    if not turns:
        return REFUSAL if refusal("", reply) else NO_TURNS
    if finish == "length":
        return TRUNCATED
    if not all(turn.text for turn in turns):
        return EMPTY_TURN
    fault = _order(turns, speakers) if strict else None
    if fault is None and len({turn.speaker for turn in turns}) < len(speakers):
        fault = ONE_SPEAKER
    return fault or (FEW_TURNS if len(turns) < least else turns)


def rendered(turns: Sequence[Turn]) -> str:
    """Turns as text to train on."""
    return "\n\n".join(f"{turn.speaker}: {turn.text}" for turn in turns)


def _turns(reply: str, speakers: Sequence[str]) -> tuple[Turn, ...]:
    marks = list(_label(tuple(speakers)).finditer(reply))
    ends = [*(mark.start() for mark in marks[1:]), len(reply)][: len(marks)]
    return tuple(
        Turn(speakers[(mark.lastindex or 1) - 1], reply[mark.end() : end].strip())
        for mark, end in zip(marks, ends, strict=True)
    )


@lru_cache(maxsize=32)
def _label(speakers: tuple[str, ...]) -> "re.Pattern[str]":
    """A speaker's name at the beginning of a line, with the marks of Markdown around it, and its colon.

    Each name is a group of its own: what matches whatever its case need not be equal to the name by any folding.
    """
    spelled = (r"[ \t]+".join(map(re.escape, name.split())) for name in speakers)
    names = "|".join(f"({name})" for name in spelled)
    return re.compile(rf"^[ \t]*(?:[-*>#]+[ \t]+)?[*_]*(?:{names})[*_]*[ \t]*:[*_]*", re.MULTILINE | re.IGNORECASE)


def _order(turns: Sequence[Turn], speakers: Sequence[str]) -> str | None:
    if turns[0].speaker != speakers[0]:
        return WRONG_START
    if any(turn.speaker != speakers[number % len(speakers)] for number, turn in enumerate(turns)):
        return NOT_ALTERNATING
    return UNANSWERED if turns[-1].speaker != speakers[-1] else None
