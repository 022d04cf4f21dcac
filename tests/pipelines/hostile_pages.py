"""Pages that are made to break what reads them: too large, too deep, too new, of no alphabet, of no encoding.

Every page is a function of its size in bytes, so that a test has them small and a measurement large.
"""

import gzip
import itertools
import random
import string
from collections.abc import Callable, Iterator

from tests.stages.archives import record

Page = tuple[bytes, bytes]  # HTTP header lines behind the status line, body

COMMON = """
    the and of to in that have with be river mill wheel water stone house morning evening road field harbour boat
    village winter summer people walked carried turned looked found heard spoke wrote opened closed crossed built
"""
WORDS = COMMON.split()
HTML = b"Content-Type: text/html; charset=utf-8\r\n"


def page(body: bytes, header: bytes = HTML) -> Page:
    return header, b"<html><head><title>A page</title></head><body><article>" + body + b"</article></body></html>"


def sentences(n_bytes: int, seed: int = 5) -> Iterator[str]:
    dice = random.Random(seed)
    made = 0
    while made < n_bytes:
        text = " ".join(dice.choices(WORDS, k=dice.randint(8, 16))).capitalize() + "."
        made += len(text) + 8
        yield text


def prose(size: int) -> Page:
    """Paragraphs as any others."""
    return page("".join(f"<p>{text}</p>" for text in sentences(size)).encode())


