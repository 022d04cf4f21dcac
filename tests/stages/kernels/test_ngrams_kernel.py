"""The screen may stop too much, and never too little."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.decontamination.words import SPLITTERS, SYMBOLS
from stages.kernels.ngrams import BLOCK, may_contain, screen_for

ODD = "abc dont'.,-=_\t\n 1234\u0130\u03a3\u03c2\u00e9e\u0301\uac00\u1100\u1161\u212a\u0662\u093c\u0929"
FOX = "the quick brown fox jumps over the lazy dog"


def stopped(strings, *texts, **how):
    return may_contain(pa.array(texts, pa.large_string()), screen_for(strings, **how)).tolist()


def test_screen_finds_words_whatever_stands_between_them():
    texts = [
        f"And then {FOX}.",
        "THE QUICK (brown)\n\nfox -- jumps; over thé lazy-dog",
        "the quick brown fox jumps under the lazy dog",
        "bathe quick brown fox jumps over the lazy dog",
        "",
        None,
    ]
    assert stopped([FOX], *texts) == [True, True, False, False, False, False]


def test_screen_anywhere_finds_words_within_a_run_of_letters():
    text = "can" + FOX.replace(" ", "")
    assert stopped([FOX], text) == [False]
    assert stopped([FOX], text, anywhere=True) == [True]


def test_screen_numbers_are_one_zero_with_a_fraction():
    texts = ["a 12.5 b 1 2 c", "a 12.5.3 b 1 c", "a 1 b 2 3 c", "a b c"]
    assert stopped(["a 0 b 0 0 c"], *texts, anywhere=True, numbers=True) == [True, False, True, False]


def test_screen_knows_strings_of_any_length_side_by_side():
    strings = ["x", "ab cd", FOX, f"{FOX} {FOX}"]
    assert stopped(strings, "x", "ab cd", FOX, "axb abd c", "zz") == [True, True, True, False, False]


def test_screen_string_without_letters_stops_every_text():
    assert stopped(["= = ="], "anything", None) == [True, False]
    assert stopped(["= = ="], "anything", "a = = = b", symbols="=") == [False, True]


@pytest.mark.parametrize("before", [0, 1, BLOCK - 48, BLOCK - 20, BLOCK - 1, BLOCK, 3 * BLOCK - 5])
def test_screen_finds_strings_across_blocks(before):
    long = f"{FOX} {FOX}"  # longer than the most letters that are looked at
    assert stopped([long], "y " * before + long + " y" * 10, "y " * before + FOX) == [True, False]


def test_screen_of_nothing_stops_nothing():
    assert stopped([], FOX) == [False]


@given(
    rule=st.sampled_from(sorted(SPLITTERS)),
    parts=st.lists(
        st.text(
            alphabet=st.one_of(
                st.sampled_from(ODD),
                st.characters(exclude_categories=("Cs",)),
            ),
            max_size=30,
        ),
        min_size=3,
        max_size=3,
    ),
    n=st.integers(1, 4),
)
@settings(max_examples=300)
def test_screen_stops_every_text_that_has_the_words(rule, parts, n):
    """Whatever n-gram of one text another has, by the rule's own words, the screen stops that other."""
    first, second = parts[0] + " " + parts[1], parts[2] + " " + parts[1].upper()
    exact = rule == "datatrove"

    def ngrams(text):
        words = [word for word, _, _ in SPLITTERS[rule](text)]
        return {" ".join(words[i : i + n]) for i in range(len(words) - n + 1)}

    shared = sorted(ngrams(first) & ngrams(second))
    for ngram in shared[:5]:
        assert stopped([ngram], second, symbols=SYMBOLS[rule], anywhere=exact, numbers=exact) == [True]
