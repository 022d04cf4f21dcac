from itertools import chain

import pytest
from datatrove.pipeline.filters import GopherRepetitionFilter
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.gopher_repetition import GopherRepetition
from stages.stage import settings_of
from tests.stages.prose import TEXTS, defaults, distinct, real_texts, theirs, verdicts

LONG = "A paragraph that is long enough to weigh more than the rest of the text does."


def repeated(n: int, total: int) -> str:
    """`total` words of nine letters, of which three times `n` come again, the three apart from one another."""
    words = iter(distinct(0, total - 3 * n))
    first = [[next(words) for _ in range(n)] for _ in range(3)]
    again = [word for block in first for word in (*block, next(words))]
    return " ".join([*chain(*first), *words, *again])


def frequent(n: int, times: int, total: int) -> str:
    """`total` words of nine letters, with the same `n` words `times` times, each time before another word."""
    other, same = iter(distinct(0, total)), distinct(total, total + n)
    words = [word for _ in range(times) for word in (*same, next(other))]
    return " ".join([*words, *(next(other) for _ in range(total - len(words)))])


CASES = [
    ("", "empty"),
    ("one two three\n\none two three\n\nfour five six", "dup_para_frac"),
    (f"{LONG}\n\nOne.\n\nTwo.\n\n{LONG}", "dup_para_char_frac"),
    ("one two three\none two three\nfour five six", "dup_line_frac"),
    (f"{LONG}\nOne.\nTwo.\n{LONG}", "dup_line_char_frac"),
    (frequent(2, times=12, total=100), "top_2_gram"),
    (frequent(3, times=8, total=100), "top_3_gram"),
    (frequent(4, times=5, total=100), "top_4_gram"),
    (repeated(5, total=81), "duplicated_5_n_grams"),
    (repeated(6, total=108), "duplicated_6_n_grams"),
    (repeated(7, total=135), "duplicated_7_n_grams"),
    (repeated(8, total=162), "duplicated_8_n_grams"),
    (repeated(9, total=204), "duplicated_9_n_grams"),
    (repeated(10, total=243), "duplicated_10_n_grams"),
    (repeated(10, total=330), None),
    ("  ", None),
]


@pytest.mark.parametrize(("text", "reason"), CASES, ids=[str(reason) for _, reason in CASES])
def test_every_reason(text, reason):
    assert verdicts(GopherRepetition(), text) == [(reason, text)]
    assert theirs(GopherRepetitionFilter(language="en"), text) == (reason, text)


def test_settings_and_defaults_are_datatroves():
    assert {
        k: tuple(map(tuple, v)) if isinstance(v, list) else v for k, v in settings_of(GopherRepetition()).items()
    } == {
        **defaults(GopherRepetitionFilter),
        "language": "en",
    }


@pytest.mark.parametrize("rule", ["dup_line_frac", "dup_para_frac", "dup_line_char_frac", "dup_para_char_frac"])
def test_a_rule_that_is_none_is_off(rule):
    text = next(text for text, reason in CASES if reason == rule)
    off = {rule: None, "dup_n_grams": (), "top_n_grams": ()}
    assert verdicts(GopherRepetition(**off), text) == [(theirs(GopherRepetitionFilter(**off), text)[0], text)]
    assert verdicts(GopherRepetition(**off), text)[0][0] != rule


def test_a_share_equal_to_its_threshold_stays():
    assert verdicts(GopherRepetition(dup_para_frac=0.5, dup_para_char_frac=None, dup_line_frac=None), "a b\n\na b")[
        0
    ] == (theirs(GopherRepetitionFilter(dup_para_frac=0.5, dup_para_char_frac=None, dup_line_frac=None), "a b\n\na b"))


STRICT = {
    "dup_line_frac": None,
    "dup_para_frac": None,
    "dup_line_char_frac": None,
    "dup_para_char_frac": None,
    "top_n_grams": ((1, 0.3), (2, 0.1), (5, 0.02)),
    "dup_n_grams": ((8, 0.01), (2, 0.3), (3, 0.1), (12, 0.001)),
}


@pytest.mark.parametrize("settings_", [{}, {"top_n_grams": ()}, STRICT], ids=["defaults", "no top", "strict"])
def test_texts_are_judged_as_datatrove_does(settings_):
    block = GopherRepetitionFilter(**settings_, language="en")
    texts = [*TEXTS, *(text for text, _ in CASES)]
    assert verdicts(GopherRepetition(**settings_), *texts) == [theirs(block, text) for text in texts]


@settings(max_examples=200)
@given(st.lists(st.sampled_from(["a", "b", "ab", "ba", "a b", "\n", "\n\n", " ", "c.", "é"]), max_size=60).map("".join))
def test_repetitive_texts_are_judged_as_datatrove_does(text):
    for settings_ in ({}, STRICT):
        expected = theirs(GopherRepetitionFilter(**settings_, language="en"), text)
        assert verdicts(GopherRepetition(**settings_), text) == [expected]


def test_real_texts_are_judged_as_datatrove_does():
    texts = real_texts(10)
    block = GopherRepetitionFilter(language="en")
    assert verdicts(GopherRepetition(), *texts) == [theirs(block, text) for text in texts]


def test_an_n_gram_of_no_words_is_an_error():
    with pytest.raises(ValueError, match="at least one word, found n=0"):
        GopherRepetition(top_n_grams=((0, 0.1),))
