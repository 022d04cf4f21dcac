import re

import pytest
from spacy.util import compile_prefix_regex, compile_suffix_regex

from stages.text.affixes import ALONE, DOUBTFUL, NONE, Affixes

PREFIXES = ["<", r"\(", "[¶§]", r"\+(?![0-9])", r"\.\.+", r"US\$"]
SUFFIXES = [">", r"\.\.+", "'s", "(?<=[0-9])(?:km|µ)", r"(?<=[a-z%(?:'|»)])\."]


def prefixes(pieces=PREFIXES):
    return Affixes(compile_prefix_regex(pieces).search, pieces, at_end=False)


def suffixes(pieces=SUFFIXES):
    return Affixes(compile_suffix_regex(pieces).search, pieces, at_end=True)


def test_a_character_tells_an_affix_that_is_one_character():
    assert {char: prefixes().kind(char) for char in "<(¶a.+U$"} == {
        **dict.fromkeys("<(¶", ALONE),
        **dict.fromkeys("a$", NONE),
        **dict.fromkeys(".+U", DOUBTFUL),
    }
    assert {char: suffixes().kind(char) for char in ">'k.smµ"} == {
        **dict.fromkeys(">", ALONE),
        **dict.fromkeys("'k", NONE),
        **dict.fromkeys(".smµ", DOUBTFUL),
    }


@pytest.mark.parametrize(
    ("chunk", "length"),
    [("<b", 1), ("a<", 0), ("+1", 0), ("++", 1), ("..a", 2), (".a", 0), ("." * 99, 99), ("US$5", 3), ("UK", 0)],
)
def test_prefix(chunk, length):
    assert prefixes().length(chunk, 0, len(chunk)) == length
    assert prefixes().length(f"({chunk})", 1, len(chunk) + 1) == length


@pytest.mark.parametrize(
    ("chunk", "length"),
    [("b>", 1), (">b", 0), ("it's", 2), ("yes", 0), ("5km", 2), ("5µ", 1), ("km", 0), ("a.", 1), ("1.", 0), ("..", 2)],
)
def test_suffix(chunk, length):
    assert suffixes().length(chunk, 0, len(chunk)) == length
    assert suffixes().length(f"<{chunk}", 1, len(chunk) + 1) == length


def test_a_run_of_affixes_of_one_character():
    assert prefixes().run("<(<+<", 0, 5) == 3
    assert prefixes().run("<(<+<", 0, 2) == 2
    assert suffixes().run("><b>>>", 0, 6) == 3


@pytest.mark.parametrize("piece", ["a|b", "x*", r"[0-9]+", r"\d", "(?:a|b)?", "ab?"])
def test_a_piece_that_is_not_plain_leaves_every_character_in_doubt(piece):
    assert prefixes(["<", piece]).kind("<") == DOUBTFUL
    assert prefixes(["<", piece]).length("<a", 0, 2) == 1


def test_a_search_that_is_not_made_of_the_pieces_is_asked():
    affixes = Affixes(re.compile("^<<").search, ["<"], at_end=False)
    assert affixes.kind("<") == DOUBTFUL
    assert affixes.length("<<<", 0, 3) == 2
    assert Affixes(None, ["<"], at_end=False).length("<<<", 0, 3) == 0
