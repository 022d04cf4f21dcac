"""A broken archive gives every record that is there, and says where it is broken."""

import gzip
import io
import random
import zlib
from pathlib import Path

import pytest

from stages.stage import Piece, Unreadable
from stages.warc.archive import read_archive
from tests.stages.archives import HTML, gz, lz, page, pages, read, read_pieces, record, urls

FIVE = pages(0, 1, 2, 3, 4)
AT = len(gz(*FIVE[:2]))  # where the third member of gz(*FIVE) begins
NEXT = len(gz(*FIVE[:3]))


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 255,)) + data[at + 1 :]


def noise(number: int, n_bytes: int) -> bytes:
    """A page that does not compress, so that a broken byte breaks its member where it is."""
    return record(HTML + random.Random(number).randbytes(n_bytes), url=f"http://a.example/{number}")


def test_a_wrong_checksum_in_the_middle():
    rows, places = read(flipped(gz(*FIVE), NEXT - 8))
    assert (urls(rows), places) == ([0, 1, 3, 4], [AT])
    assert (rows[2]["url"], rows[2]["drop_reason"], rows[2]["html"]) == ("http://a.example/2", "corrupt_record", None)


def test_broken_bytes_in_the_middle_of_a_member():
    big = [noise(i, 3000) for i in range(5)]
    at = len(gz(*big[:2]))
    rows, places = read(flipped(gz(*big), at + 1000))
    assert (urls(rows), places) == ([0, 1, 3, 4], [at])
    assert (rows[2]["url"], rows[2]["drop_reason"]) == ("http://a.example/2", "corrupt_record")


def test_a_member_that_cannot_be_decompressed_to_its_end():
    big = [noise(i, 3000) for i in range(5)]
    at = len(gz(*big[:2]))
    member = zlib.compressobj(wbits=31)
    start = member.compress(big[2][:2000]) + member.flush(zlib.Z_FULL_FLUSH)
    rows, places = read(gz(*big[:2]) + start + b"\x07" * 50 + gz(*big[3:]))  # 7: a block of a kind that is not
    assert (urls(rows), places) == ([0, 1, 3, 4], [at])
    assert (rows[2]["url"], rows[2]["drop_reason"]) == ("http://a.example/2", "truncated_record")


@pytest.mark.parametrize("n_lost", [1, 9, 40, 150])
def test_a_member_cut_short_before_others(n_lost):
    data = gz(*FIVE[:3])[:-n_lost] + gz(*FIVE[3:])
    rows, places = read(data)
    assert [n for n in urls(rows) if n != 2] == [0, 1, 3, 4]
    assert places == [AT]


@pytest.mark.parametrize(
    ("garbage", "n_places"),
    [(b"hello world" * 9, 1), (b"\x1f\x8b\x08\x00 this is no member", 1), (b"\0" * 512, 0), (b"\0" * 9 + b"x", 1)],
)
def test_garbage_between_members(garbage, n_places):
    rows, places = read(gz(*FIVE[:2]) + garbage + gz(*FIVE[2:]))
    assert (urls(rows), places) == ([0, 1, 2, 3, 4], [AT] * n_places)


def test_garbage_before_and_after():
    rows, places = read(b"HTTP/1.1 200 OK\r\n\r\n" + gz(*FIVE) + b"the end")
    assert (urls(rows), places) == ([0, 1, 2, 3, 4], [0, 19 + len(gz(*FIVE))])


def test_a_member_that_is_no_record():
    rows, places = read(gz(*FIVE[:2], b"\nthis is a text\n", *FIVE[2:]))
    assert (urls(rows), places) == ([0, 1, 2, 3, 4], [len(gz(FIVE[0]))])


def test_the_file_ends_within_a_record():
    rows, places = read(gz(*FIVE[:2], page(2, 1000))[:-30])
    assert [row["drop_reason"] for row in rows] == [None, None, "truncated_record"]
    assert (rows[2]["url"], places) == ("http://a.example/2", [AT])


def test_the_file_ends_within_a_header_or_a_checksum():
    assert read(gz(*FIVE[:3])[: AT + 30])[1] == [AT]
    rows, places = read(gz(*FIVE[:3])[:-3])
    assert (urls(rows), places) == ([0, 1, 2], [AT])


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz", "a.warc.lz4"])
@pytest.mark.parametrize("data", [b"", b"this is not an archive at all\n" * 99, b"\r\n\r\n"])
def test_no_archive(name, data):
    assert read(data, name) == ([], [0])


def test_a_gzip_file_of_something_else():
    assert read(gzip.compress(b"helloworld\n")) == ([], [0])


def test_a_content_length_too_short():
    data = gz(FIVE[0], record(HTML + b"<p>all of it</p>", url="http://a/1", content_length="50"), *FIVE[2:])
    rows, places = read(data)
    assert (urls(rows), places) == ([0, 1, 2, 3, 4], [])
    assert rows[1]["html"] == "<p>all of it</p>"


