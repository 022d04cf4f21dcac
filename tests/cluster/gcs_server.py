"""A Google Cloud Storage of one process over HTTP on loopback: what its JSON API's documentation says of objects.

Buckets, objects with generations and their preconditions, listings in pages, ranges, uploads by one request (multipart)
and by sessions. `fail` orders a fault. HEADRACE_GCS_ENDPOINT names another server, such as Google's storage-testbench.
"""

import contextlib
import email
import itertools
import json
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests

from cluster import storage

BUCKET = "water"
URL = f"gs://{BUCKET}/out"
KIB_256 = 1 << 18
DONE = [(503, "done"), (0, "done"), (503, "not done"), (0, "not done"), (429, "not done"), (409, "not done")]
# A server of somebody else's cannot be told to fail.
OURS = pytest.mark.skipif("HEADRACE_GCS_ENDPOINT" in os.environ, reason="needs the test's own server")
ROUTE = re.compile(r"(?P<kind>/upload|/download|)/storage/v1/b(?:/(?P<bucket>[^/]+)(?:/o(?:/(?P<key>[^/]+))?)?)?$")
ROUTES_OF_OBJECTS = re.compile(r"/o(/|$)")


class Answer(Exception):
    """What is sent back."""

    def __init__(self, status: int, body: Any = None, **headers: str) -> None:
        super().__init__(status)
        said = {"error": {"code": status, "message": body}} if status >= 400 else body
        self.body = said if isinstance(said, bytes) else b"" if said is None else json.dumps(said).encode()
        self.status, self.headers = status, headers


@dataclass
class Fault:
    """`status` instead of the answer, 0 for a connection that is closed; the request is `done` before or is not."""

    method: str
    where: str
    status: int
    done: bool
    times: int
    message: str


