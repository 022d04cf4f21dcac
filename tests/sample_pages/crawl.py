"""The pages of the sample as servers answered them: articles, copies, other languages, junk, errors, odd bodies."""

import hashlib
import html
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.sample_pages import chrome, junk, logs, texts
from tests.sample_pages.gzipped import member
from tests.sample_pages.texts import Article

LAYOUTS = ("news", "blog")
# Pages in one big table, as in 1999; extractors make little of them.
TABLES = ("forum.example.com", "medlennaya-kuhnya.example", "bowuguan.example", "cuisine-lente.example")
# Pages in an encoding of their time: slug -> (codec, declared in the page, declared in the header).
LEGACY = {
    "de-2": ("iso-8859-1", "iso-8859-1", "iso-8859-1"),
    "fr-2": ("cp1252", "", "windows-1252"),
    "es-2": ("iso-8859-1", "", ""),
    "ru-2": ("cp1251", "windows-1251", ""),
    "ru-3": ("koi8-r", "", "koi8-r"),
    "zh-2": ("gb18030", "gb2312", ""),
    "ja-2": ("shift_jis", "", "Shift_JIS"),
    "pl-1": ("iso-8859-2", "iso-8859-2", ""),
    "night-bus": ("cp1252", "iso-8859-1", "iso-8859-1"),
}
# Addresses that the default lists of UrlFilter name: by domain, by host, by word, by two soft words, by part of a word.
BLOCKED = (
    ("casino.example", "play"),
    ("www.casino.example", "welcome"),
    ("poker.example", "tables"),
    ("casino.example.com", "tonight"),
    ("spam.example.net", "offer"),
    ("adult.example.com", "entrance"),
    ("shop.example", "onlineslots/try"),
    ("shop.example", "bonus/bet/now"),
    ("shop.example", "best-casino-in-town"),
)
HANGING = "https://player.museum-of-light.example/transcript/word-by-word"
GIF = bytes.fromhex("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b")


@dataclass(frozen=True)
class Page:
    """What a server answered."""

    url: str
    body: bytes
    status: str = "200 OK"
    mime: str = "text/html; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


def pages() -> list[Page]:
    """All pages, in an order that mixes the kinds."""
    found = [*kept(), *copies(), *foreign(), *unwanted(), *blocked(), *front_pages(), *not_pages(), *odd()]
    return sorted(found, key=lambda page: hashlib.sha256(page.url.encode()).digest())


def kept() -> Iterator[Page]:
    """What a good recipe keeps: articles, letters, a harbour log."""
    articles = texts.english()
    for article in [*articles, *texts.short(), *logs.logs(30)]:
        yield article_page(article, articles)


def copies() -> Iterator[Page]:
    """The same page at other addresses (clusters of 2 to 6), and pages that differ by a sentence or a paragraph."""
    articles = texts.english()
    tails = ("?utm_source=letter", "?print=1", "/amp", "?ref=home", "/index.html")
    for number, article in enumerate(articles[::4]):
        page = article_page(article, articles)
        for tail in tails[: 1 + number % 5]:
            yield replace(page, url=page.url + tail)
    for number, article in enumerate(articles[1:22:4]):
        *first, last = article.paragraphs
        changed = first if number % 2 else [*first, f"{last} This page was last updated on a Monday."]
        yield article_page(replace(article, slug=f"{article.slug}-2", paragraphs=tuple(changed)), articles)


def foreign() -> Iterator[Page]:
    """Articles in other languages, every fifth of them twice, some in old encodings."""
    articles = texts.other()
    for number, article in enumerate(articles):
        page = article_page(article, [a for a in articles if a.lang == article.lang])
        yield page
        if number % 5 == 0:
            yield replace(page, url=page.url + "?print=1")


def unwanted() -> Iterator[Page]:
    """What a filter should find."""
    for article in junk.faulty():
        yield article_page(article, [])
    for article, body in junk.lists():
        yield wrapped(article, body)


def blocked() -> Iterator[Page]:
    """Addresses that a block list names; their texts alone would pass."""
    articles = texts.short()
    for number, (host, slug) in enumerate(BLOCKED):
        yield article_page(replace(articles[number], host=host, slug=slug), articles)


def front_pages() -> Iterator[Page]:
    """Home pages: a teaser for every article, no text of their own."""
    articles = texts.english()
    for host in sorted({a.host for a in articles}):
        teasers = "".join(
            f'<div class="teaser"><h3><a href="/{a.slug}">{html.escape(a.title)}</a></h3>'
            f'<p>{a.paragraphs[0][:90]}...</p><a class="more" href="#">Read more</a></div>'
            for a in articles
            if a.host == host
        )
        yield wrapped(Article("", host, f"Welcome to {host}", ()), teasers)


