import pytest
from datatrove.pipeline.filters import GopherQualityFilter

from stages.gopher_quality import STOP_WORDS, GopherQuality
from stages.stage import settings_of
from tests.stages.prose import MILL, TEXTS, defaults, distinct, real_texts, table, theirs, verdicts

PLAIN = "The mill of the village and its wheel are as old as the stream to the north with that name. " * 4

CASES = [
    (MILL, None),
    ("", "gopher_short_doc"),
    ("The and of to be. " * 9, "gopher_short_doc"),
    ("a of to I be it we as " * 8, "gopher_below_avg_threshold"),
    (" ".join(distinct(0, 60)) + " the and " + "extraordinarily" * 30, "gopher_above_avg_threshold"),
    (PLAIN + "#" * 20, "gopher_too_many_hashes"),
    (PLAIN + "... … " * 8, "gopher_too_many_ellipsis"),
    ("- the mill and the wheel\n• of the village\n" * 8, "gopher_too_many_bullets"),
    (PLAIN + "\nThe wheel and...\nThe mill…", "gopher_too_many_end_ellipsis"),
    (PLAIN + "1782 " * 30, "gopher_below_alpha_threshold"),
    ("Die Mühle steht am Bach unter dem Dorf, und das Rad dreht sich den ganzen Tag. " * 4, "gopher_enough_stop_words"),
    ("THE mill AND wheel OF stone TO BE kept. " * 9, "gopher_enough_stop_words"),
]
LOOSE = dict.fromkeys(("min_doc_words", "max_doc_words", "min_avg_word_length", "max_avg_word_length"))
LOOSE |= dict.fromkeys(("max_symbol_word_ratio", "max_bullet_lines_ratio", "max_ellipsis_lines_ratio"))
LOOSE |= dict.fromkeys(("max_non_alpha_words_ratio", "min_stop_words"))
STRICT = {"min_doc_words": 5, "min_avg_word_length": 4.2, "max_avg_word_length": 4.9, "max_symbol_word_ratio": 0.01}
STRICT |= {"max_bullet_lines_ratio": 0.1, "max_ellipsis_lines_ratio": 0.05, "max_non_alpha_words_ratio": 0.9}


@pytest.mark.parametrize(("text", "reason"), CASES, ids=[f"{i} {reason}" for i, (_, reason) in enumerate(CASES)])
def test_every_reason(text, reason):
    assert verdicts(GopherQuality(), text) == [(reason, text)]
    assert theirs(GopherQualityFilter(language="en"), text) == (reason, text)


def test_a_long_text():
    assert verdicts(GopherQuality(max_doc_words=100), MILL)[0][0] == "gopher_long_doc"
    assert theirs(GopherQualityFilter(max_doc_words=100), MILL)[0] == "gopher_long_doc"


def test_settings_and_defaults_are_datatroves():
    ours = {**settings_of(GopherQuality()), "stop_words": None}
    assert ours == {**defaults(GopherQualityFilter), "language": "en"}
    assert set(STOP_WORDS) == GopherQualityFilter().stop_words


def test_a_text_without_words_is_empty_where_datatrove_would_divide_by_zero():
    assert verdicts(GopherQuality(min_doc_words=None), "", " \n", None) == [
        ("empty", ""),
        ("empty", " \n"),
        ("empty", None),
    ]
    with pytest.warns(RuntimeWarning), pytest.raises(ZeroDivisionError):
        theirs(GopherQualityFilter(min_doc_words=None), "")


@pytest.mark.parametrize("settings_", [{}, STRICT, STRICT | {"min_stop_words": 5, "max_avg_word_length": None}])
def test_texts_are_judged_as_datatrove_does(settings_):
    block = GopherQualityFilter(**settings_, language="en")
    texts = [*TEXTS, *(text for text, _ in CASES)]
    assert verdicts(GopherQuality(**settings_), *texts) == [theirs(block, text) for text in texts]


def test_rules_that_are_none_are_off():
    texts = [text for text in (*TEXTS, *(text for text, _ in CASES)) if text.strip()]
    assert {reason for reason, _ in verdicts(GopherQuality(**LOOSE), *texts)} == {None}


def test_real_texts_are_judged_as_datatrove_does():
    texts = real_texts(10)
    block = GopherQualityFilter(language="en")
    assert verdicts(GopherQuality(), *texts) == [theirs(block, text) for text in texts]


def test_n_words_counts_every_word_of_every_row():
    rows = GopherQuality().open()(table("Don't stop.", None, "", "a b", chunked=True))
    assert rows.column("n_words").to_pylist() == [4, 0, 0, 2]