@dataclass
class Store:
    """The objects, by bucket and key: the resource that is told of one, and its data."""

    buckets: dict[str, dict[str, tuple[dict[str, Any], bytes]]] = field(default_factory=dict)
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    heedless: bool = False
    page: int = 1000

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self._next = itertools.count(1_700_000_000_000_000)

    def fail(self, method: str, where: str, status: int, done: bool = False, times: int = 1, message: str = "") -> None:
        self.faults.append(Fault(method, where, status, done, times, message))

    def put(self, bucket: str, key: str, data: bytes, about: dict[str, Any], asked: dict[str, str]) -> dict[str, Any]:
        self.check(bucket, key, asked)
        about = {"kind": "storage#object", **about, "bucket": bucket, "name": key, "size": str(len(data))}
        about |= {"generation": str(next(self._next)), "metageneration": "1", "updated": "2026-01-01T00:00:00.000Z"}
        self.buckets[bucket][key] = (about, data)
        return about

    def check(self, bucket: str, key: str, asked: dict[str, str]) -> None:
        there = self.of(bucket).get(key)
        now = there[0]["generation"] if there else "0"
        if asked.get("ifGenerationMatch", now) != now and not self.heedless:
            raise Answer(412, "At least one of the pre-conditions you specified did not hold.")

    def of(self, bucket: str) -> dict[str, tuple[dict[str, Any], bytes]]:
        if bucket not in self.buckets:
            raise Answer(404, "The specified bucket does not exist.")
        return self.buckets[bucket]

    def object(self, bucket: str, key: str) -> tuple[dict[str, Any], bytes]:
        if key not in self.of(bucket):
            raise Answer(404, f"No such object: {bucket}/{key}")
        return self.buckets[bucket][key]

    def answer(self, method: str, address: str, headers: Any, body: bytes) -> Answer:
        parts = urlsplit(address)
        asked = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        found = ROUTE.match(parts.path)
        if found is None:
            return Answer(404, f"no route {parts.path}")
        kind, bucket, key = found["kind"], unquote(found["bucket"] or ""), unquote(found["key"] or "")
        try:
            if kind == "/upload" and "upload_id" in asked:
                self._go_on(method, asked["upload_id"], headers, body)
            if kind == "/upload":
                self._upload(bucket, asked, headers, body)
            if method == "POST" and not bucket:
                return Answer(200, {"name": self.buckets.setdefault(json.loads(body)["name"], {}) and None})
            if not key and not ROUTES_OF_OBJECTS.search(parts.path):
                return Answer(200, {"kind": "storage#bucket", "name": bucket} if self.of(bucket) is not None else None)
            if not key:
                return self._list(bucket, asked)
            about, data = self.object(bucket, key)
            self.check(bucket, key, asked)
            if method == "DELETE":
                del self.buckets[bucket][key]
                return Answer(204)
            if kind != "/download" and asked.get("alt") != "media":
                return Answer(200, about)
            return _ranged(data, headers.get("Range"), about["generation"])
        except Answer as answer:
            return answer

    def _list(self, bucket: str, asked: dict[str, str]) -> Answer:
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
        found: dict[str, Any] = {}
        for key, (about, _) in self.of(bucket).items():
            if not key.startswith(prefix):
                continue
            folder, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            found[prefix + folder + cut if cut else key] = None if cut else about
        names = sorted(name for name in found if name > asked.get("pageToken", ""))
        names, rest = names[: self.page], names[self.page :]
        page: dict[str, Any] = {"kind": "storage#objects", "prefixes": [n for n in names if found[n] is None]}
        page["items"] = [found[n] for n in names if found[n] is not None]
        return Answer(200, {**page, "nextPageToken": names[-1]} if rest else page)

    def _upload(self, bucket: str, asked: dict[str, str], headers: Any, body: bytes) -> None:
        if asked["uploadType"] == "multipart":
            message = email.message_from_bytes(
                b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body, policy=HTTP
            )
            about = json.loads(message.get_payload()[0].get_payload())  # type: ignore[index, union-attr]
            boundary = b"\r\n--" + message.get_boundary().encode()  # type: ignore[union-attr]
            data = (b"\r\n" + body).split(boundary)[2].partition(b"\r\n\r\n")[2]
            raise Answer(200, self.put(bucket, about["name"], data, about, asked))
        self.of(bucket)
        name = f"session-{len(self.sessions)}"
        self.sessions[name] = {"bucket": bucket, "key": asked["name"], "data": b"", "asked": asked, "done": None}
        where = f"http://{headers['Host']}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={name}"
        raise Answer(200, {}, Location=where)

    def _go_on(self, method: str, name: str, headers: Any, body: bytes) -> None:
        if name not in self.sessions:
            raise Answer(404, "No such upload")
        session = self.sessions[name]
        if method == "DELETE":
            del self.sessions[name]
            raise Answer(499, "cancelled")
        if session["done"] is not None:
            raise Answer(200, session["done"])
        begin, total = re.match(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", headers["Content-Range"]).groups()  # type: ignore[union-attr]
        if begin is not None:
            have = len(session["data"])
            assert int(begin) <= have, "a hole"
            assert total != "*" or len(body) % KIB_256 == 0, "not a multiple of 256 KiB"
            session["data"] += body[have - int(begin) :]  # what has come already is passed over
        if total == str(len(session["data"])):
            put = self.put(session["bucket"], session["key"], session["data"], {}, session["asked"])
            session["done"] = put
            raise Answer(200, put)
        end = len(session["data"])
        raise Answer(308, None, **({"Range": f"bytes=0-{end - 1}"} if end else {}))


def _ranged(data: bytes, asked: str | None, generation: str) -> Answer:
    headers = {"X-Goog-Generation": generation}
    if asked is None:
        return Answer(200, data, **headers)
    begin, end = re.match(r"bytes=(\d*)-(\d*)", asked).groups()  # type: ignore[union-attr]
    if begin and int(begin) >= len(data):
        return Answer(416, "The requested range cannot be satisfied.")
    part = data[int(begin) : int(end) + 1 if end else None] if begin else data[-int(end) :]
    return Answer(206, part, **headers)


class Server(ThreadingHTTPServer):
    """Where a `Store` is reached."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.store = Store()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        store = self.server.store
        with store.lock:
            line = f"{self.command} {unquote(self.path)}"
            store.asked.append(line)
            hit = [f for f in store.faults if f.times and f.method == self.command and f.where in line]
            answer = Answer(0)
            if not hit or hit[0].done:
                answer = store.answer(self.command, self.path, self.headers, body)
            if hit:
                hit[0].times -= 1
                answer = Answer(hit[0].status, hit[0].message)
        if not answer.status:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Nothing: a test that fails tells what it has found."""


@contextlib.contextmanager
def _served() -> Iterator[tuple[str, Store]]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server.store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


ENVIRONMENT = {"NO_GCE_CHECK": "true", "GOOGLE_APPLICATION_CREDENTIALS": "", "FSSPEC_GS_TOKEN": "anon"}


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store behind gs://, with an empty bucket. Another server's is empty here: it cannot be told to fail."""
    pytest.importorskip("gcsfs", reason="pip install gcsfs")
    from fsspec.config import conf

    with contextlib.ExitStack() as stack:
        address = os.environ.get("HEADRACE_GCS_ENDPOINT", "")
        store = Store()
        if not address:
            address, store = stack.enter_context(_served())
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setitem(conf, "gs", {"token": "anon"})
        requests.post(f"{address}/storage/v1/b?project=test", json={"name": BUCKET}, timeout=10)
        storage._filesystem.cache_clear()
        yield store
        storage.Folder(f"gs://{BUCKET}/out").clear()
        storage._filesystem.cache_clear()
