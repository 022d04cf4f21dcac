"""One request until it is answered, given up, or the stage must stop: tries, waits, rate limits, the circuit.

Everything here runs in the event loop of a client.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import aiohttp
import orjson
from yarl import URL

from stages.models.engine import Answer, Failure, Scored, Vector
from stages.models.openai_faults import Again, Refused, Unsupported, of_body, of_exception, of_status
from stages.models.openai_pace import Backoff, Bucket, Circuit, Slots
from stages.stage import StageError

T = TypeVar("T", Answer, Scored, Vector)

KEEP_ALIVE = 4.0  # seconds: uvicorn ends an idle connection after 5, and a POST on a dead one fails
CONNECT = 30.0  # seconds for a connection, or to say that the server is there
PAID_TRIES = 2  # of a request whose answers say nothing
STRANGERS = 32  # answers by another model, and none by the right one between them: that is no change of models


class Call(NamedTuple):
    """One request: where, what, and an estimate of its tokens for the limit."""

    url: URL
    body: bytes
    tokens: float


@dataclass(frozen=True)
class Verb(Generic[T]):
    """How the calls of a stream are made and their answers read, by number.

    `adapt` is told why the server will have none of a call, and says whether the call, made anew, is another one.
    """

    make: Callable[[int], Call]  # raises Refused
    read: Callable[[int, Any, float], T]  # (number, JSON, seconds); raises Refused or Again
    adapt: Callable[[str], bool] = lambda message: False


@dataclass(frozen=True)
class Limits:
    """The options of an `openai:` engine that say how hard the server is asked."""

    concurrency: int
    timeout: float
    patience: float
    tries: int
    requests_per_minute: float
    tokens_per_minute: float


@dataclass
class Tries:
    """What a request has behind it once a try has failed."""

    counted: int = 0  # tries that were its own fault
    failed: int = 0  # all of them
    failed_at: float | None = None  # the last one
    busy_since: float | None = None


class Asking:
    """A server as an event loop asks it. `secret` appears in no message, whatever the server says."""

    def __init__(self, address: str, limits: Limits, secret: str, backoff: Backoff) -> None:
        self.address = address
        self._limits = limits
        self._secret = secret
        self._backoff = backoff
        self._loop = asyncio.get_running_loop()
        clock = self._loop.time
        self._circuit = Circuit(address, limits.patience, clock)
        self._requests = Bucket(limits.requests_per_minute, clock) if limits.requests_per_minute else None
        self._tokens = Bucket(limits.tokens_per_minute, clock) if limits.tokens_per_minute else None
        self._slots = Slots(limits.concurrency)
        self._models = URL(f"{address}/models")
        self._probing: asyncio.Task[bool] | None = None
        self._strangers = 0  # answers by another model since the last by the right one
        self._brief = aiohttp.ClientTimeout(total=min(CONNECT, limits.timeout))  # of GET
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE, ttl_dns_cache=60),
            timeout=aiohttp.ClientTimeout(total=limits.timeout, sock_connect=min(CONNECT, limits.timeout)),
            headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {secret}"} if secret else {}),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        await self._session.close()

    async def admit(self, call: Call) -> None:
        """Wait until `call` may be sent by the rate limits, and take a slot for it."""
        wait = self._requests.take(1) if self._requests is not None else 0.0
        if self._tokens is not None:
            wait = max(wait, self._tokens.take(call.tokens))
        if wait > 0:
            await asyncio.sleep(wait)
        await self._slots.take()

    def dismiss(self, count: int) -> None:
        """Give back slots of admitted calls that are not made after all."""
        self._slots.give(count)

    async def settle(self, verb: Verb[T], number: int, call: Call) -> T | Failure:
        """The result of an admitted call, however often it must be tried."""
        behind, adapted = None, False
        while True:
            begun = self._loop.time()
            try:
                return await self._try(verb, number, call, begun)
            except Refused as error:
                return Failure(self._hide(f"{self.address}: {error}"))
            except StageError as error:
                if adapted or not isinstance(error, Unsupported) or not verb.adapt(str(error)):
                    raise type(error)(self._hide(f"{self.address}: {error}")) from None
                call, adapted = verb.make(number), True
                await self.admit(call)
                continue
            except Again as error:
                fault = error
            behind = behind or Tries()
            message = self._hide(str(fault))
            if await self._counts(fault, behind, begun, message):
                tried = f"{behind.failed} tries" if behind.failed > 1 else "1 try"
                return Failure(f"{self.address}: given up after {tried}: {message}")
            after = None if fault.after is None else min(fault.after, self._limits.patience)
            await asyncio.sleep(self._backoff.seconds(behind.failed, after))
            await self.admit(call)

    async def _counts(self, fault: Again, behind: Tries, begun: float, message: str) -> bool:
        """Note a failed try; whether it was the last. `StageError` if the whole stage is to end."""
        limits, now = self._limits, self._loop.time()
        before, behind.failed_at = behind.failed_at, now
        behind.failed += 1
        if fault.kind == "busy":
            self._circuit.failed(message)
            behind.busy_since = behind.busy_since or now
            return now - behind.busy_since > limits.patience
        # An answer to another since this one's last failure: then the server was there, though it may not be now. So a
        # request that kills the server each time is given up, and none is for one time that the server was away.
        answered = self._circuit.last_answer >= (begun if before is None else before)
        if fault.kind == "gone" and not answered and not await self._is_there():
            self._circuit.failed(message)
            return False
        behind.counted += 1
        if fault.kind == "model":
            self._strangers += 1
            if behind.counted >= limits.tries or self._strangers >= STRANGERS:
                times = max(behind.counted, self._strangers)
                raise StageError(f"{self.address}: {message}, {times} times")
        return behind.counted >= (min(PAID_TRIES, limits.tries) if fault.kind == "paid" else limits.tries)

    async def _try(self, verb: Verb[T], number: int, call: Call, begun: float) -> T:
        """Ask once, and give the slot back."""
        try:
            status, headers, body = await self._ask("POST", call.url, call.body)
        finally:
            self._slots.give()
        seconds = self._loop.time() - begun
        if status != 200:
            fault = of_status(status, headers, body)
            if isinstance(fault, Refused):
                self._circuit.answered()
            raise fault
        try:
            payload = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise of_body(body) from None
        self._circuit.answered()
        try:
            result = verb.read(number, payload, seconds)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise Again("paid", f"the answer is not of the form it should have: {error!r}") from None
        self._strangers = 0
        if self._tokens is not None:
            used = result.usage.prompt_tokens + result.usage.completion_tokens
            self._tokens.take((used or call.tokens) - call.tokens)
        return result

    async def _ask(self, method: str, url: URL, body: bytes | None) -> tuple[int, Any, bytes]:
        try:
            timeout = self._session.timeout if body is not None else self._brief
            options: Any = {"data": body, "allow_redirects": False, "timeout": timeout}
            async with self._session.request(method, url, **options) as response:
                return response.status, response.headers, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise of_exception(error, self._limits.timeout) from None

    async def _is_there(self) -> bool:
        """Whether the server answers at all; those who ask at the same time share one probe."""
        if self._probing is None or self._probing.done():
            self._probing = self._loop.create_task(self._look())
        return await asyncio.shield(self._probing)

    async def _look(self) -> bool:
        """Any answer will do, but a proxy's that it does not reach the server."""
        try:
            status, headers, body = await self._ask("GET", self._models, None)
        except (Again, StageError):
            return False
        fault = of_status(status, headers, body) if status >= 500 else None
        there = not (isinstance(fault, Again) and fault.kind in ("gone", "busy"))
        if there:
            self._circuit.answered()
        return there

    async def models(self) -> Any:
        """What GET /models says as JSON; None if it does not. Waits until the server is there."""
        failed = 0
        while True:
            try:
                status, headers, body = await self._ask("GET", self._models, None)
            except Again as error:
                fault: Exception = error
            else:
                fault = of_status(status, headers, body)
                if status == 200:
                    return _loaded(body)
                if status in (401, 403):
                    raise StageError(self._hide(f"{self.address}: {fault}"))
                if not (isinstance(fault, Again) and fault.kind in ("gone", "busy")):
                    return None
            failed += 1
            self._circuit.failed(self._hide(str(fault)))
            await asyncio.sleep(self._backoff.seconds(failed))

    def _hide(self, message: str) -> str:
        """Servers repeat a key that they do not like."""
        return message.replace(self._secret, "***") if self._secret else message


def _loaded(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
