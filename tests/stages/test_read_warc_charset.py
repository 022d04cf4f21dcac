from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.stage import Piece
from stages.warc.charset import codec_of, is_utf8, page_label, to_utf8
from tests.stages.archives import read_pieces

RUSSIAN = "Привет, мир. Это страница о том, как читают страницы. " * 3


@pytest.mark.parametrize(
    ("data", "declared", "text", "codec"),
    [
        (b"plain", None, "plain", "ascii"),
        (b"", "utf-8", "", "ascii"),
        ("Grüße".encode(), None, "Grüße", "utf-8"),
        ("Grüße".encode(), "iso-8859-1", "Grüße", "utf-8"),  # the bytes are believed over the label
        (b"\xef\xbb\xbfGr\xc3\xbc\xc3\x9fe", None, "Grüße", "utf-8"),
        ("\ufeffпривет".encode("utf-16-le"), None, "привет", "utf-16-le"),
        ("\ufeffпривет".encode("utf-16-be"), "utf-8", "привет", "utf-16-be"),
        ("<p>Grüße".encode("utf-16-le"), None, "<p>Grüße", "utf-16-le"),
        ("<p>Grüße".encode("utf-32-be"), None, "<p>Grüße", "utf-32-be"),
        (b"caf\xe9 \x93x\x94", "ISO-8859-1", "caf\u00e9 \u201cx\u201d", "cp1252"),
        (b"\xc7\xd1\xb1\xdb", "euc-kr", "한글", "cp949"),
        (b"\x87\x40", "x-sjis", "①", "cp932"),
        (b"\x81\x30\x81\x30", "gb2312", "\u0080", "gb18030"),
        (b'<meta charset="windows-1251">\xcf\xf0\xe8\xe2\xe5\xf2', None, None, "cp1251"),
        (b"<meta http-equiv=Content-Type content='text/html; charset=koi8-r'>\xf0\xd2\xc9", None, None, "koi8-r"),
        (b'<?xml version="1.0" encoding="iso-8859-2"?>\xb1', None, None, "iso8859-2"),
        (b'<meta charset="koi8-r">\xcf\xf0\xe8\xe2\xe5\xf2', "windows-1251", None, "cp1251"),  # HTTP before the page
        (b'<meta charset="utf-16">a page of English with one caf\xe9 in it, and more', None, None, "cp1252"),
        (RUSSIAN.encode("cp1251"), "no-such-charset", RUSSIAN, "cp1251"),
        (RUSSIAN.encode("koi8-r"), None, RUSSIAN, "koi8-r"),
        (RUSSIAN.encode() + b"\xff" + RUSSIAN.encode(), None, RUSSIAN + "\ufffd" + RUSSIAN, "utf-8"),
        (RUSSIAN.encode()[:-2], "utf-8", None, "utf-8"),  # cut within a character
        (
            b"It\x92s a page of English, and all but ASCII.",
            None,
            "It\u2019s a page of English, and all but ASCII.",
            "cp1252",
        ),
        ("こんにちは".encode("iso2022_jp"), "iso-2022-jp", "こんにちは", "iso2022_jp"),
        (b"a\0b\0\0c" * 200, None, "abc" * 200, "ascii"),
    ],
)
def test_decode(data, declared, text, codec):
    clean, name = to_utf8(data, declared)
    assert name == codec
    assert text is None or clean.decode() == text


def test_labels_mean_what_they_mean_to_browsers():
    labels = {
        "latin1": "cp1252", "US-ASCII": "cp1252", "iso-8859-9": "cp1254", "gb2312": "gb18030", "GBK": "gb18030",
        "shift_jis": "cp932", "windows-31j": "cp932", "ks_c_5601-1987": "cp949", "big5": "big5hkscs",
        "tis-620": "cp874", "UTF8": "utf-8", "win-1251": "cp1251", "none": None, "rot13": None, "utf-7": None,
    }  # fmt: skip
    assert {label: codec_of(label) for label in labels} == labels


def test_the_page_s_own_label():
    assert page_label(b"<html><head><META CHARSET = 'Shift_JIS'>") == "Shift_JIS"
    assert page_label(b"<p>charset=utf-8</p>") is None
    assert page_label(b"x" * 9000 + b"<meta charset=utf-8>") is None


@given(
    st.binary(max_size=300), st.sampled_from([None, "utf-8", "gb2312", "big5", "shift_jis", "euc-jp", "iso-2022-jp"])
)
def test_whatever_comes_is_valid_utf8_without_nul(data, declared):
    clean, _ = to_utf8(data, declared)
    clean.decode()
    assert b"\0" not in clean


@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_arrow_and_python_agree_on_what_is_utf8(data):
    try:
        data.decode()
        valid = True
    except UnicodeDecodeError:
        valid = False
    assert is_utf8(data) == valid


# Python's codec for the name, and what the WHATWG standard reads under it.
WEB = {"shift_jis": "cp932", "euc-kr": "cp949", "big5": "big5hkscs", "gb2312": "gb18030", "iso-8859-1": "cp1252"}


def same(data: bytes, text: str, encoding: str) -> bool:
    for codec in (WEB.get(encoding.lower(), encoding), encoding):
        try:
            return data.decode(codec).lstrip("\ufeff").replace("\0", "") == text
        except UnicodeDecodeError:
            continue
    return False


def test_real_pages_of_known_encoding(shared: Path):
    truth = pq.read_table(shared / "charset-dev.parquet").to_pylist()
    right = [same(row["body"], to_utf8(row["body"])[0].decode(), row["encoding"]) for row in truth]
    assert (len(right), sum(right) / len(right) > 0.98) == (164, True)


def test_real_pages_with_headers(shared: Path):
    rows, _ = read_pieces((shared / "pages-dev.warc.gz").read_bytes(), [Piece("pages-dev.warc.gz")])
    found = {row["url"]: row["charset"] for row in rows}
    truth = pq.read_table(shared / "pages-dev.truth.parquet", columns=["url", "charset"]).to_pylist()
    ours = {"ascii": "ascii", "utf-8": "utf-8", "iso-8859-1": "cp1252", "windows-1252": "cp1252"}
    ours |= {"windows-1250": "cp1250", "windows-1251": "cp1251"}
    wrong = [row["url"] for row in truth if row["charset"] and ours[row["charset"]] != found[row["url"]]]
    assert len(wrong) == 2  # both are called UTF-8 there, and hold a windows-1252 byte or four and no UTF-8


@pytest.mark.parametrize(
    "data",
    [
        b"<" * 10_000_000,
        (b"<meta " * 60 + b"charset=").ljust(9000),
        b"<?xml encoding=".ljust(9000),
        b"<!--" * 5_000_000,
    ],
)
def test_markup_without_end_costs_its_length(data):
    text, codec = to_utf8(data + b"\xff\xc0")
    assert (text, codec) == (data + "ÿÀ".encode(), "cp1252")
