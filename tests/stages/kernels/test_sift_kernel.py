"""Pages without their markup: what is text, what is prose, how many runs of letters and which words are in it."""

import re
import time
from html.entities import name2codepoint
from pathlib import Path

import pyarrow as pa
import pytest

from schemas import columns as c
from stages.extract import Page, Settings
from stages.gopher_quality import STOP_WORDS
from stages.kernels.sift import INLINE, Limits, forms_of, hashed, sift
from stages.read_warc import ReadWarc
from stages.stage import Piece
from stages.text.words import splitter

ALL = Limits(sample=1 << 20, segment=1, runs=1 << 40, words=1 << 40)
FORMS = forms_of(STOP_WORDS)


def pages(*values: str | None) -> pa.Array:
    return pa.array(values, c.TEXT)


def sample(html: str, **limits: int) -> str:
    """The sample without the blank behind its last segment."""
    found: str = sift(pages(html), FORMS, ALL._replace(**limits)).sample[0].as_py()
    return found.removesuffix(" ")


def counts(html: str) -> tuple[int, int]:
    """(runs, stop words)"""
    found = sift(pages(html), FORMS, ALL)
    return int(found.runs[0]), int(found.words[0])


def real_pages(archive: Path) -> list[str]:
    with archive.open("rb") as file:
        parts = [part for part in ReadWarc().open()(file, Piece("crawl")) if isinstance(part, pa.Table)]
    return [html for part in parts for html in part.column("html").to_pylist() if html is not None]


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("plain", "plain"),
        ("<p>one</p><p>two</p>", "one two"),
        ("an <b>inline</b> tag, a<br>break", "an inline tag, a break"),
        ("white \n\t  space", "white space"),
        ("<title>T</title><script>var a = '<p>no</p>'; b</script>text", "T text"),
        ("<STYLE type='text/css'>p { color: red }</style >text", "text"),
        ("<!-- no --><!DOCTYPE html><?xml version='1.0'?>text<!-- <p>no --> more", "text more"),
        ("<!-->one<!--->two<!-- no --!>three", "one two three"),
        ("<a title='x > y' href=\"z>\">link</a>", "link"),
        ("<a title=it's>link</a>", "link"),
        ("a < b, a <3 c, a << d", "a < b, a <3 c, a << d"),
        ("caf&eacute; &amp; t&#233;l&#xE9;&nbsp;&gt; &apos;", "café & télé > '"),
        ("&euro; &#8364; &thetasym; &#128512;", "€ € ϑ 😀"),
        ("&unknown; &; & &#; &#xZZ; &#0; &#55296; &#1114112; &#146; &copy", "&unknown; &; & &copy"),
        ("<svg><text>in</text></svg><noscript>shown</noscript><textarea>typed</textarea>", "in shown typed"),
    ],
)
def test_text_is_what_is_no_markup(html: str, text: str) -> None:
    assert sample(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("one <!-- two", "one two"),
        ("one <script>two", "one two"),
        ("one <b two", "one <b two"),
        ("one <a href='x>two", "one two"),
        ("one <", "one <"),
        ("one &amp", "one &amp"),
        ("<script src='x'/>one<p>two</p>", "one two"),
        ('<script type=\'application/ld+json\'>{"articleBody": "one"}</script>', '{"articleBody": "one"}'),
    ],
)
def test_what_a_parser_may_take_for_text_is_text(html: str, text: str) -> None:
    assert sample(html) == text


def test_other_scripts_with_data_are_none() -> None:
    assert sample('<script type=\'application/ld+json\'>{"@type": "Person"}</script>one') == "one"
    assert sample('<script type=\'application/json\'>{"articleBody": "two"}</script>one') == "one"


def test_short_segments_are_no_prose() -> None:
    html = "<li>Home<li>About us<p>A mill stands by the <i>river</i>.<p>1998"
    assert sample(html, segment=20) == "A mill stands by the river ."


def test_sample_ends_with_a_whole_character() -> None:
    assert [sample("<p>aä€😀", sample=n) for n in range(1, 12)] == [
        "a", "a", "aä", "aä", "aä", "aä€", "aä€", "aä€", "aä€", "aä€😀", "aä€😀"
    ]  # fmt: skip