def test_a_content_length_too_long_in_its_own_member():
    data = gz(*FIVE[:2], record(HTML + b"<p>", url="http://a/2", content_length="500"), *FIVE[3:])
    rows, places = read(data)
    assert (urls(rows), places) == ([0, 1, 3, 4], [AT])
    assert rows[2]["drop_reason"] == "truncated_record"


@pytest.mark.parametrize("length", ["60", "150", "99999999999999", "x", None])
@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_a_wrong_content_length_among_records_one_after_another(name, length):
    odd = record(HTML + b"<p>all of it</p>", url="http://a/1", content_length=length)
    data = b"".join([FIVE[0], odd, *FIVE[2:]])
    rows, places = read(data if name == "a.warc" else gzip.compress(data), name)
    assert (urls(rows), places) == ([0, 1, 2, 3, 4], [])
    assert rows[1]["html"] == "<p>all of it</p>"


def test_an_archive_that_lost_its_carriage_returns():
    block = HTML + b"<p>\r\n one\r\n two\r\n</p>"
    data = b"".join(record(block, url=f"http://a/{i}") for i in range(5)).replace(b"\r\n", b"\n")
    for packed, name in ((data, "a.warc"), (gzip.compress(data), "a.warc.gz")):
        rows, places = read(packed, name)
        assert (urls(rows), places) == ([0, 1, 2, 3, 4], [])
        assert {row["html"] for row in rows} == {"<p>\n one\n two\n</p>"}
    rows, places = read(data[:-40], "a.warc")
    assert (urls(rows), rows[4]["drop_reason"], len(places)) == ([0, 1, 2, 3], "truncated_record", 1)


def test_garbage_between_plain_records():
    rows, places = read(b"".join(FIVE[:2]) + b"garbage\r\nmore\r\n" + b"".join(FIVE[2:]), "a.warc")
    assert (urls(rows), places) == ([0, 1, 2, 3, 4], [len(b"".join(FIVE[:2]))])


def test_a_plain_file_cut_in_a_record():
    rows, places = read(b"".join(FIVE)[:-30], "a.warc")
    assert (urls(rows), rows[4]["drop_reason"], places) == ([0, 1, 2, 3], "truncated_record", [len(b"".join(FIVE[:4]))])


