"""Labels of lines, by people and by a reference text."""

import re
from typing import Any

import pytest

from stages.refine.labels import (
    Document,
    align,
    draws_the_line,
    from_page,
    from_reference,
    is_held_back,
    labelled_rows,
    words,
)

REFERENCE = "The old mill\nThe mill stands at the mouth of the creek.\nIt has two clocks on the wall.\nThe old mill"
PAGE = [
    "Home",
    "The old mill",
    "The mill stands at the mouth of the creek.",
    "Share this page",
    "It has two clocks on the wall, says the miller.",
    "Mills of the world and where to find them",
    "",
    "© 2024",
]


def test_a_line_is_main_text_when_most_of_its_runs_of_three_words_are_in_the_reference() -> None:
    assert align(PAGE, REFERENCE) == [False, True, True, False, True, False, False, False]


def test_half_of_the_runs_are_not_most() -> None:
    # runs: a-b-c (there), b-c-x, c-x-y, x-y-z (not): one of four; then two of four
    assert align(["a b c x y z"], "a b c") == [False]
    assert align(["a b c d y z"], "a b c d") == [False]
    assert align(["a b c d e z"], "a b c d e") == [True]


def test_a_short_line_counts_where_it_stands() -> None:
    reference = "alpha beta gamma delta\nSetup\n" + " ".join(f"w{i}" for i in range(60))
    long = " ".join(f"w{i}" for i in range(60))
    assert align(["Setup", "menu", "alpha beta gamma delta", "Setup", long], reference) == [
        True,  # within `SLACK` words of where the reference has it
        False,
        True,
        True,
        True,
    ]
    assert align(["alpha beta gamma delta", long, "Setup"], reference) == [True, True, False]


def test_a_repeated_line_is_main_text_once_where_the_main_text_is() -> None:
    lines = [
        "See our big story today",
        "menu",
        "x",
        "y",
        "z",
        "v",
        "See our big story today",
        "One two three four five.",
    ]
    assert align(lines, "See our big story today\nOne two three four five.") == [False] * 6 + [True, True]


def test_scripts_without_spaces_go_by_character() -> None:
    assert words("首页 News 2024") == ["首", "页", "news", "2024"]
    assert align(["首页新闻", "英国央行预测通胀率"], "英国央行预测通胀率将下降") == [False, True]


def test_a_page_of_another_text_has_no_labels() -> None:
    assert from_reference("n", "s", "en", "x", "some other words are here", REFERENCE) is None
    assert from_reference("n", "s", "en", "x", "", REFERENCE) is None
    assert from_reference("n", "s", "en", "x", REFERENCE, "") is None


def test_a_page_is_extracted_in_each_way() -> None:
    paragraph = "The mill stands at the mouth of the creek and has two clocks on its wall, one for the tide. " * 4
    html = f"<html><body><ul><li><a href='/'>Home</a></li></ul><article><p>{paragraph}</p></article></body></html>"
    found = {d.source: d for d in from_page("u", "s", "en", html, paragraph)}
    assert set(found) == {"pages/all", "pages/main", "pages/recall"}
    both = [(line, keep) for line, keep in zip(found["pages/all"].lines, found["pages/all"].keep, strict=True) if line]
    assert [keep for _, keep in both] == [False, True]
    assert "Home" in both[0][0]


def test_rows_are_taken_as_they_are() -> None:
    rows = [{"doc": "de/1", "lang": "de", "lines": [" a  b ", "c"], "keep": [True, False]}]
    assert list(labelled_rows(rows, "people")) == [
        Document("de/1", "de/1", "de", "people", ("a b", "c"), (True, False))
    ]


@pytest.mark.parametrize(
    ("lines", "keep", "message"),
    [
        (["a"], [True, False], "row 0 (0): 1 lines and 2 keep flags; there should be one a line"),
        (["a", "b"], ["true", "false"], "row 0 (0): 'keep' should be a list of true and false, found ['true'"),
        (["a", None], [True, True], "row 0 (0): 'lines' should be a list of texts, found ['a', None]"),
        (None, [True], "row 0 (0): 'lines' should be a list of texts, found None"),
        (["a"], None, "row 0 (0): 'keep' should be a list of true and false, found None"),
    ],
)
def test_labels_that_are_none_are_refused(lines: Any, keep: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        list(labelled_rows([{"lines": lines, "keep": keep}], "people"))


def test_one_site_in_five_is_held_back() -> None:
    assert is_held_back("al.com") == is_held_back("al.com")
    assert 150 < sum(is_held_back(f"site{i}.example") for i in range(1000)) < 250


def test_half_of_those_held_back_draw_the_line() -> None:
    sites = [f"site{i}.example" for i in range(1000)]
    line = {site for site in sites if draws_the_line(site)}
    assert line <= {site for site in sites if is_held_back(site)}
    assert 70 < len(line) < 130
