import time

import pytest

from stages.extract.metadata import Metadata, day_in_address, day_of, read_metadata

URL = "https://example.org/a/b.html"


def read(head: str, body: str = "", url: str | None = URL) -> Metadata:
    return read_metadata(f"<html><head>{head}</head><body>{body}</body></html>".encode(), url)


@pytest.mark.parametrize(
    ("head", "body", "title"),
    [
        ("<title>\n The  mill &amp; the <b>race</b> </title>", "<h1>Other</h1>", "The mill & the race"),
        ("<TITLE lang=en>The mill</TITLE>", "", "The mill"),
        ("<title>Mill | Site</title><meta property='og:title' content=\"The mill's race > all\">", "",
         "The mill's race > all"),
        ("", "<h1 class=x>The <em>mill</em></h1><h1>Second</h1>", "The mill"),
        ("<title></title>", "<p>text</p>", None),
        ("<title>never closed", "", None),
    ],
)  # fmt: skip
def test_title(head, body, title):
    assert read(head, body).title == title


@pytest.mark.parametrize(
    ("head", "body", "day"),
    [
        ("<meta property='article:published_time' content='2024-03-05T23:10:00+01:00'>", "", "2024-03-05"),
        ("<META NAME=\"DC.date.issued\" CONTENT=\"5 March 2024\">", "", "2024-03-05"),
        ("<script type='application/ld+json'>{\"datePublished\": \"2024-03-05\"}</script>", "", "2024-03-05"),
        ("", "<span itemprop=datePublished content=20240305>yesterday</span>", "2024-03-05"),
        ("", "<span itemprop='datePublished'>March 5th, 2024</span>", "2024-03-05"),
        ("", "<p>x<time datetime='2024-03-05 10:00'>today</time>", "2024-03-05"),
        ("", "<p>x<time>05.03.2024</time>", "2024-03-05"),
        ("", "<p class='post-date'>5. März 2024</p>", "2024-03-05"),
        ("<meta name=last-modified content=2024-03-05>", "", "2024-03-05"),
        ("<meta name=date content=soon>", "<p>written on 2024-03-05</p>", None),
    ],
)  # fmt: skip
def test_day_of_publication(head, body, day):
    assert read(head, body).published == day


def test_day_in_the_address_comes_last():
    assert read("", url="https://example.org/2012/01/06/mill").published == "2012-01-06"
    dated = "<meta name=pubdate content=2012-01-05>"
    assert read(dated, url="https://example.org/2012/01/06/mill").published == "2012-01-05"
    assert day_in_address("https://example.org/news/20120106-mill.html") == "2012-01-06"
    assert day_in_address("https://example.org/2012/13/06/mill") is None
    assert day_in_address(None) is None


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2024-3-5", "2024-03-05"),
        ("20240305T101500Z", "2024-03-05"),
        ("20240305101500", "2024-03-05"),
        ("5/3/2024", "2024-03-05"),
        ("3/25/2024", "2024-03-25"),
        ("Tue, 05 Mar 2024 10:15:00 GMT", "2024-03-05"),
        ("Mar 5, 2024", "2024-03-05"),
        ("5 de marzo de 2024", "2024-03-05"),
        ("le 5 février 2024", "2024-02-05"),
        ("2024-02-30", None),
        ("1889-01-01", None),
        ("March 2024", None),
        ("123456789012", None),
    ],
)
def test_ways_to_write_a_day(value, day):
    assert day_of(value) == day


@pytest.mark.parametrize(
    ("head", "url", "address"),
    [
        ("<link rel=canonical href='https://example.org/x?a=1&amp;b=2'>", URL, "https://example.org/x?a=1&b=2"),
        ("<link rel='canonical' href='../x'>", URL, "https://example.org/x"),
        ("<link rel=canonical href='//example.org/x'>", None, None),
        ("<link rel=canonical href='javascript:x'><meta property=og:url content=/y>", URL, "https://example.org/y"),
        ("<link rel=canonical href='http://[x'>", URL, None),
        ("<link rel=stylesheet href=canonical.css>", URL, None),
    ],
)
def test_canonical_address(head, url, address):
    assert read(head, url=url).canonical_url == address


@pytest.mark.parametrize(
    "page",
    [
        "", "<", "<title", "<meta", "<meta content='date", "<h1>", "<time", "date", "<p class=date", "datePublished",
        "<meta " * 1_000_000, "<meta date='a=\"b" * 200_000, ("<meta " + "a" * 3900 + " date>") * 1000,
        "<title>" * 300_000, ("<title><a" + "<" * 3900 + ">" + "</title>") * 1000, "<p class=date>" * 500_000,
        'ld+json "datePublished" : "' * 500_000,
    ],
    ids=range(17),
)  # fmt: skip
def test_any_page_is_read_in_a_moment(page):
    read("")  # compiles
    begun = time.thread_time()
    assert read_metadata(page.encode()).published is None
    assert time.thread_time() - begun < 2
