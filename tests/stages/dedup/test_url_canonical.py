"""One spelling for all addresses of a page, rule by rule: literal in, literal out."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stages.dedup.sites import host_in, site_of
from stages.dedup.url_canonical import TRACKING, canonical

PAGE = "http://example.org/a/b"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a/b",
        "https://example.org/a/b",
        "HTTP://EXAMPLE.org/a/b",
        "//example.org/a/b",
        "http://www.example.org/a/b",
        "https://www.www.example.org/a/b",
        "http://example.org./a/b",
        "http://example.org:80/a/b",
        "https://example.org:443/a/b",
        "http://example.org:0080/a/b",
        "http://example.org:/a/b",
        "http://me@example.org/a/b",
        "http://me:p@ss@example.org/a/b",
        "http://ex%61mple.org/a/b",
        "http://\uff45xample\u3002org/a/b",
        "http://example.org/a/b/",
        "http://example.org/a/b//",
        "http://example.org/a/b#top",
        "http://example.org/a/b/#",
        "http://example.org/a/b?",
        "http://example.org/a/b?&&",
        "http://example.org/a/b?#x?y",
        "http://example.org/./a/x/../b",
        "http://example.org/../a/b/.",
        "http://example.org/%61/%62",
        "http://example.org/a/%2E/b",
        "http://example.org/a/x/%2e%2E/b",
        "http:\\\\example.org\\a\\b",
        " \n\thttp://example.org/a/b\r\n",
        "http://exam\nple.org/a\t/b",
        "http://example.org/a;jsessionid=0F3A/b;JSESSIONID=9",
        "http://example.org/a/b?utm_source=x&UTM_Campaign=y&gclid=1&fbclid=2",
        "http://example.org/a/b?utm%5Fmedium=mail",
        "http://example.org/a/b?amp;utm_source=x&amp;amp;utm_medium=y",
        "http://example.org/a/b?PHPSESSID=1&sid=0123456789abcdef0123456789ABCDEF",
    ],
)
def test_one_page(url: str) -> None:
    assert canonical(url) == PAGE


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("https://Example.org", "http://example.org"),
        ("https://example.org/", "http://example.org"),
        ("https://example.org?b", "http://example.org?b"),
        ("https://example.org/?b", "http://example.org?b"),
        ("http://example.org/A/B.html", "http://example.org/A/B.html"),
        ("http://example.org//a//b", "http://example.org//a//b"),
        ("http://example.org/a?b=2&a=1&b=1&c", "http://example.org/a?a=1&b=2&b=1&c"),
        ("http://example.org/a?b=&a", "http://example.org/a?a&b="),
        ("http://example.org/a?a=1&amp;b=x+y", "http://example.org/a?a=1&b=x%20y"),
        ("http://example.org/a?q=%7e%2f%C3%a9&r=\u00e9 |", "http://example.org/a?q=~%2F%C3%A9&r=%C3%A9%20%7C"),
        ("http://example.org/a?sid=7&s=shoes&utmost=1", "http://example.org/a?s=shoes&sid=7&utmost=1"),
        ("http://example.org/%7Euser/%e4%bd%a0", "http://example.org/~user/%E4%BD%A0"),
        ("http://example.org/\u4f60\u597d [1]", "http://example.org/%E4%BD%A0%E5%A5%BD%20%5B1%5D"),
        ("http://example.org/100%/%zz%2", "http://example.org/100%/%zz%2"),
        ("http://example.org/%2541", "http://example.org/%2541"),
        ("http://example.org/a;b=c;v=1", "http://example.org/a;b=c;v=1"),
        ("http://example.org/...", "http://example.org/..."),
        ("http://example.org:8080/a", "http://example.org:8080/a"),
        ("https://example.org:80/a", "http://example.org/a"),
        ("ftp://example.org:21/a/", "ftp://example.org/a"),
        ("ftp://example.org:80/a", "ftp://example.org:80/a"),
        ("http://www.com/a", "http://www.com/a"),
        ("http://www2.example.org/", "http://www2.example.org"),
        ("http://localhost/a", "http://localhost/a"),
        ("http://192.168.0.1:8000/", "http://192.168.0.1:8000"),
        ("http://[2001:DB8:0:0::1]:80/a", "http://[2001:db8::1]/a"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://b\u00fccher.example/", "http://xn--bcher-kva.example"),
        ("http://B\u00dcCHER.example/", "http://xn--bcher-kva.example"),
        ("http://xn--bcher-kva.example/", "http://xn--bcher-kva.example"),
        ("http://b%C3%BCcher.example/", "http://xn--bcher-kva.example"),
        ("http://\u4f8b\u3048.jp/", "http://xn--r8jz45g.jp"),
        ("http://my_host.example/", "http://my_host.example"),
    ],
)
def test_forms(url: str, form: str) -> None:
    assert canonical(url) == form
    assert canonical(form) == form


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("", ""),
        ("   ", ""),
        ("no address", "no address"),
        ("/news/uk-63960289", "/news/uk-63960289"),
        ("mailto:Me@Example.org", "mailto:Me@Example.org"),
        ("urn:uuid:1", "urn:uuid:1"),
        ("http:", "http:"),
        ("http://", "http://"),
        ("http:///a", "http:///a"),
        ("http://a:b:80/c", "http://a:b:80/c"),
        ("http://example.org:99999/", "http://example.org:99999"),
        ("http://example.org:http/", "http://example.org:http"),
        ("http://[::1/a", "http://[::1/a"),
        ("http://[::1]x/a", "http://[::1]x/a"),
        ("http://[no::ip::here]/a", "http://[no::ip::here]/a"),
        ("http://]/", "http://]"),
        ("http://a%2Fb.org/", "http://a%2fb.org"),
        ("http://\u2100.org/", "http://%e2%84%80.org"),
        ("http:// \\", "http://%20"),
        ("http://a: #", "http://a:%20"),
        ("http://...", "http://"),
        ("http://example.org/\x00\x1b.", "http://example.org/%00%1B."),
        ("://example.org", "://example.org"),
    ],
)
def test_what_is_hardly_an_address_comes_through(url: str, form: str) -> None:
    assert canonical(url) == form
    assert canonical(form) == form


@pytest.mark.parametrize(
    "part",
    [
        "http://example.org/" + "a/../" * 200_000,
        "http://example.org/" + "%2e%2E/" * 150_000,
        "http://example.org/?" + "a&" * 100_000,
        "http://example.org/?" + "&amp;" * 200_000,
        "http://example.org/?" + "amp;" * 250_000,
        "http://" + "a." * 500_000,
        "http://" + "www." * 250_000,
        "http://" + "\u00fc" * 100_000,
        "http://" + "@" * 1_000_000,
        "http://" + ":" * 1_000_000,
        "http://example.org:" + "9" * 1_000_000,
        "http://[" + ":" * 1_000_000 + "]",
        "/" * 1_000_000,
        "http://example.org/" + ";jsessionid=" * 80_000,
        "http://example.org" + "/." * 500_000 + "\n",
    ],
    ids=lambda part: part[:24].encode().decode("ascii", "replace"),
)
@pytest.mark.timeout(20)
def test_time_is_linear_in_length(part: str) -> None:
    form = canonical(part)
    assert canonical(form) == form


@example("http://0\u3002.")
@given(st.text(alphabet="htps:/\\?#@[]%.;&=+ wW2eEaA0\u00fc\u3002\n-_1_", max_size=40).map(lambda t: "http://" + t))
@settings(max_examples=400)
def test_form_of_a_form_is_itself(url: str) -> None:
    form = canonical(url)
    assert canonical(form) == form


@given(st.text(max_size=60))
@settings(max_examples=200)
def test_any_text_has_a_form(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)


def test_tracking_is_data() -> None:
    assert len(set(TRACKING)) == len(TRACKING)
    assert [name for name in TRACKING if name != name.lower() or "*" in name[:-1]] == []
    assert [name for name in TRACKING if canonical(f"{PAGE}?{name.replace('*', 'x')}=1") != PAGE] == []


@pytest.mark.parametrize(
    ("url", "host", "site"),
    [
        ("https://www.news.example.co.uk/a?b", "news.example.co.uk", "example.co.uk"),
        ("http://Example.org:8080/", "example.org:8080", "example.org"),
        ("http://user.github.io", "user.github.io", "github.io"),
        ("http://192.168.0.1/x", "192.168.0.1", "192.168.0.1"),
        ("http://localhost/x", "localhost", "localhost"),
        ("http://xn--bcher-kva.example?x", "xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("not an address", "", ""),
    ],
)
def test_sites(url: str, host: str, site: str) -> None:
    assert (host_in(url), site_of(url)) == (host, site)
