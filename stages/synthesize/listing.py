"""What a model's reply holds that should be a list: one entry a line behind a dash, a star or a number."""

import re
from typing import NamedTuple

from stages.guards.leaks import leak
from stages.guards.refusals import refusal
from stages.models.engine import Finish

ENTRY = re.compile(r"^[ \t]*(?:[-*\u2022+]|\(?\d{1,3}[.):])[ \t]+(.*)$")
# Faults of the whole reply, then those of one entry; before each stands what the list is of: facts_empty.
EMPTY, REFUSAL, NO_LIST = "empty", "refusal", "no_list"
TRUNCATED, BLANK, REPEATED, LONG, MARKUP = "truncated", "blank", "repeated", "long", "markup"
FAULTS = (EMPTY, REFUSAL, NO_LIST, TRUNCATED, BLANK, REPEATED, LONG, MARKUP)


class Listed(NamedTuple):
    """Entries, and a fault for each that is none."""

    entries: tuple[str, ...]
    faults: tuple[str, ...]


def parse_list(reply: str, finish: Finish = "stop", longest: int = 1000, source: str = "", prompt: str = "") -> Listed:
    """The entries of a reply, each once whatever its case, of at most `longest` characters.

    What stands before the first entry is no part of the list; a line without a mark goes on with the entry before it.
    `source` is the text, `prompt` the instructions: markup of a chat, or lines of the prompt, are a fault.
    """
    if not reply.strip():
        return Listed((), (EMPTY,))
    found = _entries(reply)
    if not found:
        return Listed((), (REFUSAL if refusal(source, reply) else NO_LIST,))
    kept: dict[str, str] = {}
    faults = []
    for number, entry in enumerate(found, 1):
        cut = finish == "length" and number == len(found)
        fault = TRUNCATED if cut else _fault(entry, kept, longest, source, prompt)
        if fault is None:
            kept[entry.casefold()] = entry
        else:
            faults.append(fault)
    return Listed(tuple(kept.values()), tuple(faults))


def why_not(listed: Listed, what: str, least: int = 1) -> str | None:
    """Why a list of `what` is not taken: it has fewer than `least` entries; the first fault, or `<what>_few`."""
    if len(listed.entries) >= least:
        return None
    return f"{what}_{listed.faults[0] if listed.faults else 'few'}"


def _entries(reply: str) -> list[str]:
    entries: list[list[str]] = []
    for line in reply.strip().split("\n"):
        match = ENTRY.match(f"{line} ")  # a mark alone is an entry too, an empty one
        if match:
            entries.append([match[1]])
        elif entries and line.strip():
            entries[-1].append(line)
    return [" ".join(" ".join(lines).split()) for lines in entries]


def _fault(entry: str, kept: dict[str, str], longest: int, source: str, prompt: str) -> str | None:
    if not entry:
        return BLANK
    if entry.casefold() in kept:
        return REPEATED
    if len(entry) > longest:
        return LONG
    return MARKUP if leak(source, entry, prompt) else None
