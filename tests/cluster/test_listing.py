"""Listings of S3: the parts of one are all of it, and a page says what botocore reads in it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.model import OperationModel
from botocore.parsers import create_parser
from botocore.session import Session
from botocore.utils import parse_timestamp

from cluster import storage
from cluster.objects.listing import Part, moment, objects, read_contents, split
from cluster.shards import list_inputs
from cluster.storage import Folder, locate
from tests.cluster.conftest import BUCKET

PAGE = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>water</Name><Prefix>in/</Prefix>'
    b"<KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
    b"<Contents><Key>in/a%26b.warc.gz</Key><LastModified>2026-11-21T20:00:00.000Z</LastModified>"
    b"<ETag>&quot;c8f0&quot;</ETag><Size>17</Size><StorageClass>STANDARD</StorageClass></Contents>"
    b"<Contents><Key>in/\xc3\xa9 &amp; c</Key><LastModified>2026-11-21T20:00:00.000Z</LastModified>"
    b"<ETag>&quot;c8f1-2&quot;</ETag><Size>0</Size></Contents>"
    b"<NextContinuationToken>more</NextContinuationToken>"
    b"<CommonPrefixes><Prefix>in/below/</Prefix></CommonPrefixes></ListBucketResult>"
)


@pytest.fixture(scope="module")
def operation() -> OperationModel:
    return Session().get_service_model("s3").operation_model("ListObjectsV2")


def read(operation: OperationModel, body: bytes, status: int = 200) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is read of a page, and what botocore gets to read."""
    response: dict[str, Any] = {"status_code": status, "headers": {}, "body": body}
    contents: dict[str, Any] = {}
    read_contents(operation_model=operation, response_dict=response, customized_response_dict=contents)
    return contents, response


def test_page_is_read_as_botocore_reads_it(operation: OperationModel) -> None:
    parser = create_parser("rest-xml")
    whole = parser.parse({"status_code": 200, "headers": {}, "body": PAGE}, operation.output_shape)
    contents, rest = read(operation, PAGE)
    assert [entry["Key"] for entry in contents["Contents"]] == ["in/a%26b.warc.gz", "in/é & c"]
    assert "Contents" not in (left := parser.parse(rest, operation.output_shape))
    assert {**left, **contents} == whole


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (PAGE, 500),
        (PAGE.replace(b"<Contents>", b'<Contents xmlns="">', 1), 200),
        (PAGE.replace(b"<Size>0</Size>", b"<Size></Size>"), 200),
        (PAGE.replace(b"<Size>0</Size>", b""), 200),
        (PAGE.replace(b"</Contents><Contents>", b"</Contents><Owner/><Contents>"), 200),
        (PAGE.replace(b"</Key><LastModified>", b"</Key>", 1), 200),
        (PAGE.replace(b"Contents>", b"s3:Contents>"), 200),
        (b"<Error><Code>SlowDown</Code></Error>", 200),
        (b"", 200),
    ],
)
def test_answer_that_is_not_as_s3_writes_it_is_left_to_botocore(
    operation: OperationModel, body: bytes, status: int
) -> None:
    contents, response = read(operation, body, status)
    assert (contents, response["body"]) == ({}, body)


def test_answer_that_is_cut_off_stays_cut_off(operation: OperationModel) -> None:
    """Botocore asks again for what is no XML."""
    _, response = read(operation, PAGE[:-30])
    assert response["body"].endswith(b"<CommonPrefixes><Prefix>in/below/</Prefix></Comm")


def numbered(first: int, last: int) -> list[str]:
    return [f"in/x-{number:05}.gz" for number in range(first, last + 1)]


def test_page_of_numbers_is_split_where_they_go_on() -> None:
    assert split(Part("in/"), numbered(0, 999)) == [
        Part("in/x-00", "in/x-00999.gz"),
        *(Part(f"in/x-0{digit}") for digit in "123456789"),
        Part("in/x-0", "in/x-09~"),
        *(Part(f"in/x-{digit}") for digit in "123456789"),
        Part("in/", "in/x-9~"),
    ]
    assert split(Part("in/x-1"), numbered(19_500, 19_899)) == []  # nothing is beyond a 9
    assert split(Part("in/x-1"), numbered(17_000, 17_999)) == [
        Part("in/x-17", "in/x-17999.gz"),
        Part("in/x-18"),
        Part("in/x-19"),
        Part("in/x-1", "in/x-19~"),
    ]


@pytest.mark.parametrize(
    "page",
    [
        [],
        ["in/x-00002.gz", "in/x-00001.gz", "in/x-00009.gz"],  # sorted in another way
        ["in/x-00001.gz", "in/x-00001.gz"],
        ["in/one", "in/two"],  # no numbers
        ["in/a", "in/x-00001.gz"],  # of what comes before
    ],
)
def test_page_that_does_not_show_how_names_go_on_is_not_split(page: list[str]) -> None:
    assert split(Part("in/", after="in/b" if page[:1] == ["in/a"] else ""), page) == []


