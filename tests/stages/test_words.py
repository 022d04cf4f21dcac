import string
import sys

import pytest
from datatrove.utils.text import PUNCTUATION_SET, split_into_sentences
from datatrove.utils.text import TERMINAL_PUNCTUATION as THEIR_TERMINAL_PUNCTUATION
from datatrove.utils.word_tokenizers import load_word_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.text.memo import Memo
from stages.text.punctuation import PUNCTUATION, TERMINAL_PUNCTUATION
from stages.text.words import check_language, splitter
from tests.stages.prose import TEXTS, real_texts

PIECES = ["''", "'", '"', "(", ")", ".", "..", "...", ",", ":", ";", "-", "—", "_", "^", "*", "/", "<", ">", "°", "km"]
PIECES += [" ", "  ", "\n", "\u00a0", "\u3000", "\x1c", "a", "B", "é", "1", "5", "中", "。", "p.m.", ":-)", "n't", "'s"]
PIECES += ["(>_<)", "http://a.b/c", "x@y.de", "US$", "Ph.D.", "EE. UU.", "и др.", "z. B.", "aujourd'hui", "IS_ALPHAs"]


def assert_as_datatrove(text, language="en"):
    split = splitter(language)
    sentences = split_into_sentences(text, language)
    assert split.words(text) == load_word_tokenizer(language).word_tokenize(text)
    assert split.sentences(text) == sentences
    assert split.count_sentences(text) == len(sentences)


def test_words_of_english():
    text = "Don't e-mail me, it's $5.50 at 3p.m. (U.S. time)..."
    words = ["Do", "n't", "e", "-", "mail", "me", ",", "it", "'s", "$", "5.50", "at", "3", "p.m.", "(", "U.S.", "time"]
    assert splitter("en").words(text) == [*words, ")", "..."]


def test_sentences_of_english():
    text = 'It rained. "Really?" he said!  Yes... No. '
    assert splitter("en").sentences(text) == ['It rained. "', 'Really?"', " he said!", "  Yes... No. "]


def test_a_text_without_words_is_one_sentence():
    assert splitter("en").words(" \n ") == []
    assert splitter("en").sentences("") == [""]
    assert splitter("en").count_sentences("") == 1


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "ru"])
@pytest.mark.parametrize("text", TEXTS)
def test_words_and_sentences_are_datatroves(text, language):
    assert_as_datatrove(text, language)


@settings(max_examples=300)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_any_unicode_is_split_as_datatrove_does(text):
    assert_as_datatrove(text)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join), st.sampled_from(["en", "fr", "es", "ru"]))
def test_affixes_and_special_cases_are_split_as_datatrove_does(text, language):
    assert_as_datatrove(text, language)


@pytest.mark.parametrize(("language", "every"), [("en", 12), ("de", 40), ("fr", 40)])
def test_real_texts_are_split_as_datatrove_does(language, every):
    for text in real_texts(every):
        assert_as_datatrove(text, language)


def test_quotes_apart_depend_on_the_chunk_before():
    assert splitter("en").words("''b") == ["''", "b"]
    assert splitter("en").words("a.'' ''b") == ["a.", "''", "'", "'", "b"]
    assert_as_datatrove("a.'' ''b")


def test_a_special_case_may_reach_across_white_space():
    assert splitter("es").words("en EE. UU. hoy") == ["en", "EE. UU.", "hoy"]
    assert splitter("es").words("en EE.\nUU. hoy") == load_word_tokenizer("es").word_tokenize("en EE.\nUU. hoy")


def test_the_word_is_alpha_is_a_word():
    # datatrove keeps it in the first text of a process, and cuts it out of all later ones: spaCy fails on it.
    assert splitter("en").words("the flag IS_ALPHA.") == ["the", "flag", "IS_ALPHA", "."]


@pytest.mark.parametrize(
    "chunk",
    [
        "(" * 700 + "abc" + ")" * 600,
        "." * 1500,
        "a" + "." * 1500,
        "x" * 5000 + ".",
        "中文，句子。" * 500,
        "a,b" * 1000,
        "''" * 200 + "x",
        "5km" * 400 + "km",
        "$" * 40 + "." * 90 + "a",
        "http://a.b/" + "c" * 3000,
        "#" * 30 + "a!" * 99,
    ],
    ids=lambda chunk: chunk[:4],
)
def test_a_long_chunk_is_split_as_datatrove_does(chunk):
    assert_as_datatrove(chunk)


@pytest.mark.parametrize("marks", [*string.punctuation, *"…“—§€😀", "!?", "<>", "``", "''", "+.", ":)", "$.", "'s"])
def test_a_run_of_marks_is_split_as_datatrove_does(marks):
    run = marks * (100 // len(marks))
    for chunk in (run, f"a{run}", f"1{run}b", f"{run}1.", f":){run}", f"{run}can't", f"{run}$+"):
        assert_as_datatrove(chunk)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("piece", ["x", "ab+/", "(", "a:", "a@b.", ".", "<", "<>", "!?", "``", "$", "+<", ":)", "😀"])
def test_a_very_long_chunk_takes_linear_time(piece):
    chunk = piece * (200_000 // len(piece))
    assert "".join(splitter("en").words(chunk)) == chunk
    assert len(splitter("en").sentences(chunk)) >= 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("我能吞下玻璃。", ["我", "能", "吞", "下", "玻", "璃", "。"]),
        ("ガラスを食べ", ["ガ", "ラ", "ス", "を", "食", "べ"]),
        ("ฉันกิน", ["ฉั", "น", "กิ", "น"]),
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया", "।"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("don't 3.14, 1,000 e-mail", ["don't", "3.14", ",", "1,000", "e", "-", "mail"]),
    ],
)
def test_unicode_splits_any_script(text, words):
    assert splitter("unicode").words(text) == words


def test_sentences_of_any_script():
    assert splitter("unicode").sentences("我能吞下玻璃。好。 是吗？") == ["我能吞下玻璃。", "好。", " 是吗？"]


@pytest.mark.parametrize(
    ("language", "message"),
    [
        ("zh", "needs the package jieba.*language='unicode'"),
        ("ja", "needs the package sudachipy.*language='unicode'"),
        ("xq", "no word rules for it.*language='unicode'"),
        ("EN", "did you mean 'en'"),
        ("unicod", "no word rules"),
    ],
)
def test_a_language_without_rules_is_an_error_that_names_the_way_out(language, message):
    with pytest.raises(ValueError, match=message):
        check_language(language)


def test_memo_remembers_within_its_bounds():
    asked = []
    memo = Memo(lambda key: asked.append(key) or key.upper(), max_entries=2, max_key=3)
    assert [memo[key] for key in ("a", "a", "long", "long")] == ["A", "A", "LONG", "LONG"]
    assert asked == ["a", "long", "long"]
    assert memo["b"] == "B" and len(memo) == 2
    assert memo["c"] == "C" and list(memo) == ["c"]


def test_memo_is_bounded_in_bytes():
    memo = Memo(lambda key: (key, key), max_bytes=2000)
    for n in range(100):
        assert memo[f"key{n}"] == (f"key{n}", f"key{n}")
        assert memo.n_bytes == sum(sys.getsizeof(k) + sys.getsizeof(v) + 2 * sys.getsizeof(k) for k, v in memo.items())
        assert memo.n_bytes <= 2000


def test_punctuation_is_datatroves():
    assert PUNCTUATION == PUNCTUATION_SET
    assert TERMINAL_PUNCTUATION == THEIR_TERMINAL_PUNCTUATION
