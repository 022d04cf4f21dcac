"""Spans that stand before: to the word, whatever the texts, the shards and the partitions."""

import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.barrier import Spreading
from stages.dedup import substring
from stages.dedup.substring import ExactSubstring, Winnowing
from tests.stages.kernels.test_minhash_kernel import ODD
from tests.stages.substring_reference import (
    by_suffix_array,
    by_tuples,
    carried_out,
    found_repeats,
    repeats,
    shards_of,
    words_of,
)

WEB = Path(__file__).parents[4] / "shared" / "data" / "webtext-dev.parquet"
LETTERS = st.text("abAB1 ,.\n", max_size=50)
ANYTHING = st.text(st.sampled_from(ODD + "ab" * 20 + " " * 20), max_size=50)


def test_both_are_shuffles_with_several_keys_a_row() -> None:
    assert isinstance(Winnowing(), Spreading)
    assert isinstance(ExactSubstring(), Spreading)
    assert Winnowing().fan_out == 37  # two keys for 26 windows, of 500
    assert ExactSubstring().fan_out == 150


@pytest.mark.parametrize(
    ("texts", "spans"),
    [
        (["one two three four five", "x one two three y"], [[], [(2, 16, "0")]]),  # from word to word
        (["one two three", "one two"], [[], []]),
        (["one two three", "One, TWO -- thrée!"], [[], [(0, 18, "0")]]),
        (["1 2 3", "1 2 4"], [[], []]),
        (["a b c", "z a b c", "y a b c x"], [[], [(2, 7, "0")], [(2, 8, "0")]]),
        (["a b c. d e f", "(a b c d e f"], [[], [(1, 12, "0")]]),  # longer than three: one span
        (["a b c", "d e f", "a b c d e f"], [[], [], [(0, 11, "0")]]),  # two that touch are one
        (["a b c", "d e f g", "a b c d e f g"], [[], [], [(0, 13, "1")]]),  # that of the longer
        (["a b c", "d e f", "a b c - x - d e f"], [[], [], [(0, 8, "0"), (12, 17, "1")]]),
        (["a b c d", "c d e f", "b c d e"], [[], [], [(0, 7, "0")]]),  # two that overlap are one
        (["a b c d", "b c", "c d e f"], [[], [], []]),
        (["x a b c a b c"], [[(8, 13, "0")]]),  # within a text
        (["a a a a a a a"], [[(6, 13, "0")]]),  # not where it overlaps its first place
        (["a a a a a"], [[]]),
        (["", "...", "a b c", "", "a b c"], [[], [], [], [], [(0, 5, "2")]]),
        (["今日は天気", "今日は雨"], [[], [(0, 3, "0")]]),  # without spaces, letters are words
    ],
)
@pytest.mark.parametrize("narrowed", [True, False])
def test_spans_of_three_words(texts: list[str], spans: list[list[tuple[int, int, str]]], narrowed: bool) -> None:
    rows = [(str(i), text) for i, text in enumerate(texts)]
    assert found_repeats(rows, 3, narrowed=narrowed) == spans
    assert repeats(rows, 3) == spans


def test_smallest_id_is_the_first_place_wherever_it_is_read() -> None:
    assert found_repeats([("b", "1 2 3"), ("c", "1 2 3"), ("a", "1 2 3")], 3, shards=3) == [
        [(0, 5, "a")], [(0, 5, "a")], [],
    ]  # fmt: skip


def test_of_rows_with_one_id_the_first_is_the_first_place() -> None:
    assert found_repeats([("a", "1 2 3"), ("a", "1 2 3")], 3, shards=2) == [[], [(0, 5, "a")]]


def test_null_texts_have_no_spans() -> None:
    assert found_repeats([("a", None), ("b", "1 2 3"), ("c", None), ("d", "1 2 3")], 3) == [[], [], [], [(0, 5, "b")]]


@settings(max_examples=100)
@given(st.lists(st.one_of(LETTERS, ANYTHING), max_size=6), st.integers(1, 6), st.booleans(), st.randoms())
def test_spans_are_those_of_the_definition(texts: list[str], size: int, narrowed: bool, chance: random.Random) -> None:
    rows = [(str(chance.randrange(9)), text) for text in texts]
    expected = repeats(rows, size)
    assert found_repeats(rows, size, chance.randint(1, 3), chance.randint(1, 5), narrowed) == expected