def not_pages() -> Iterator[Page]:
    """Errors, redirects, and files that are not HTML."""
    for number in range(9):
        article = Article(f"old/{number}", "town-hall.example", "Not found", ())
        yield wrapped(article, "<p>This page has moved or was deleted.</p>", "404 Not Found")
    for number in range(6):
        target = (("Location", f"https://town-hall.example/new/{number}"),)
        yield Page(f"http://town-hall.example/{number}", b"", "301 Moved Permanently", headers=target)
    noise = hashlib.sha512(b"noise").digest()
    yield Page("https://shop.example/basket", b"<h1>Internal Server Error</h1>", "500 Internal Server Error")
    yield Page("https://shop.example/admin", b"<h1>Forbidden</h1>", "403 Forbidden")
    yield Page("https://shop.example/pixel.gif", GIF, mime="image/gif")
    yield Page("https://museum-of-light.example/lens.jpg", b"\xff\xd8\xff\xe0" + noise * 9, mime="image/jpeg")
    yield Page("https://scriptorium.example/map.pdf", b"%PDF-1.4\n" + noise * 9, mime="application/pdf")
    for url, mime, body in (
        ("mending.example/style.css", "text/css", "nav a { padding: .4rem .8rem; }\n"),
        ("mending.example/app.js", "application/javascript", "window.dataLayer = window.dataLayer || [];\n"),
        ("numbers.example/data.json", "application/json", '{"soup": [1, 2, 3]}\n'),
        ("numbers.example/robots.txt", "text/plain", "User-agent: *\nDisallow: /private/\n"),
        ("fieldnotes.example/feed", "application/rss+xml", '<?xml version="1.0"?><rss version="2.0"></rss>\n'),
    ):
        yield Page(f"https://{url}", body.encode(), mime=mime)


def odd() -> Iterator[Page]:
    """Bodies that are compressed, chunked, empty, without text, full of markup, or made to hang a parser."""
    for number, article in enumerate(texts.english()[2:14:4]):
        backwards = replace(article, slug=f"{article.slug}-3", paragraphs=article.paragraphs[::-1])
        page = article_page(backwards, [])
        if number < 2:
            yield replace(page, body=member(page.body), headers=(("Content-Encoding", "gzip"),))
        else:
            parts = [page.body[at : at + 2000] for at in range(0, len(page.body), 2000)]
            chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])
            yield replace(page, body=chunked, headers=(("Transfer-Encoding", "chunked"),))
    host = "empty-rooms.example.org"
    yield Page(f"https://{host}/nothing", b"")
    yield Page(f"https://{host}/frame", b'<html><head><title></title></head><body><div id="app"></div></body></html>')
    yield Page(f"https://{host}/noise", hashlib.sha512(b"noise").digest() * 40)
    script = "<p>Write <b>&lt;script&gt;alert('hello')&lt;/script&gt;</b> into the box and see what becomes of it.</p>"
    yield wrapped(Article("injection", "forum.example.com", "Is <script>alert(1)</script> safe?", ()), script)
    yield hanging()


def hanging() -> Page:
    """A transcript with a tag around each of 80,000 words: trafilatura 2.3.1 takes a minute, by the square of them."""
    said = texts.english()[0].paragraphs[0].split()
    words = "".join(f"<span>{html.escape(said[n % len(said)])} </span>" for n in range(80_000))
    body = f"<html><head><title>Transcript</title></head><body><article><p>{words}</p></article></body></html>"
    return Page(HANGING, body.encode())


def article_page(article: Article, related: list[Article]) -> Page:
    """The page of an article in the layout of its host and the encoding of its slug."""
    codec, declared, header = LEGACY.get(article.slug, ("utf-8", "utf-8", "utf-8"))
    layout = "table" if article.host in TABLES else LAYOUTS[chrome.pick(article.host, len(LAYOUTS))]
    start = chrome.pick(article.slug, len(related) or 1)
    others = [a for a in (related * 2)[start : start + 4] if a.slug != article.slug]
    text = chrome.page(article, others, layout, declared)
    mime = f"text/html; charset={header}" if header else "text/html"
    return Page(f"https://{article.host}/{article.slug}", text.encode(codec, "xmlcharrefreplace"), mime=mime)


def wrapped(article: Article, body: str, status: str = "200 OK") -> Page:
    """A page with markup of its own in place of paragraphs."""
    text = chrome.around(article, body, [], "news")
    return Page(f"https://{article.host}/{article.slug}", text.encode(), status)
