import gzip
import zlib

import brotli
import pytest
import zstandard

from stages.warc.http import BodyError, dechunked, mime_of, parse_response

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
HTML = b"<html>" + b"<p>one</p>" * 100


def body(headers: bytes, sent: bytes, max_bytes: int = 10_000) -> bytes:
    response = parse_response(HEAD + headers + b"\r\n" + sent)
    assert response is not None
    return response.decoded(max_bytes)


def test_status_headers_and_body():
    block = b'HTTP/1.1 404 Not Found\r\nContent-Type: Text/HTML; Charset="UTF-8"\r\nX: \xe9\r\n\r\n<p>\r\n\r\n</p>'
    response = parse_response(block)
    assert (response.status, response.mime, response.charset) == (404, "text/html", "UTF-8")
    assert (response.headers["x"], response.body) == ("\xe9", b"<p>\r\n\r\n</p>")


@pytest.mark.parametrize(
    ("block", "status", "mime", "rest"),
    [
        (b"HTTP/1.0 200\nContent-Type: text/html\n\n<p>\n\n</p>", 200, "text/html", b"<p>\n\n</p>"),
        (b"HTTP/2 200 \r\ncontent-type:text/html\r\n\r\n", 200, "text/html", b""),
        (b"\r\nHTTP/1.1 200 OK\r\nContent-Type:\r\n  text/html;\r\n\tcharset=x\r\n\r\nx", 200, "text/html", b"x"),
        (b"HTTP/1.1 200 OK\r\nno header\r\nContent-Type : text/html\r\n\r\nx", 200, "text/html", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: \r\nContent-Type: text/html\r\n\r\nx", 200, "text/html", b"x"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 301 Moved\r\n\r\nx", 301, None, b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html", 200, "text/html", b""),
        (b"ICY 200 OK\r\n\r\nx", 200, None, b"x"),
    ],
)
def test_what_servers_send(block, status, mime, rest):
    response = parse_response(block)
    assert (response.status, response.mime, response.body) == (status, mime, rest)


@pytest.mark.parametrize(
    "block", [b"", b"<html>", b"HTTP/1.1 OK\r\n\r\n", b"HTTP/1.1 20000\r\n\r\n", b"20240501\na. 300 IN A"]
)
def test_what_is_not_http(block):
    assert parse_response(block) is None


@pytest.mark.parametrize(
    ("content_type", "mime"),
    [
        (" Text/HTML;charset=x", "text/html"),
        ("text/html charset=x", "text/html"),
        ("text/html, text/plain", "text/html"),
        ("html", None),
        ("", None),
    ],
)
def test_media_type(content_type, mime):
    assert mime_of(content_type) == mime


@pytest.mark.parametrize(
    ("sent", "plain"),
    [
        (b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n", b"hello world"),
        (b"5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", b"hello"),
        (b"5 \nhello\n0\n\n", b"hello"),
        (b"5\r\nhello\r\n", b"hello"),
        (b"5\r\nhello\r\n9\r\n wor", b"hello wor"),
        (b"<html>not chunked", b"<html>not chunked"),
        (
            b"add\nthis page begins with a word of hex digits" * 90,
            b"add\nthis page begins with a word of hex digits" * 90,
        ),
        (b"", b""),
    ],
)
def test_chunks(sent, plain):
    assert dechunked(sent) == plain
    assert body(b"Transfer-Encoding: Chunked\r\n", sent) == plain


def test_chunks_that_end_in_the_middle():
    with pytest.raises(BodyError, match="no chunk begins 10 bytes into the body"):
        dechunked(b"5\r\nhello\r\nworld, which is no size")


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        (b"gzip", gzip.compress),
        (b"X-GZIP", gzip.compress),
        (b"deflate", zlib.compress),
        (b"deflate", raw_deflate),
        (b"br", brotli.compress),
        (b"zstd", zstandard.compress),
        (b"gzip, br", lambda data: brotli.compress(gzip.compress(data))),
        (b"identity", bytes),
        (b"utf-8", bytes),
    ],
)
def test_content_codings(name, pack):
    header = b"Content-Encoding: " + name + b"\r\n"
    assert body(header, pack(HTML)) == HTML
    assert body(header, HTML) == HTML  # an archive that stores bodies decoded
    with pytest.raises(BodyError, match="too_large"):
        body(header, pack(HTML), max_bytes=len(HTML) - 1)


@pytest.mark.parametrize(
    ("name", "pack"),
    [(b"gzip", gzip.compress), (b"deflate", zlib.compress), (b"br", brotli.compress), (b"zstd", zstandard.compress)],
)
def test_a_bomb_is_not_unpacked(name, pack):
    bomb = pack(b"\0" * 50_000_000)
    with pytest.raises(BodyError, match="too_large"):
        body(b"Content-Encoding: " + name + b"\r\n", bomb, max_bytes=1_000_000)


@pytest.mark.parametrize("name", [b"gzip", b"deflate", b"br", b"zstd"])
def test_a_coding_that_cannot_be_undone(name):
    with pytest.raises(BodyError) as error:
        body(b"Content-Encoding: " + name + b"\r\n", b"\x8e\xff\x00\x10 no such coding")
    assert error.value.reason == "bad_encoding"


def test_a_body_that_was_cut_gives_its_beginning():
    noise = bytes(range(256)) * 20
    sent = gzip.compress(b"<html>" + noise)
    assert body(b"Content-Encoding: gzip\r\n", sent[:-20]).startswith(b"<html>\x00\x01")


def test_headers_that_common_crawl_renamed_are_left_alone():
    headers = b"X-Crawl-Content-Encoding: gzip\r\nX-Crawl-Transfer-Encoding: chunked\r\n"
    assert body(headers, b"5\r\nhello") == b"5\r\nhello"


def test_a_header_without_end_is_read_as_far_as_browsers_read():
    fields = b"".join(b"X-%d: %d\r\n" % (i, i) for i in range(100_000))
    response = parse_response(HEAD + fields + b"Content-Encoding: gzip\r\n\r\n<p>")
    assert (response.status, response.mime, response.body) == (200, "text/html", b"<p>")
    assert response.headers["x-1000"] == "1000"
    assert "content-encoding" not in response.headers


def test_a_million_interim_responses_are_passed_over():
    response = parse_response(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000_000 + HEAD + b"\r\n<p>")
    assert (response.status, response.body) == (200, b"<p>")


@pytest.mark.parametrize("behind", [b"", b'"', b";", b'";'])
def test_a_charset_that_never_comes_costs_its_length(behind):
    response = parse_response(HEAD.replace(b"html", b"html; charset=" + b" " * 200_000 + behind) + b"\r\n")
    assert response.charset is None
