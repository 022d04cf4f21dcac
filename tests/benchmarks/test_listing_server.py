"""The listings of the benchmark of resume are those of moto, page by page, as far as a client can see."""

from pathlib import Path
from urllib.parse import unquote

import boto3
import pytest
from botocore.parsers import create_parser
from botocore.session import Session
from moto import mock_aws
from moto.s3.models import s3_backends

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAMES = ["in/1", "in/2 &", "in/a/x", "in/a/y", "in/b/z", "in/b0", "in/é", "inner", "out"]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import listing_server

    return listing_server


@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("prefix", ["", "in/", "in/a", "nothing"])
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_pages(server, monkeypatch, delimiter, prefix, size):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="water")
        for name in NAMES:
            client.put_object(Bucket="water", Key=name, Body=name.encode())
        listings = server.Listings("water", s3_backends["123456789012"]["aws"].buckets["water"].keys)
        asked = {"Prefix": prefix, "Delimiter": delimiter}
        theirs = client.list_objects_v2(Bucket="water", **asked)
        seen = [("dir", p["Prefix"]) for p in theirs.get("CommonPrefixes", [])]
        seen += [(o["ETag"], o["Key"]) for o in theirs.get("Contents", [])]
    shape = Session().get_service_model("s3").operation_model("ListObjectsV2").output_shape
    ours, token = [], {}
    for _ in range(20):
        body = listings.page({"prefix": prefix, "delimiter": delimiter, "max-keys": str(size), **token})
        page = create_parser("rest-xml").parse({"status_code": 200, "headers": {}, "body": body}, shape)
        ours += [("dir", unquote(p["Prefix"])) for p in page.get("CommonPrefixes", [])]
        ours += [(o["ETag"], unquote(o["Key"])) for o in page.get("Contents", [])]
        if not page["IsTruncated"]:
            break
        token = {"continuation-token": page["NextContinuationToken"]}
    assert sorted(ours) == sorted(seen)
