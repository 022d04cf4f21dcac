"""A proxy between headrace and an S3 server that fails in the ways that stores and networks do.

Each request draws its fault by a seeded die, or by an order for the next ones of its kind; what is not failed is passed
on as it came, so a server that checks signatures is content. It listens on loopback, in a thread of its own.
"""

import asyncio
import io
import random
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from aiohttp import ClientSession, ClientTimeout, web
from yarl import URL

KINDS = ("slow_down", "throttled", "internal", "internal_done", "cut_upload", "cut_answer", "reset", "latency")
ERRORS = {
    "slow_down": (503, "SlowDown", "Please reduce your request rate."),
    "throttled": (429, "TooManyRequests", "Throttled."),
    "internal": (500, "InternalError", "We encountered an internal error. Please try again."),
    "internal_done": (500, "InternalError", "We encountered an internal error. Please try again."),
    "expired": (400, "ExpiredToken", "The provided token has expired."),
    "gone": (404, "NoSuchBucket", "The specified bucket does not exist"),
    "no_upload": (404, "NoSuchUpload", "The specified upload does not exist."),
    "refused": (403, "AccessDenied", "Access Denied"),
}
HOP = ("connection", "keep-alive", "expect", "transfer-encoding", "content-encoding")
ENTRY = re.compile(r"<Contents>.*?</Contents>", re.DOTALL)


@dataclass
class Order:
    """The next `times` requests of `method` whose path and query hold `where` fail so."""

    kind: str
    times: int
    method: str
    where: str


@dataclass
class Proxy:
    """Fails a `share` of the requests to the server `upstream`, each in one of `kinds`."""

    upstream: str
    share: float = 0.0
    kinds: tuple[str, ...] = KINDS
    seed: int = 7
    latency_s: float = 0.2
    lag_s: float = 0.0  # listings do not know what was put or deleted within the last seconds
    expired: set[str] = field(default_factory=set)  # session tokens that are not taken any more
    gone: bool = False  # the bucket is not there
    address: str = ""
    calls: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)  # whole objects by key that reached the server

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._orders: deque[Order] = deque()
        self._changed: dict[str, tuple[float, str | None]] = {}  # key -> when, and what stood there if it was deleted
        self._entries: dict[str, str] = {}

    def order(self, kind: str, times: int = 1, method: str = "", where: str = "") -> None:
        self._orders.append(Order(kind, times, method, where))

    def _fault(self, request: web.Request) -> str:
        token = request.headers.get("X-Amz-Security-Token", "")
        if self.gone:
            return "gone"
        if token and token in self.expired:
            return "expired"
        for order in self._orders:
            if order.times and order.method in ("", request.method) and order.where in request.raw_path:
                order.times -= 1
                return order.kind
        return self._dice.choice(self.kinds) if self._dice.random() < self.share else ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.calls[request.method] += 1
        fault = self._fault(request)
        if fault:
            self.failed[fault] += 1
        if fault == "reset":
            return abort(request)
        if fault == "cut_upload":
            await request.content.readany()
            return abort(request)
        body = await request.read()
        if fault == "latency":
            await asyncio.sleep(self.latency_s)
        if fault in ERRORS and fault != "internal_done":
            return error(request, fault)
        status, headers, answer = await self._pass_on(request, body)
        if self.lag_s and "list-type=2" in request.query_string:
            answer = self._as_it_was(answer.decode(), request.query_string).encode()
        if fault == "internal_done":
            return error(request, fault)
        if fault == "cut_answer":
            return await cut(request, status, headers, answer)
        kept = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        if request.method == "HEAD":
            kept["Content-Length"] = headers.get("Content-Length", "0")
        return web.Response(status=status, headers=kept, body=answer)

    async def _pass_on(self, request: web.Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        url = URL(self.upstream + request.raw_path, encoded=True)
        async with self._client.request(
            request.method,
            url,
            headers=headers,
            data=io.BytesIO(body),
            skip_auto_headers=("User-Agent", "Content-Type"),
        ) as found:
            answer = await found.read()
        key = unquote(request.path.lstrip("/").partition("/")[2])
        whole = (request.method == "PUT" and "partNumber" not in request.query) or "uploadId" in request.query_string
        if found.status < 300 and key and whole and request.method in ("PUT", "POST"):
            self.written[key] += 1
            self._changed[key] = time.monotonic(), None
        if found.status < 300 and key and request.method == "DELETE":
            self._changed[key] = time.monotonic(), self._entries.get(key)
        kept = {name: value for name, value in found.headers.items() if name.lower() not in HOP}
        return found.status, kept, answer

    def _as_it_was(self, listing: str, query: str) -> str:
        """A listing without what is younger than `lag_s`, and with what was deleted since."""
        recent = {key: was for key, (when, was) in self._changed.items() if time.monotonic() - when < self.lag_s}
        prefix = parse_qs(query).get("prefix", [""])[0]

        def old(match: re.Match[str]) -> str:
            key = match[0].partition("<Key>")[2].partition("</Key>")[0]
            self._entries[key] = match[0]
            return "" if key in recent else match[0]

        listing = ENTRY.sub(old, listing)
        back = [was for key, was in recent.items() if was and key.startswith(prefix) and "/" not in key[len(prefix) :]]
        return listing.replace("</ListBucketResult>", "".join(back) + "</ListBucketResult>")

    @contextmanager
    def running(self) -> Iterator["Proxy"]:
        """The proxy, listening at `address`."""
        loop, ready = asyncio.new_event_loop(), threading.Event()
        stop = asyncio.Event()

        async def serve() -> None:
            # No cookies, no pool that outlives the server's end of a connection.
            self._client = ClientSession(auto_decompress=False, timeout=ClientTimeout(total=60))
            application = web.Application(client_max_size=1 << 30)
            application.router.add_route("*", "/{path:.*}", self.handle)
            runner = web.AppRunner(application, access_log=None)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            self.address = f"http://{host}:{port}"
            ready.set()
            await stop.wait()
            await runner.cleanup()
            await self._client.close()

        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="s3-proxy", daemon=True)
        thread.start()
        assert ready.wait(30)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()


def error(request: web.Request, fault: str) -> web.Response:
    """What S3 says; of a HEAD only the status."""
    status, code, message = ERRORS[fault]
    text = "" if request.method == "HEAD" else f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return web.Response(status=status, body=text.encode(), content_type="application/xml")


def abort(request: web.Request) -> web.Response:
    """The connection is gone, without a word."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def cut(request: web.Request, status: int, headers: dict[str, str], answer: bytes) -> web.StreamResponse:
    """The answer ends in the middle of what its head says that it has."""
    if not answer:
        return abort(request)
    response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(len(answer))})
    await response.prepare(request)
    await response.write(answer[: len(answer) // 2])
    return abort(request)
