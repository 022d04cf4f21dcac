"""What a page says of itself: its title, the day it was published, its canonical address.

Read from the head and from the first JSON-LD, microdata and <time> of the body, with byte searches of bounded reach; no
tree is built. The same for every extraction engine, so that the columns mean the same whatever the engine.
"""

import calendar
import html
import re
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

MAX_HEAD = 200_000  # bytes that are read as head
MAX_PAGE = 1_000_000  # bytes that are searched for a day and a heading
MAX_TAG = 4000  # bytes of a tag
MAX_TITLE = 500  # characters
MAX_SCRIPTS = 3  # JSON-LD scripts that are read
MAX_NAMED = 50  # elements with `date` in their attributes that are read
MAX_SCRIPT = 100_000  # bytes of each

TAG = re.compile(rb"<(?:(meta|META|Meta)|(link|LINK|Link)|(title|TITLE|Title))(?=[\s>/])")
ATTRIBUTE = re.compile(rb"""(?<![a-zA-Z:_-])([a-zA-Z:_-]{1,40})\s{0,9}=\s{0,9}(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
MARKUP = re.compile(rb"<[^<>]*>")
PUBLISHED = re.compile(rb'"datePublished"\s{0,9}:\s{0,9}"([^"]{4,40})"')
TITLES = ("og:title", "twitter:title", "dc.title", "dcterms.title", "citation_title")
DATES = (  # names of <meta>, the first that holds a day counts
    "article:published_time", "datepublished", "og:published_time", "og:article:published_time", "article:published",
    "dc.date.issued", "dcterms.issued", "dc.date", "dcterms.date", "dc.date.created", "dcterms.created", "dc.created",
    "citation_publication_date", "citation_date", "citation_online_date", "parsely-pub-date", "sailthru.date",
    "publication_date", "publication-date", "publicationdate", "publishdate", "publish-date", "publish_date",
    "published-date", "published_date", "published", "pubdate", "date_published", "datecreated", "creation_date",
    "article_date_original", "originalpublicationdate", "article.published", "cxenseparse:recs:publishtime",
    "displaydate", "displaydate", "pdate", "date", "created",
)  # fmt: skip
LATER = ("article:modified_time", "og:updated_time", "datemodified", "dcterms.modified", "last-modified")

YEAR_FIRST = re.compile(r"(?<!\d)((?:19|20)\d\d)([-/.])(\d\d?)\2(\d\d?)(?!\d)")
DAY_FIRST = re.compile(r"(?<!\d)(\d\d?)([-/.])(\d\d?)\2((?:19|20)\d\d)(?!\d)")
COMPACT = re.compile(r"(?<!\d)((?:19|20)\d\d)([01]\d)([0-3]\d)(?:(?!\d)|\d{4}(?:\d\d)?(?!\d))")
NAMED = re.compile(
    r"(?:(?<!\d)(\d\d?)(?:st|nd|rd|th|\.)?\s+(?:of\s+|de\s+)?)?([^\W\d_]{3,10})\.?\s+(?:(\d\d?)(?:st|nd|rd|th)?,?\s+)?(?:de\s+)?((?:19|20)\d\d)(?!\d)"
)
IN_ADDRESS = re.compile(
    r"/((?:19|20)\d\d)([/-])([01]?\d)\2([0-3]?\d)(?=[/_.-]|$)|[/=_-]((?:19|20)\d\d)([01]\d)([0-3]\d)(?!\d)"
)
MONTHS = {
    name[:3]: i % 12 + 1
    for i, name in enumerate(
        ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
         "december", "januar", "februar", "märz", "april", "mai", "juni", "juli", "august", "september", "oktober",
         "november", "dezember", "enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre",
         "octubre", "noviembre", "diciembre", "gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio",
         "agosto", "settembre", "ottobre", "novembre", "dicembre")
    )
} | {"fév": 2, "avr": 4, "aoû": 8, "déc": 12}  # fmt: skip
FIRST_YEAR, LAST_YEAR = 1990, 2100


class Metadata(NamedTuple):
    """What was found; `published` is an ISO 8601 day."""

    title: str | None = None
    published: str | None = None
    canonical_url: str | None = None


def read_metadata(page: bytes, url: str | None = None) -> Metadata:
    """Of a page in UTF-8 at an address, where that is known."""
    head = page[: _head_end(page)]
    said: dict[str, str] = {}
    title = canonical = None
    for found in TAG.finditer(head):
        if found[3]:
            title = title or _text(page, found.end(), b"</title", b"</TITLE")
            continue
        attrs = _attributes(head, found.end())
        if attrs is None:
            continue
        if found[2]:
            if attrs.get("rel", "").lower() == "canonical":
                canonical = canonical or attrs.get("href")
        elif content := attrs.get("content"):
            for key in ("property", "name", "itemprop", "http-equiv"):
                if key in attrs:
                    said.setdefault(attrs[key].lower(), content)
    title = next((said[name] for name in TITLES if name in said), None) or title or _heading(page, len(head))
    published = _in_data(page) or _first(said, DATES) or _in_time(page, len(head))
    published = published or day_in_address(url) or _in_named(page, len(head))
    address = _resolved(canonical, url) or _resolved(said.get("og:url"), url)
    return Metadata(_line(title) if title else None, published or _first(said, LATER), address)


def day_of(value: str) -> str | None:
    """The first day named in a short text, as ISO 8601; of two that could be the month, the second is."""
    value = value[:100]
    if match := YEAR_FIRST.search(value):
        return _day(match[1], match[3], match[4])
    if match := DAY_FIRST.search(value):
        return _day(match[4], match[3], match[1]) or _day(match[4], match[1], match[3])
    if match := COMPACT.search(value):
        return _day(match[1], match[2], match[3])
    for match in NAMED.finditer(value):
        month, day = MONTHS.get(match[2][:3].lower()), match[3] or match[1]
        if month and day:
            return _day(match[4], month, day)
    return None


def day_in_address(url: str | None) -> str | None:
    """The day in a path such as /2012/01/06/ or /20120106-."""
    match = IN_ADDRESS.search(url[:2000]) if url else None
    if match is None:
        return None
    return _day(match[1], match[3], match[4]) if match[1] else _day(match[5], match[6], match[7])


def _day(year: str | int, month: str | int, day: str | int) -> str | None:
    year, month, day = int(year), int(month), int(day)
    if not (FIRST_YEAR <= year <= LAST_YEAR and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]):
        return None
    return f"{year}-{month:02}-{day:02}"


def _head_end(page: bytes) -> int:
    for word in (b"</head>", b"<body", b"</HEAD>", b"<BODY"):
        end = page.find(word, 0, MAX_HEAD)
        if end >= 0:
            return end
    return MAX_HEAD


def _attributes(part: bytes, start: int) -> dict[str, str] | None:
    """Those of a tag, lower-case names, from behind its name on; none of a tag that tells nothing."""
    end = part.find(b">", start, start + MAX_TAG)
    for quote in (b'"', b"'"):
        if end >= 0 and part.count(quote, start, end) % 2:  # the > is inside a value
            closed = part.find(quote, end, start + MAX_TAG)
            end = part.find(b">", closed, start + MAX_TAG) if closed >= 0 else end
            break
    if end < 0 or not _is_telling(part[start:end].lower()):
        return None
    return {
        name.decode().lower(): html.unescape((a or b or c).decode(errors="replace")).strip()
        for name, a, b, c in ATTRIBUTE.findall(part, start, end)
    }


def _is_telling(tag: bytes) -> bool:
    """Whether it can be one of those that are looked for: most of a head's tags are not."""
    return (
        b"date" in tag or b"title" in tag or b"canonical" in tag or b"time" in tag or b"publi" in tag
        or b"modified" in tag or b"og:url" in tag or b"issued" in tag or b"created" in tag
    )  # fmt: skip


def _text(page: bytes, start: int, *ends: bytes) -> str | None:
    """What stands between a tag, from behind its name on, and one of the end tags, without markup."""
    start = page.find(b">", start, start + MAX_TAG) + 1
    stops = [i for end in ends if (i := page.find(end, start, start + MAX_TAG)) >= 0]
    if not start or not stops:
        return None
    return html.unescape(MARKUP.sub(b" ", page[start : min(stops)]).decode(errors="replace")).strip() or None


def _heading(page: bytes, start: int) -> str | None:
    """The first <h1>."""
    at = page.find(b"<h1", start, MAX_PAGE)
    return _text(page, at + 3, b"</h1") if at >= 0 else None


def _line(title: str) -> str | None:
    return " ".join(title.replace("\0", "").split())[:MAX_TITLE].strip() or None


def _first(said: dict[str, str], names: tuple[str, ...]) -> str | None:
    """The first day that one of the names holds."""
    for name in names:
        if name in said and (day := day_of(said[name])):
            return day
    return None


def _in_data(page: bytes) -> str | None:
    """The day in JSON-LD, else in microdata (`itemprop="datePublished"`)."""
    first = page.find(b"datePublished", 0, MAX_PAGE)
    if first < 0:
        return None
    at = 0
    for _ in range(MAX_SCRIPTS):
        at = page.find(b"ld+json", at, MAX_PAGE)
        if at < 0:
            break
        end = page.find(b"</script", at, at + MAX_SCRIPT)
        end = end if end >= 0 else at + MAX_SCRIPT
        for match in PUBLISHED.finditer(page, at, end):
            if day := day_of(match[1].decode(errors="replace")):
                return day
        at = end
    return _day_of_tag(page, page.rfind(b"<", max(0, first - MAX_TAG), first))


def _in_time(page: bytes, start: int) -> str | None:
    """The day of the first <time>."""
    at = page.find(b"<time", start, MAX_PAGE)
    return _day_of_tag(page, at) if at >= 0 else None


def _in_named(page: bytes, at: int) -> str | None:
    """The day that stands in an element with `date` in its attributes, such as <span class="post-date">."""
    for _ in range(MAX_NAMED):
        at = page.find(b"date", at + 1, MAX_PAGE)
        if at < 0:
            return None
        start = page.rfind(b"<", max(0, at - 200), at)
        if start >= 0 and page.find(b">", start, at) < 0 and (day := _day_of_tag(page, start)):
            return day
    return None


def _day_of_tag(page: bytes, start: int) -> str | None:
    """The day in `datetime` or `content`, else in the text behind the tag that starts there."""
    end = page.find(b">", start, start + MAX_TAG) if start >= 0 else -1
    if end < 0:
        return None
    said = {name.lower(): a or b or c for name, a, b, c in ATTRIBUTE.findall(page, start, end)}
    for name in (b"datetime", b"content", b"title"):
        if name in said and (day := day_of(said[name].decode(errors="replace"))):
            return day
    return day_of(page[end + 1 : page.find(b"<", end, end + 100)].decode(errors="replace"))


def _resolved(address: str | None, url: str | None) -> str | None:
    """An absolute http address."""
    if not address:
        return None
    try:
        whole = address if address.startswith(("http://", "https://")) else urljoin(url or "", address)
        return whole if whole.startswith(("http://", "https://")) and urlsplit(whole).netloc else None
    except ValueError:  # no address at all
        return None