@settings(max_examples=100)
@given(st.lists(st.lists(st.sampled_from("ab"), max_size=30), max_size=4), st.integers(1, 6))
def test_references_agree(texts: list[list[str]], size: int) -> None:
    if any(texts):
        plain, arrays = by_tuples(texts, size), by_suffix_array(texts, size)
        pairs = {pair for one, two in zip(plain, arrays, strict=True) for pair in zip(one, two, strict=True)}
        assert len(pairs) == len({one for one, _ in pairs}) == len({two for _, two in pairs})


def planted(texts: list[str], chance: random.Random) -> list[str]:
    """`texts` with runs of 40 to 400 words of one put into another, or into the same."""
    split = [(text, [at for _, at in words_of(text)] + [len(text)]) for text in texts]
    for _ in range(len(texts)):
        (text, starts), into = chance.choice(split), chance.randrange(len(texts))
        begin = chance.randrange(len(starts))
        end = min(begin + chance.choice([40, 49, 50, 51, 60, 100, 400]), len(starts) - 1)
        at = chance.choice(split[into][1])
        changed = texts[into][:at] + " " + text[starts[begin] : starts[end]] + " " + texts[into][at:]
        if texts[into] is split[into][0]:  # once a text, since its places are those of the text before
            texts[into] = changed
    return texts


@pytest.mark.parametrize("lang", ["en", "zh", "ar"])
def test_spans_in_real_text_are_those_of_the_suffix_array(lang: str) -> None:
    if not WEB.exists():
        pytest.skip("needs the shared data")
    table = pq.read_table(WEB, columns=["text", "lang"], filters=[("lang", "=", lang)])
    texts = [text for text in table["text"].to_pylist() if text][:25]
    rows = [(f"{i * 7919 % 100:02}", text) for i, text in enumerate(planted(texts, random.Random(lang)))]
    expected = repeats(rows, 50, by_suffix_array)
    assert sum(map(len, expected)) >= 5
    assert found_repeats(rows, 50, shards=3, partitions=7) == expected


def test_one_word_a_million_times() -> None:
    """Keys do not become many where all windows are equal."""
    rows = [("a", "word " * 1_000_000), ("b", "word " * 60)]
    assert Winnowing().spread(shards_of(rows, 1)[0]).num_rows == 20_000 + 1
    assert found_repeats(rows, 50) == [[(250, 5_000_000, "a")], [(0, 300, "a")]]


def test_text_that_comes_again_and_again() -> None:
    period = " ".join(f"w{i}" for i in range(300)) + " "
    assert found_repeats([("a", period * 100)], 50) == [[(len(period), 100 * len(period), "a")]]


def test_regions_of_fewer_words_do_as_well() -> None:
    texts = ["q a b c d e f g", "x a b c d e y", "a b c z"]
    tables = carried_out(Winnowing(words=3), shards_of([(str(i), text) for i, text in enumerate(texts)], 1), 2)
    assert all(spans[0]["of"] is None for spans in tables[0]["repeats"].to_pylist())
    tables = carried_out(ExactSubstring(words=5), tables, 2)
    assert tables[0]["repeats"].to_pylist() == [None, [{"start": 2, "end": 12, "of": "0"}], None]


def test_text_whose_places_are_no_numbers_of_32_bits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(substring, "LONGEST", 5)
    with pytest.raises(ValueError, match="texts of up to 5 bytes; row 1 has 6"):
        Winnowing(words=2).spread(shards_of([("a", "1 2 3"), ("b", "1 2 34")], 1)[0])


def test_words_in_the_order_of_thue_and_morse_are_told_apart() -> None:
    """What polynomials modulo 2^64 do worst at."""
    order = [bin(i).count("1") % 2 for i in range(128)]
    rows = [(str(first), " ".join("ab"[first ^ bit] for bit in order)) for first in (0, 1)]
    assert found_repeats(rows, 128) == found_repeats(rows, 100) == [[], []]
    assert found_repeats(rows, 32) == repeats(rows, 32)


def test_settings_that_make_no_sense() -> None:
    for words in (0, 256):
        with pytest.raises(ValueError, match=f"Winnowing: words should be from 1 to 255, got {words}"):
            Winnowing(words=words)
    with pytest.raises(ValueError, match="ExactSubstring: mean_words should be at least 1, got -1"):
        ExactSubstring(mean_words=-1)