@pytest.mark.parametrize(
    "names",
    [
        [f"CC-MAIN-20261105-{number:05}.warc.gz" for number in range(3000)],
        [f"{number * 2654435761 % 2**32:08x}" for number in range(2000)],
        [f"{segment}.{segment % 7}/warc/CC-{n:05}.gz" for segment in range(1707, 1720) for n in range(90)],
        [f"{word}{number}{end}" for word in ("a", "é", "~", "9~") for number in range(300) for end in ("", "~", "/x")],
        [f"word-{a}{b}" for a in "abcdefghijklmnopqrstuvwxyz" for b in "acegikmoqsuwyzACEGI-_. ~"],
    ],
    ids=["numbers", "hexadecimal", "segments", "odd", "words"],
)
def test_parts_are_all_that_is_behind_a_page(names: list[str]) -> None:
    """Whatever the names and however long a page: a server of them, asked until nothing is left."""
    there = sorted(f"in/{name}" for name in names)
    for size in (7, 100, 1000):
        waiting, found, asked = [Part("in/")], set[str](), 0
        while waiting:
            part = waiting.pop()
            behind = max(part.after, part.token)
            left = [name for name in there if name.startswith(part.prefix) and name > behind]
            found |= set(left[:size])
            asked += 1
            if left[size:]:
                waiting += split(part, left[:size]) or [Part(part.prefix, part.after, left[size - 1])]
        assert found == set(there)
        assert asked < 40 + 8 * len(there) / size


def test_long_listing_on_a_server_is_whole_and_as_s3fs_lists_it(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [*(f"x-{number:03}.txt" for number in range(40)), "a b&c.txt", "z/é.txt", ".hidden", "z+%20.txt"]
    for name in names:
        s3.put_object(Bucket=BUCKET, Key=f"in/{name}", Body=name.encode())
    s3.put_object(Bucket=BUCKET, Key="inner", Body=b"")
    filesystem, path = locate(f"s3://{BUCKET}/in")
    asked: list[dict[str, Any]] = []
    real = type(filesystem)._call_s3

    async def by_seven(self: Any, method: str, *args: Any, **more: Any) -> Any:
        if method == "list_objects_v2":
            asked.append(more)
            more = {**more, "MaxKeys": 7}
        return await real(self, method, *args, **more)

    theirs = filesystem.find(path, detail=True)
    monkeypatch.setattr(type(filesystem), "_call_s3", by_seven)
    found = objects(filesystem, path)
    assert list(found) == sorted(f"{BUCKET}/in/{name}" for name in names)
    for name, entry in found.items():
        assert {key: entry[key] for key in ("name", "size", "type", "ETag", "LastModified")} == {
            key: theirs[name][key] for key in ("name", "size", "type", "ETag", "LastModified")
        }
    assert any(more.get("StartAfter") for more in asked)
    assert [file.uri for file in list_inputs([f"s3://{BUCKET}/in"])] == sorted(
        f"s3://{BUCKET}/in/{name}" for name in names if name != ".hidden"
    )
    assert Folder(f"s3://{BUCKET}").names("in", ".txt") == sorted(
        f"in/{name}" for name in names if name not in ("z/é.txt", ".hidden")
    )


def test_error_of_one_page_is_that_of_the_listing(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        s3.put_object(Bucket=BUCKET, Key=f"in/x-{number:03}", Body=b"")
    filesystem, path = locate(f"s3://{BUCKET}/in")
    real = type(filesystem)._call_s3

    async def cut(self: Any, method: str, *args: Any, **more: Any) -> Any:
        if more.get("StartAfter"):
            raise PermissionError("not this one")
        return await real(self, method, *args, **more, MaxKeys=7)

    monkeypatch.setattr(type(filesystem), "_call_s3", cut)
    with pytest.raises(PermissionError, match="not this one"):
        objects(filesystem, path)


def test_file_is_no_folder_of_itself(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="in/one", Body=b"x")
    assert Folder(f"s3://{BUCKET}/in/one").names() == ["one"]  # as s3fs has it: an output that is a file is refused
    assert [file.uri for file in list_inputs([f"s3://{BUCKET}/in/one"])] == [f"s3://{BUCKET}/in/one"]
    assert Folder(f"s3://{BUCKET}/nothing").names() == []


def test_answers_are_checked_for_errors_behind_the_quick_reader(s3: Any) -> None:
    """Botocore parses every answer for that: it should get what is left of a long one."""
    filesystem, _ = locate(f"s3://{BUCKET}/in")
    filesystem.exists(f"{BUCKET}/in/one")
    events = filesystem.s3.meta.events
    order = [handler.__name__ for handler in events._emitter._lookup_cache["before-parse.s3.HeadObject"]]
    assert order.index("read_contents") < order.index("_handle_200_error")
    assert order.count("_handle_200_error") == 1
    storage._filesystem.cache_clear()


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-21T20:00:00.123Z", datetime(2026, 11, 21, 20, 0, 0, 123_000, UTC)),
        ("2026-11-21T20:00:00Z", datetime(2026, 11, 21, 20, tzinfo=UTC)),
        ("2026-11-21T22:00:00+02:00", datetime(2026, 11, 21, 20, tzinfo=UTC)),
        ("Sat, 21 Nov 2026 20:00:00 GMT", datetime(2026, 11, 21, 20, tzinfo=UTC)),
        (1795291200, datetime(2026, 11, 21, 20, tzinfo=UTC)),
    ],
)
def test_time_is_read_as_botocore_reads_it(text: Any, at: datetime) -> None:
    assert moment(text) == at
    assert parse_timestamp(text) == at
