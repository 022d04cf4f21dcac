"""Where a benchmark cuts an archive."""

import gzip
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def record_bytes(kind: str, number: int, block: bytes) -> bytes:
    head = (
        f"WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{number}>\r\n"
        f"WARC-Target-URI: http://site/{number}\r\nContent-Type: application/http; msgtype={kind}\r\n"
        f"Content-Length: {len(block)}\r\n\r\n"
    )
    return gzip.compress(head.encode() + block + b"\r\n\r\n")


@pytest.fixture
def archive(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import archive

    return archive


def test_responses_and_their_places(archive, tmp_path):
    members = [
        record_bytes("request", 1, b"GET / HTTP/1.1\r\n\r\n"),
        record_bytes("response", 2, b"HTTP/1.1 200 OK\r\n\r\none"),
        record_bytes("response", 3, b"HTTP/1.1 200 OK\r\n\r\ntwo"),
    ]
    warc = tmp_path / "three.warc.gz"
    warc.write_bytes(b"".join(members))
    second, third = len(members[0]), len(members[0]) + len(members[1])
    assert archive.records_of(warc) == [
        archive.Record("<urn:uuid:2>", "http://site/2", second, third),
        archive.Record("<urn:uuid:3>", "http://site/3", third, third + len(members[2])),
    ]
    assert archive.member(warc, archive.records_of(warc)[0]) == members[1]