def test_each_page_has_its_own() -> None:
    found = sift(pages("<p>the mill", None, "", "<p>the wheel of it</p>").slice(0, 4), FORMS, ALL)
    assert found.sample.to_pylist() == ["the mill ", "", "", "the wheel of it "]
    assert (found.runs.tolist(), found.words.tolist()) == ([2, 0, 0, 4], [1, 0, 0, 2])
    assert sift(pages("no", "<p>the mill", "no").slice(1, 1), FORMS, ALL).sample.to_pylist() == ["the mill "]
    assert sift(pages(), FORMS, ALL).sample.to_pylist() == []


def test_page_is_read_no_further_than_needed() -> None:
    html = "<p>the mill of the town</p><p>and the wheel</p><p>that is all</p>"
    found = sift(pages(html), FORMS, Limits(sample=10, segment=1, runs=5, words=2))
    assert (found.sample.to_pylist(), found.runs.tolist(), found.words.tolist()) == (["the mill o"], [5], [2])
    assert sift(pages(html), FORMS, Limits(sample=10, segment=1, runs=6, words=2)).runs.tolist() == [8]
    assert sift(pages(html), FORMS, Limits(sample=10, segment=1, runs=5, words=4)).words.tolist() == [4]


@pytest.mark.parametrize(
    ("text", "n"),
    [("", 0), ("... !? --", 0), ("don't", 2), ("10km", 2), ("a_b", 2), ("Größe", 1), ("Мельница у реки", 3),
     ("水车", 2), ("€5", 2), ("😀😀", 2), ("a<b>b</b>c", 3), ("“quoted”", 3)],
)  # fmt: skip
def test_runs(text: str, n: int) -> None:
    assert counts(text)[0] == n


@pytest.mark.parametrize(
    ("text", "n"),
    [("the", 1), ("the the", 1), ("The", 0), ("then", 0), ("“the”", 1), ("the/of", 2), ("the<b>of</b>and", 3),
     ("haven't", 1), ("havent thats", 2), ("with&nbsp;to", 2), ("&#116;he", 1), ("thé", 0)],
)  # fmt: skip
def test_words_looked_for(text: str, n: int) -> None:
    assert counts(text)[1] == n


def test_no_two_names_share_a_hash() -> None:
    names = {*INLINE, "script", "style", *name2codepoint}
    assert len({hashed(name) for name in names}) == len(names)


def test_bounds_hold_for_all_that_spacy_splits_in_its_own_way() -> None:
    split = splitter("en")
    specials = [*split.special_letters, "haven't", "haven’t", "can't've", "I'd've", "and/or", "10km", "a.m.", "of.the"]
    for chunk in specials:
        words = split.words(chunk)
        runs, found = counts(chunk)
        assert sum(any(ch.isalnum() for ch in word) for word in words) <= 3 * runs, chunk
        assert len({*words} & {*STOP_WORDS}) <= found, chunk


def test_bounds_hold_for_what_engines_extract_from_real_pages(shared: Path) -> None:
    found = 0
    split = splitter("en")
    for html in real_pages(shared / "crawl-dev.warc.gz")[::6]:
        runs, stop_words = counts(html)
        for engine in ("resiliparse", "trafilatura"):
            words = split.words(Page(engine, Settings())(html.encode()).decode())
            found += len(words)
            assert sum(re.search(r"\w", word) is not None for word in words) <= 3 * runs
            assert len({*words} & {*STOP_WORDS}) <= stop_words
    assert found > 10_000


@pytest.mark.parametrize(
    "piece",
    ["<!--", "<script>", "<style>", "<a ", "<a b='>", '<a b=">" ', "<a b=\">\" c='", "&#", "<script type=ld+json>",
     "</", "<script type=ld+json>articleBody", "<p>", "a<b>", "</script", "<!", "é", "<"],
)  # fmt: skip
def test_hostile_pages_take_linear_time(piece: str) -> None:
    counts("")  # compiles
    begun = time.thread_time()
    sift(pages(piece * (2_000_000 // len(piece)) + "</script>"), FORMS, ALL)
    sift(pages(piece * (2_000_000 // len(piece))), FORMS, ALL)
    assert time.thread_time() - begun < 2.0  # 0.05 s; a search to the end for each piece would be hours
