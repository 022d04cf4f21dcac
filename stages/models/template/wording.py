"""How the template engine says a sentence otherwise: by synonyms, with less in it, in words of another language."""

import re
from collections.abc import Iterable
from functools import cache
from random import Random

import xxhash

from stages.models.template.source import LONGEST_WORD, WORD, common, words

LATIN = re.compile(r"(?<![\w-])[a-z]+(?![\w-])")
BRACKETS = re.compile(r"\s*\([^()]*\)")
ADVERB = re.compile(r"\s\w{3,}ly\b")
JOINTS = re.compile(r"[,;]\s+(?:and|but|so|while|which|because|though|although)\b\s*|;\s+")
START = re.compile(r"(?:^|[.!?:;])[^\w]*(\w)")
END = ".!?:;\u3002\uff01\uff1f"


def retold(sentence: str, draw: Random) -> str:
    """`sentence` with another word for each that has one, one time in five with its own."""
    synonyms: dict[str, list[str]] = words()["synonyms"]

    def other(match: "re.Match[str]") -> str:
        choice = draw.choice([*synonyms.get(match[0], ()), match[0]]) if match[0] in synonyms else match[0]
        return choice if draw.random() < 0.8 else match[0]

    return LATIN.sub(other, sentence)


def plain(sentence: str) -> str:
    """`sentence` without what stands in brackets and without adverbs; as it is, if nothing is left."""
    shorter = ADVERB.sub("", BRACKETS.sub("", sentence)).strip()
    return shorter if any(map(str.isalnum, shorter)) else sentence


def in_short_ones(sentence: str) -> list[str]:
    """The clauses of `sentence` as sentences of their own."""
    parts = [part.strip() for part in JOINTS.split(sentence) if any(map(str.isalnum, part))]
    return [ended(part[0].upper() + part[1:]) for part in parts]


def ended(sentence: str) -> str:
    """With a sign at its end that ends it."""
    return sentence if sentence[-1:] in END else f"{sentence.rstrip(',')}."


def joined(sentences: Iterable[str]) -> str:
    """As one paragraph."""
    return " ".join(map(ended, sentences))


def languages() -> list[str]:
    """Those that texts can be put into."""
    return list(words()["languages"])


def translated(line: str, language: str) -> str:
    """`line` word for word: names and numbers stay, a word without an entry becomes some word of the language."""
    entries, others = _dictionary(language)
    starts = {match.start(1) for match in START.finditer(line)}

    def other(match: "re.Match[str]") -> str:
        word = match[0]
        capital, begins = word[0].isupper(), match.start() in starts
        if (capital and not begins and word.lower() not in common()) or len(word) > LONGEST_WORD:
            return word
        found = entries.get(word.lower()) or others[xxhash.xxh3_64_intdigest(word.lower().encode()) % len(others)]
        return found[0].upper() + found[1:] if capital else found

    return WORD.sub(other, line)


@cache
def _dictionary(language: str) -> tuple[dict[str, str], list[str]]:
    data = words()["languages"][language]
    pairs = (entry.partition("=") for entry in data["words"].split())
    return {english: other.replace("-", " ") for english, _, other in pairs}, data["others"].split()
