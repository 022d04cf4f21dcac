"""An S3 server over HTTP on loopback, with a bucket that is empty for each test.

moto, or the server that HEADRACE_S3_ENDPOINT, HEADRACE_S3_KEY and HEADRACE_S3_SECRET name (tests/s3/radosgw.sh).
"""

import os
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from cluster import storage
from tests.cluster.gcs_server import BUCKET, gcs  # noqa: F401 - a fixture


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Address of an S3 server."""
    if address := os.environ.get("HEADRACE_S3_ENDPOINT"):
        yield address
        return
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", os.environ.get("HEADRACE_S3_KEY", "test"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", os.environ.get("HEADRACE_S3_SECRET", "test"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    storage._filesystem.cache_clear()
    yield client
    for entry in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=entry["Key"])
    client.delete_bucket(Bucket=BUCKET)
    storage._filesystem.cache_clear()
