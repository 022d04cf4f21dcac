"""Makes tests/data/sample.warc.gz: a small crawl of pages of our own, with everything that goes wrong in real ones.

    python -m tests.make_sample

The same bytes at every run: no clock, no random numbers, gzip headers of our own. Every host is a reserved name.
"""

import sys
import uuid
from datetime import datetime, timedelta
from pathlib import Path

from tests.sample_pages.crawl import Page, pages
from tests.sample_pages.gzipped import damaged, member

SAMPLE = Path(__file__).parent / "data" / "sample.warc.gz"
BROKEN = "https://harbour-gazette.example/damaged-in-the-archive"
CUT = "https://harbour-gazette.example/cut-off"
HTTP = "application/http; msgtype="


def main() -> None:
    SAMPLE.parent.mkdir(parents=True, exist_ok=True)
    data = archive()
    SAMPLE.write_bytes(data)
    sys.stdout.write(f"{SAMPLE}: {len(data):,} bytes, {len(pages())} whole responses, 1 damaged, 1 cut off\n")


def archive() -> bytes:
    """The bytes of the archive: a gzip member for each record, one in the middle damaged, the last one cut off."""
    members = [member(record("warcinfo", "", b"software: headrace sample\r\nformat: WARC File Format 1.1\r\n", 0))]
    found = pages()
    for number, page in enumerate(found):
        if number == len(found) // 2:
            members.append(damaged(response(Page(BROKEN, found[0].body), number)))
        if number % 5 == 0:
            asked = f"GET / HTTP/1.1\r\nHost: {page.url.split('/')[2]}\r\nUser-Agent: sample/1.0\r\n\r\n"
            members.append(member(record("request", page.url, asked.encode(), number, f"{HTTP}request")))
        members.append(member(response(page, number)))
        if number % 5 == 0:
            members.append(member(record("metadata", page.url, b"fetchTimeMs: 212\r\n", number)))
        if number % 60 == 59:
            same = b"HTTP/1.1 304 Not Modified\r\n\r\n"
            members.append(member(record("revisit", page.url, same, number, f"{HTTP}response")))
    last = member(response(Page(CUT, found[-1].body), len(found)))
    return b"".join(members) + last[: len(last) // 2]


def response(page: Page, number: int) -> bytes:
    """The response record of a page."""
    head = [f"HTTP/1.1 {page.status}", "Server: sample", f"Content-Type: {page.mime}"]
    head += [f"{name}: {value}" for name, value in page.headers]
    if "Transfer-Encoding" not in dict(page.headers):
        head.append(f"Content-Length: {len(page.body)}")
    block = "\r\n".join(head).encode() + b"\r\n\r\n" + page.body
    return record("response", page.url, block, number, f"{HTTP}response")


def record(kind: str, url: str, block: bytes, number: int, mime: str = "application/warc-fields") -> bytes:
    """A WARC 1.1 record."""
    date = datetime(2025, 6, 1, 8) + timedelta(seconds=7 * number)  # noqa: DTZ001  only its text is used
    head = ["WARC/1.1", f"WARC-Type: {kind}", f"WARC-Date: {date.isoformat()}Z"]
    head.append(f"WARC-Record-ID: <urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{kind} {url} {number}')}>")
    head.append(f"WARC-Target-URI: {url}" if url else "WARC-Filename: sample.warc.gz")
    head += [f"Content-Type: {mime}", f"Content-Length: {len(block)}"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


if __name__ == "__main__":
    main()
