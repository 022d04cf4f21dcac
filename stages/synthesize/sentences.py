"""Changes of a text that keep its facts and ask no model: sentences in another order, names in place of pronouns.

The operators `permute` and `fullname` of Physics of Language Models 3.1 (arXiv 2309.14316; methods 11).
"""

import re
from collections.abc import Sequence
from typing import Literal

from stages.synthesize.lots import Lot

Pronoun = Literal["auto", "he", "she", "they", "it"]
FAMILIES = {
    "he": ("he", "him", "his"),
    "she": ("she", "her", "hers"),
    "they": ("they", "them", "their", "theirs"),
    "it": ("it", "its"),
}
PERSONS = ("he", "she")  # of which `auto` takes the one that the text uses more
POSSESSIVE = ("his", "hers", "their", "theirs", "its")
# Behind `her` they say that it is no possessive: she met her at the gate.
BEHIND_OBJECT = (
    "a about after again all alone along although an and around as at away back because before but by down every for "
    "from had has he her here his home how if in into is it like my near not of off on once or our out over she since "
    "so some than that the their then there these they this those though through to too under until up was we were "
    "what when where whether which while who why will with without would you your"
).replace(" ", "|")
HER_AS_OBJECT = re.compile(rf"\s*(?:[^\s\w(\"'\u201c\u2018]|\Z)|\s+(?:{BEHIND_OBJECT})\b", re.IGNORECASE)


def permuted(sentences: Sequence[str], lot: Lot, what: str) -> str:
    """Sentences in an order that `lot` draws; white space between them stays where it is."""
    bodies = [sentence.rstrip() for sentence in sentences]
    gaps = [sentence[len(body) :] for sentence, body in zip(sentences, bodies, strict=True)]
    return "".join(body + gap for body, gap in zip(lot.shuffled(what, bodies), gaps, strict=True))


def with_full_names(text: str, name: str, pronoun: Pronoun = "auto") -> str:
    """`text` with `name` for each pronoun of its family: She sold her boat. -> Ann Lee sold Ann Lee's boat.

    `auto`: he or she, whichever the text has more often; as many of both tell of two people, and the text stays as it
    is. Reflexives (herself) stay. English.
    """
    family = _family(text) if pronoun == "auto" else pronoun
    if family is None:
        return text

    def replaced(match: "re.Match[str]") -> str:
        word = match[0].lower()
        owned = word in POSSESSIVE or (word == "her" and not HER_AS_OBJECT.match(text, match.end()))
        return f"{name}'s" if owned else name

    return _pattern(family).sub(replaced, text)


def _family(text: str) -> str | None:
    counts = {family: len(_pattern(family).findall(text)) for family in PERSONS}
    most = max(counts.values())
    found = [family for family, n in counts.items() if n == most]
    return found[0] if most and len(found) == 1 else None


def _pattern(family: str) -> "re.Pattern[str]":
    """The words of a family, small or with a capital; a word all in capitals is an abbreviation."""
    words = "|".join(f"[{word[0]}{word[0].upper()}]{word[1:]}" for word in FAMILIES[family])
    return re.compile(rf"(?<![\w-])(?:{words})(?![\w-])")