def test_gzip_over_the_whole_file_cut_in_the_middle():
    data = gzip.compress(b"".join(noise(i, 3000) for i in range(40)), mtime=0)
    rows, places = read(data[: len(data) // 2])
    assert urls(rows) == list(range(len(rows) - 1))
    assert len(rows) in (19, 20, 21)
    assert (rows[-1]["drop_reason"], places) == ("truncated_record", [0])


def test_gzip_over_the_whole_file_with_a_wrong_checksum():
    data = gzip.compress(b"".join(FIVE), mtime=0)
    rows, places = read(flipped(data, len(data) - 8))
    assert (urls(rows), rows[4]["drop_reason"], places) == ([0, 1, 2, 3], "corrupt_record", [0])


def test_lz4_with_a_bad_frame():
    big = [noise(i, 3000) for i in range(5)]
    at = len(lz(*big[:2]))
    rows, places = read(flipped(lz(*big), at + 2000), "a.warc.lz4")
    assert (urls(rows), places) == ([0, 1, 3, 4], [at])


def test_a_record_without_a_type_or_address():
    data = gz(
        record(HTML, warc_type=None), record(b"text", "conversion", warc_target_uri=None, content_type="text/plain")
    )
    rows, places = read(data)
    assert ([row["url"] for row in rows], rows[0]["text"], places) == ([None], "text", [0])


def test_a_header_without_an_end():
    endless = b"WARC/1.0\r\n" + b"X: y\r\n" * 60_000
    rows, places = read(gz(FIVE[0], endless, FIVE[1]))
    assert (urls(rows), places) == ([0, 1], [len(gz(FIVE[0]))])


def test_a_huge_record_is_passed_by_without_being_held():
    class Counted(io.BytesIO):
        largest = 0

        def read(self, size=-1):
            Counted.largest = max(Counted.largest, size)
            return super().read(size)

    huge = record(HTML + b"<p>\n" * 1_000_000, url="http://a/1")
    data = b"".join([FIVE[0], huge, *FIVE[2:]])
    items = list(read_archive(Counted(data), Piece("a.warc"), hold=100_000))
    assert [(item.fault, len(item.block) > 70_000) for item in items] == [("", False), ("too_large", False)] + [
        ("", False)
    ] * 3
    assert Counted.largest <= 1 << 20


def test_a_huge_record_by_both_readers():
    data = gz(*pages(*range(20)), page(20, 500_000), *pages(*range(21, 40)))
    for fast in (True, False):
        items = list(read_archive(io.BytesIO(data), Piece("a.warc.gz"), hold=100_000, fast=fast))
        assert [item.fault for item in items] == [""] * 20 + ["too_large"] + [""] * 19
        assert len(items[20].block) == 65536


def test_fastwarc_and_our_own_reading_agree_on_archives_broken_at_random():
    rng = random.Random(7)
    sound = [page(i, rng.choice((0, 50, 3000))) for i in range(60)]
    for _ in range(60):
        data = gz(*sound)
        at = rng.randrange(len(data))
        match rng.choice(("flip", "cut", "insert", "delete")):
            case "flip":
                data = flipped(data, at)
            case "cut":
                data = data[:at]
            case "insert":
                data = data[:at] + rng.randbytes(rng.choice((1, 20, 900))) + data[at:]
            case "delete":
                data = data[:at] + data[at + rng.choice((1, 20, 900)) :]
        both = [list(read_archive(io.BytesIO(data), Piece("a.warc.gz"), 100_000, fast)) for fast in (True, False)]
        assert both[0] == both[1]
        cut = [Piece("a.warc.gz", 0, at // 2), Piece("a.warc.gz", at // 2, at), Piece("a.warc.gz", at, None)]
        assert [item for piece in cut for item in read_archive(io.BytesIO(data), piece, 100_000)] == both[0]


# Rows, broken places; behind it the rows of the best reader in MANIFEST.md's table where that finds fewer.
ORIGINALS = {
    "allenai_dolma--sample-0000.warc.gz": (22, 0),
    "allenai_dolma--sample-0001.warc.gz": (15, 0),
    "chatnoir-eu_chatnoir-resiliparse--clipped.warc.gz": (1, 1),
    "chatnoir-eu_chatnoir-resiliparse--warcfile.warc.gz": (16, 0),
    "chatnoir-eu_chatnoir-resiliparse--warcfile.warc.lz4": (16, 0),
    "commoncrawl_whirlwind-python--whirlwind.warc.gz": (1, 0),
    "commoncrawl_whirlwind-python--whirlwind.warc.wat": (0, 0),
    "commoncrawl_whirlwind-python--whirlwind.warc.wet.gz": (1, 0),
    "jeffharwell_CommonCrawlScalaTools--11_bytes.txt.gz": (0, 1),
    "jeffharwell_CommonCrawlScalaTools--appended_zip_fragment_unexpected_eof.wet.gz": (16, 1),
    "jeffharwell_CommonCrawlScalaTools--corrupt_starts_with_conversion.wet.gz": (5, 0),
    "jeffharwell_CommonCrawlScalaTools--corrupt_two_warcinfo.wet.gz": (5, 0),
    "jeffharwell_CommonCrawlScalaTools--corrupt_warcconversion_1.wet.gz": (5, 0),
    "jeffharwell_CommonCrawlScalaTools--corrupt_warcinfo_1.wet.gz": (5, 0),
    "jeffharwell_CommonCrawlScalaTools--file_headers_only.wet.gz": (0, 0),
    "jeffharwell_CommonCrawlScalaTools--fragment1_incomplete_last.wet.gz": (2, 1),
    "jeffharwell_CommonCrawlScalaTools--fragment2_no_header.wet.gz": (2, 2),
    "netarchivesuite_jwat--invalid-warcfile-encoding-headers.warc.gz": (3, 0),
    "oduwsdl_ipwb--sample-1.warc.gz": (70, 0),
    "r-spark_sparkwarc--sample.warc": (6, 0),  # 1
    "r-spark_sparkwarc--sample.wat": (0, 0),
    "r-spark_sparkwarc--sample.wet.gz": (68, 0),  # 60
    "ukwa_webarchive-discovery--BL-20140325122341434-00000-32090~opera~8443.warc.gz": (10, 0),
    "ukwa_webarchive-discovery--transfer_compression_brotli.warc.gz": (1, 0),
    "ukwa_webarchive-discovery--transfer_compression_gzip.warc.gz": (1, 0),
    "ukwa_webarchive-discovery--truncated_datetime.warc": (1, 0),
    "webrecorder_warcio--example-bad-non-chunked.warc.gz": (1, 0),
    "webrecorder_warcio--example-digest.warc": (0, 0),
    "webrecorder_warcio--example-trunc.warc": (1, 0),
    "webrecorder_warcio.js--example-bad-length.warc": (1, 0),
    "webrecorder_warcio.js--example-iana.org-chunked.warc": (1, 0),
}


@pytest.mark.parametrize("name", ORIGINALS)
def test_real_archives(shared: Path, name):
    data = (shared / "warc-originals" / name).read_bytes()
    rows, places = read_pieces(data, [Piece(name)])
    assert (len(rows), len(places)) == ORIGINALS[name]
    assert all(isinstance(place, Unreadable) and place.error for place in places)
    assert len({row["id"] for row in rows}) == len(rows)
