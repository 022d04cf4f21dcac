"""One number per address; a row without one is like no other."""

import pyarrow as pa
import xxhash

from schemas import columns as c
from stages.dedup.url_hash import UrlHash
from stages.stage import Stage, check


def hashes(*urls: str | None) -> list[bytes]:
    table = pa.table({"id": [str(i) for i in range(len(urls))], "url": pa.array(urls, pa.string())})
    result = UrlHash().open()(table)
    assert result.schema.field("url_hash").type == pa.binary(16)
    return result.column("url_hash").to_pylist()


def test_is_a_stage() -> None:
    check((UrlHash(),), pa.schema([c.ID, c.URL]))
    assert isinstance(UrlHash(), Stage)


def test_is_xxh3_of_the_canonical_form() -> None:
    assert hashes("HTTPS://www.Example.org/?b=2&a=1#x") == [xxhash.xxh3_128_digest(b"http://example.org?a=1&b=2")]


def test_spellings_of_one_address_are_one() -> None:
    assert len(set(hashes("http://a.org/b", "https://www.a.org/b/", "//a.org/./b?utm_source=c"))) == 1
    assert len(set(hashes("http://a.org/b", "http://a.org/B", "http://a.org/b?c", "ftp://a.org/b"))) == 4


def test_rows_without_an_address_are_like_no_other() -> None:
    found = hashes(None, None, "", "  ", "http://a.org", "0")
    assert len(set(found)) == 6
    assert hashes(None, None, "", "  ") == found[:4]


def test_chunks_and_no_rows() -> None:
    assert hashes() == []
    table = pa.table({"id": ["1", "2"], "url": pa.chunked_array([["http://a.org"], ["http://a.org/"]])})
    assert len(set(UrlHash().open()(table).column("url_hash").to_pylist())) == 1
