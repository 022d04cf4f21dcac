"""Exercises that a text holds already, found by regular expressions: no model (AdaptLLM, methods 12).

A connector between two sentences says how they are related: what comes before "Therefore," entails what comes behind.
The shape of all is

    ([.!?]+ blank)(S)(blank)(CONNECTOR)(, blank)(S)(blank)        S = at least 50 characters and the end of a sentence

so the first sentence of a text is never a premise, and the last never a conclusion. Case does not matter.
"""

import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

MOST = 2  # of a sub-category

Kind = Literal[
    "entail", "contradict", "neutral", "cause_effect", "effect_cause", "similar", "different", "definition", "topic",
]  # fmt: skip

ENTAIL = ("Yes", "Therefore", "Thus", "Accordingly", "Hence", "For this reason")
CONTRADICT = ("No", "However", "But", "On the contrary", "In contrast", "Whereas")
NEUTRAL = ("Maybe", "Also", "Furthermore", "Secondly", "Additionally", "Moreover", "In addition")
CAUSE_EFFECT = ("Thus", "Therefore", "Accordingly", "Hence", "For this reason")
EFFECT_CAUSE = ("due to", "on account of", "owing to")
SIMILAR = (
    "In other words", "In other word", "Namely", "That is to say", "i.e.", "Scilicet", "Similarly", "Equally",
)  # fmt: skip
DEFINITION = ("is defined as", "'s definition is")
TOPIC = ("was about", "talks about", "is about", "'s topic is")

REACH = 5_000  # characters that a sentence has at most
LEAST, LEAST_TERM, LEAST_TOPIC, LEAST_MEANING = 50, 10, 20, 20


@dataclass(frozen=True)
class Mined:
    """Two parts of a text and the words between: premise and conclusion, cause and effect, term and meaning."""

    kind: Kind
    connector: str
    first: str
    second: str


def mine(text: str, most: int = MOST) -> list[Mined]:
    """What `text` holds, at most `most` of a kind, in the order of the kinds and then of the text.

    Connectors are looked for first, and sentences around each: a text without any is read once.
    """
    found = []
    for kind, (pattern, around) in _patterns().items():
        end = 0
        mined: list[Mined] = []
        for match in pattern.finditer(text):
            parts = around(text, match, end) if len(mined) < most else None
            if parts is not None:
                first, second, end = parts
                mined.append(Mined(kind, match["connector"].strip(), first, second))
        found += mined
    return found


Parts = tuple[str, str, int] | None  # the two parts, and where the second ends
Around = Callable[[str, "re.Match[str]", int], Parts]


def _sentences(outside: str) -> Around:
    """The sentences before and behind a connector, none of `outside` in them."""
    second = re.compile(rf"[^{re.escape(outside)}]{{{LEAST},{REACH}}}[.!?]+(?=\s)")

    def around(text: str, match: "re.Match[str]", begin: int) -> Parts:
        first = _sentence_before(text, match.start("connector"), begin, outside)
        behind = second.match(text, match.end())
        return (first, behind[0], behind.end()) if first and behind else None

    return around


def _sentence_before(text: str, at: int, begin: int, outside: str) -> str | None:
    """The sentence that ends before `at`, if it is long enough and stands behind the end of another."""
    begin = max(begin, at - REACH)
    end = at - len(text[begin:at]) + len(text[begin:at].rstrip())
    body = begin + len(text[begin:end].rstrip(".!?"))
    if end in (at, body):
        return None
    before = max(text.rfind(sign, begin, body) for sign in outside) + 1
    start = before + len(text[before:body]) - len(text[before:body].lstrip())
    lead = text[begin:start]
    if body - start < LEAST or lead == lead.rstrip() or not lead.rstrip().endswith((".", "!", "?")):
        return None
    return text[start:end]


def _term(text: str, match: "re.Match[str]", begin: int) -> Parts:
    """The word before a connector, and what it means."""
    before = text[max(begin, match.start() - REACH) : match.start()].rstrip()
    start = max(before.rfind(sign) for sign in TERM_ENDS) + 1
    if not before[:start][-1:].isspace() or len(before) - start < LEAST_TERM:
        return None
    return _with_meaning(text, match, before[start:])


def _topic(text: str, match: "re.Match[str]", begin: int) -> Parts:
    """The sentence as far as a connector, and what comes behind it."""
    before = text[max(begin, match.start() - REACH) : match.start()].rstrip()
    whole = before[max(before.rfind(sign) for sign in ".!?\n") + 1 :]
    first = whole.lstrip()
    if len(first) == len(whole) and not before[: -len(first)].endswith("\n"):
        return None  # no blank stands before it
    return _with_meaning(text, match, first) if len(first) >= LEAST_TOPIC else None


def _with_meaning(text: str, match: "re.Match[str]", first: str) -> Parts:
    behind = MEANING.match(text, match.end())
    return (first, behind[0], behind.end()) if behind else None


TERM_ENDS = (*'.!?,;"', *string.whitespace)
MEANING = re.compile(rf"[^.!?\n]{{{LEAST_MEANING},{REACH}}}[.!?]+(?=\s)")


@lru_cache(maxsize=1)
def _patterns() -> dict[Kind, tuple[re.Pattern[str], Around]]:
    plain, commas, loose = _sentences(".!?\n,"), _sentences(".!?\n"), _sentences(".!?;\n,")
    return {
        "entail": (_connector(ENTAIL), plain),
        "contradict": (_connector(CONTRADICT), plain),
        "neutral": (_connector(NEUTRAL), plain),
        "cause_effect": (_connector(CAUSE_EFFECT), plain),
        "effect_cause": (_connector(EFFECT_CAUSE, comma=""), loose),
        "similar": (_connector(SIMILAR), commas),
        "different": (_connector(CONTRADICT), commas),
        "definition": (_connector(DEFINITION, comma=""), _term),
        "topic": (_connector(TOPIC, comma=""), _topic),
    }


def _connector(words: tuple[str, ...], comma: str = r"\s*,") -> re.Pattern[str]:
    either = "|".join(("" if word.startswith("'") else r"(?<=\s)") + re.escape(word) for word in words)
    return re.compile(rf"(?P<connector>{either}){comma}\s+", re.IGNORECASE)
