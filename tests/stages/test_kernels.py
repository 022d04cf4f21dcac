import itertools
import string
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.c4_quality import C4Quality, Cleaned
from stages.gopher_quality import STOP_WORDS
from stages.kernels import utf8
from stages.kernels.chunks import ChunkTable, chunk_table
from stages.kernels.lines import PHRASES, Rules, keep_lines
from stages.kernels.quality import count_quality, stop_words_of
from stages.kernels.repetition import count_repetition
from stages.text.words import splitter
from tests.stages.kernel_references import quality, repetition
from tests.stages.prose import MILL, TEXTS, real_texts
from tests.stages.test_words import PIECES

TOP, DUPLICATED = (1, 2, 3, 5), (2, 3, 5, 10)
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
MIXED = st.lists(
    st.sampled_from([*PIECES, "the", "of", "\r\n", "\x85", "\u2028", "\0", "…", "• ", "-", "#"]) | ANY, max_size=25
)
LANGUAGES = st.sampled_from(["en", "es", "de", "unicode"])


def array(*texts):
    return pa.array(texts, pa.large_string())


def assert_counts(table, language, *texts):
    words = [splitter(language).words(text or "") for text in texts]
    expected = [quality(t or "", w, STOP_WORDS) for t, w in zip(texts, words, strict=True)]
    assert count_quality(table, array(*texts), stop_words_of(STOP_WORDS)) == expected
    expected = [repetition(t or "", w, TOP, DUPLICATED) for t, w in zip(texts, words, strict=True)]
    assert count_repetition(table, array(*texts), TOP, DUPLICATED) == expected


def assert_lines(table, language, *texts, **settings_):
    stage = C4Quality(filter_no_terminal_punct=bool(settings_), language=language, **settings_)
    kept, left = keep_lines(table, array(*texts), Rules(*(getattr(stage, name) for name in Rules._fields)))
    for i, (text, lines) in enumerate(zip(texts, kept, strict=True)):
        cleaned = stage.clean(text, splitter(language))
        if i in left:
            continue
        if cleaned.edits:
            rule = "+".join(sorted(lines.fired)) or "white_space"
            assert (lines.text, rule) == (cleaned.text, cleaned.edits[0].rule)
            assert lines.n_chars == len(text)
        else:
            assert (lines.text, Cleaned(text, lines.reason, [])) == (None, cleaned)


@settings(max_examples=300)
@given(st.lists(MIXED.map("".join), max_size=3), LANGUAGES)
def test_any_text_is_counted_as_the_references_do(texts, language):
    assert_counts(chunk_table(language), language, *texts)


@settings(max_examples=200)
@given(st.lists(st.sampled_from(["a", "b", "ab", "aB", "é", "\n", "\n\n", " ", "a b"]), max_size=80).map("".join))
def test_repetitive_texts_are_counted_as_the_references_do(text):
    assert_counts(chunk_table("en"), "en", text)


@settings(max_examples=300)
@given(
    st.lists(st.lists(MIXED.map("".join) | st.sampled_from(PHRASES), max_size=4).map("\n".join), max_size=3), LANGUAGES
)
def test_lines_are_kept_as_python_does(texts, language):
    assert_lines(chunk_table(language), language, *texts)
    assert_lines(chunk_table(language), language, *texts, min_num_sentences=-1, max_word_length=4, min_words_per_line=1)


def test_real_texts_are_counted_and_kept_as_python_does():
    texts = [*TEXTS, *real_texts(40)]
    assert_counts(chunk_table("en"), "en", *texts, None)
    assert_lines(chunk_table("en"), "en", *texts)


@pytest.mark.parametrize(
    "line", ["a loreM Ipsum b", "we use coo\u212aies here", "our Cookie Policy here", "\u0130ava javaScript on"]
)
def test_phrases_are_found_in_either_case(line):
    assert_lines(chunk_table("en"), "en", MILL + "\n" + line, MILL + "\n" + line + " { bracket")


def test_no_character_but_capitals_and_the_kelvin_sign_is_a_letter_of_a_phrase_in_lower_case():
    folded = {
        c for c in map(chr, range(128, sys.maxunicode + 1)) if any(x in string.ascii_lowercase for x in c.lower())
    }
    assert folded == {"\u212a", "\u0130"}  # the latter is an i and a dot above, which no phrase has


def test_white_space_and_line_breaks_are_pythons():
    for char in map(chr, [*range(0xD800), *range(0xE000, 0x11000)]):
        data = np.frombuffer(("x" + char + "x").encode(), np.uint8)
        size = len(data) - 2
        assert utf8.space_at(data, 1) == size * char.isspace()
        assert utf8.space_before(data, 0, len(data) - 1) == size * char.isspace()
        assert utf8.break_at(data, 1, len(data)) == size * (len(f"x{char}x".splitlines()) == 2)


def test_a_chunk_of_ascii_letters_is_one_english_word_unless_it_is_special():
    split = splitter("en")
    special = set(split.special_letters)
    assert {"cannot", "dont"} < special
    for n in (1, 2, 3):
        for letters in itertools.product("abkmnstAKSUX", repeat=n):
            word = "".join(letters)
            assert word in special or split.chunk(word)[:3] == ((word,), (0, False, 1, False), False)


def test_words_that_depend_on_the_chunks_beside_them_are_left_for_python():
    stop_words = stop_words_of(())
    table = chunk_table("en")
    left = table.run(lambda *_: None, array("a"))
    assert left.tolist() == []
    assert_counts(table, "en", "a.'' ''b", "It is (so): yes.", "''b", "see it :) (well):")
    assert count_quality(table, array("a.'' ''b"), stop_words)[0].words == 5


def test_a_phrase_across_chunks_is_left_for_python():
    assert chunk_table("es").run(lambda *_: None, array("en EE. UU. hoy", "en casa", None)).tolist() == [0]
    assert_counts(chunk_table("es"), "es", "en EE. UU. hoy", "en casa")


def test_a_table_that_is_too_small_gives_the_same_counts():
    table = ChunkTable(splitter("en"), max_entries=512, max_unknown=16)
    texts = [" ".join(f"{i}-{j}," for j in range(i)) for i in (5, 30, 600, 3)]
    assert_counts(table, "en", *texts, *TEXTS)
    assert len(table) <= 512


def test_slices_nulls_and_empty_arrays():
    values = array("x", "the mill", None, "", "of it")
    assert [n.words for n in count_quality(chunk_table("en"), values[1:], stop_words_of(STOP_WORDS))] == [2, 0, 0, 2]
    assert count_quality(chunk_table("en"), values[:0], stop_words_of(())) == []
    assert count_repetition(chunk_table("en"), pa.nulls(2, pa.large_string()), (2,), ())[1].n_chars == 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "text", ["x" * 5_000_000, "a b " * 1_250_000, "\n" * 5_000_000, "x, " * 1_600_000], ids=lambda t: t[:4]
)
def test_five_megabytes_take_a_moment(text):
    counts = count_quality(chunk_table("en"), array(text), stop_words_of(STOP_WORDS))
    assert counts[0].no_symbols == len(text.replace(",", "").split())
    found = count_repetition(chunk_table("en"), array(text), (2, 4), (5, 10))
    assert found[0].n_chars == len(text)