def markup(size: int) -> Page:
    """Tags with hardly a word between them."""
    unit = b'<div class="a b c" data-x="1"><span><a href="/x?y=1&amp;z=2">n</a></span></div>\n'
    return page(unit * (size // len(unit)))


def unclosed_tag(size: int) -> Page:
    """A tag whose attribute has no end."""
    return page(b'<a href="' + b"x" * size)


def many_unclosed(size: int) -> Page:
    """Nothing but beginnings of tags."""
    return page(b"<a " * (size // 3))


def only_angles(size: int) -> Page:
    return page(b"<" * size)


def unclosed_comments(size: int) -> Page:
    return page(b"<!-- a --" * (size // 9))


def nested(size: int) -> Page:
    """Elements within one another, each of one kind and never closed: 20 MB of them are 4 million."""
    return page(b"<div>" * (size // 5) + b"deep")


def nested_inline(size: int) -> Page:
    """Formatting elements, which parsers open again in every new paragraph."""
    return page(b"<b><i><p>" * (size // 9) + b"deep")


def nested_tables(size: int) -> Page:
    return page(b"<table><tr><td>" * (size // 15) + b"deep")


def attributes(size: int) -> Page:
    """One tag with ever new attributes."""
    return page(b"<p " + b"".join(b"a%d=1 " % i for i in range(size // 9)) + b">text</p>")


def one_line(size: int) -> Page:
    return page(b"<p>" + b" ".join(text[:-1].encode() for text in sentences(size)) + b"</p>")


def one_word(size: int) -> Page:
    return page(b"<p>" + b"loremipsum" * (size // 10) + b"</p>")


def nul_bytes(size: int) -> Page:
    return page(b"<p>" + b"mill\0 wheel\0\0 river " * (size // 20) + b"</p>")


def all_nul(size: int) -> Page:
    return HTML, b"\0" * size


def encoded_surrogates(size: int) -> Page:
    """Halves of pairs as three bytes each, which are not UTF-8."""
    return page(b"<p>" + b"the mill \xed\xa0\x80 and \xed\xb0\x80 river " * (size // 30) + b"</p>")


def surrogate_entities(size: int) -> Page:
    return page(b"<p>" + b"the mill &#xD800; and &#56320; &#x110000; &#0; river " * (size // 52) + b"</p>")


def no_body(size: int) -> Page:
    return HTML, b""


def no_text(size: int) -> Page:
    return page(b"<p>&nbsp;</p>\n" * (size // 14))


def gzip_bomb(size: int) -> Page:
    """A body that decompresses to 50 times the size."""
    return HTML + b"Content-Encoding: gzip\r\n", gzip.compress(b"a" * 50 * size, mtime=0)


def long_header(size: int) -> Page:
    """A header of ever new fields, behind which the type of the page is no longer seen."""
    return b"".join(b"X-%d: %d\r\n" % (i, i) for i in range(size // 16)) + HTML, page(b"<p>text</p>")[1]


def long_charset(size: int) -> Page:
    """A charset parameter that never comes."""
    return b"Content-Type: text/html; charset=" + b" " * size + b";\r\n", page(b"<p>text</p>")[1]


def interim_responses(size: int) -> Page:
    """One `100 Continue` after another before the page; the first header block is left empty."""
    n_interim = size // 27
    return b"", b"HTTP/1.1 100 Continue\r\n\r\n" * n_interim + b"HTTP/1.1 200 OK\r\n" + b"\r\n".join(long_header(0))


def lines(size: int) -> Page:
    """A line each two bytes."""
    return page(b"<pre>" + b"a\n" * (size // 2) + b"</pre>")


def paragraphs(size: int) -> Page:
    return page(b"<p>a</p>" * (size // 8))


def repeated_character(size: int) -> Page:
    return page(b"<p>" + b"a" * size + b"</p>")


def repeated_space(size: int) -> Page:
    return page(b"<p>the" + b" " * size + b"mill</p>")


def repeated_entity(size: int) -> Page:
    return page(b"<p>" + b"&amp;" * (size // 5) + b"</p>")


def addresses(size: int) -> Page:
    """Beginnings of e-mail and IP addresses without an end."""
    return page(b"<p>" + b"a.b-c@d-.1.2.3.@" * (size // 16) + b"</p>")


def right_to_left(size: int) -> Page:
    return page(("<p>" + "\u202e\u05d0\u05d1\u2066\u0627\u200f " * (size // 14) + "</p>").encode())


def zero_width(size: int) -> Page:
    return page(("<p>mill" + "\u200b\u200d\ufeff\u2060" * (size // 12) + "</p>").encode())


def combining(size: int) -> Page:
    """A letter with accents without end."""
    return page(("<p>e" + "\u0301\u0323\u20dd" * (size // 7) + "</p>").encode())


def new_words(size: int) -> Page:
    """No word twice: whatever a filter counts by word is as large as the page."""
    letters = itertools.product(string.ascii_lowercase, repeat=6)
    words = ("".join(chosen) for chosen in itertools.islice(letters, 0, None, 41))
    text = " ".join(itertools.islice(words, size // 7))
    return page(b"<p>" + text.encode() + b"</p>")


def new_characters(size: int) -> Page:
    """Letters of every alphabet, so that no table of known ones helps."""
    dice = random.Random(7)
    ranges = [(0xC0, 0x24F), (0x391, 0x3C9), (0x410, 0x44F), (0x5D0, 0x5EA), (0x905, 0x939), (0x4E00, 0x9FFF)]
    made = ("".join(chr(dice.randint(*dice.choice(ranges))) for _ in range(6)) for _ in range(size // 18))
    return page(("<p>" + " ".join(made) + "</p>").encode())


PAGES: tuple[Callable[[int], Page], ...] = (
    prose, markup, unclosed_tag, many_unclosed, only_angles, unclosed_comments, nested, nested_inline, nested_tables,
    attributes, one_line, one_word, nul_bytes, all_nul, encoded_surrogates, surrogate_entities, no_body, no_text,
    gzip_bomb, long_header, long_charset, interim_responses, lines, paragraphs, repeated_character, repeated_space,
    repeated_entity, addresses, right_to_left, zero_width, combining, new_words, new_characters,
)  # fmt: skip


def address(name: str) -> str:
    return f"http://{name.replace('_', '-')}.example/"


def response(made: Page, url: str) -> bytes:
    """The WARC record of a page."""
    header, body = made
    status = b"HTTP/1.1 100 Continue\r\n" if not header else b"HTTP/1.1 200 OK\r\n"
    return record(status + header + b"\r\n" + body, url=url)
