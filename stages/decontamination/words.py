"""The words of a text, one splitter a rule: each word with where it begins and ends in the text, in code points."""

import re
import string
import sys
import unicodedata
from collections.abc import Callable, Iterator

from stages.text.simplify import simplify
from stages.text.words import splitter

Word = tuple[str, int, int]  # the word, first code point, behind its last
Words = Callable[[str], Iterator[Word]]

_SPACED = re.compile(r"\S+")
_WORD = re.compile(r"\w+")
_ANALYZED = re.compile(r'[^ ,.?!:;()"\-\n\\]+')
_PUNCTUATION = dict.fromkeys(
    [*map(ord, string.punctuation), *(p for p in range(sys.maxunicode + 1) if unicodedata.category(chr(p))[0] == "P")]
)


def gpt3(text: str) -> Iterator[Word]:
    """What white space separates, in lower case and without punctuation (arXiv 2005.14165, C.1)."""
    for match in _SPACED.finditer(text):
        word = match.group()
        if not word.isalnum():
            word = word.translate(_PUNCTUATION)
        if word:
            yield word.lower(), match.start(), match.end()


def tulu3(text: str) -> Iterator[Word]:
    """What the characters of TULU 3's analyzer separate, in lower case; a tab and an apostrophe are not among them."""
    for match in _ANALYZED.finditer(text):
        yield match.group().lower(), match.start(), match.end()


def cosmopedia(text: str) -> Iterator[Word]:
    """Runs of letters, digits and underscores, in lower case, without marks. Places are those without marks."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    for match in _WORD.finditer(plain.lower()):
        yield match.group(), match.start(), match.end()


def datatrove(text: str) -> Iterator[Word]:
    """The tokens of `simplify_text`, by datatrove's tokenizer for English. Places are those of the tokens."""
    for place, word in enumerate(splitter("en").words(simplify(text))):
        yield word, place, place + 1


SPLITTERS: dict[str, Words] = {"gpt3": gpt3, "tulu3": tulu3, "cosmopedia": cosmopedia, "datatrove": datatrove}

# What else words may be made of than letters and digits. A rule's words may have other symbols too, such as a sign of
# currency, and are found by the letters beside them; an n-gram without any letter makes every text be looked at.
SYMBOLS = {"gpt3": "", "tulu3": "#$%&'*+/<=>@[]^_`{|}~", "cosmopedia": "_", "datatrove": ""}
