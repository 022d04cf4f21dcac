"""How long a store may have trouble: one policy for every request to S3, and by gcs_patience.py to GCS, whoever asks.

A request that failed for a reason that may pass is sent again after a while: twice as long each time, and by chance
shorter, so that ten thousand workers do not come back at once. When `patience_s` have gone by in trouble, or at once
when waiting cannot help, the run ends with what was asked of which object and what to do. botocore's own tries are off:
they know neither how long it has been nor credentials that somebody has renewed meanwhile.
"""

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from cluster.errors import ConfigError, HeadraceError, StoreError, is_transient

T = TypeVar("T")
VARIABLE = "HEADRACE_STORE_PATIENCE_S"
PATIENCE_S = 120.0
FIRST_S = 15.0  # the same before the store has ever answered: more likely its address is wrong
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 10.0
TRIES = 5  # at an answer that is cut off, as s3fs has it
STATUSES = (429, 500, 502, 503, 504)
TROUBLE = (
    "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "InternalError",
    "ServiceUnavailable", "RequestTimeout", "RequestTimeoutException",
    "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch",  # what arrived is not what was sent
)  # fmt: skip
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired")
UNSAID = ("400", "403")  # of a request whose answer has no body: that the credentials have expired, or another thing
GONE = ("NoSuchBucket",)
AGAIN = "then the same command goes on where this one stopped"
RENEW = f"renew the credentials (those in a file, from a role or a service are read again); {AGAIN}"
MAKE = f"make it again or give another address; {AGAIN}"
WAIT = f"wait until the store answers again, or set {VARIABLE} higher; {AGAIN}"


def patience_s() -> float:
    """Seconds of trouble that a run waits through."""
    said = os.environ.get(VARIABLE, "")
    try:
        return float(said or PATIENCE_S)
    except ValueError as error:
        raise ConfigError(f"{VARIABLE} should be a number of seconds, got {said!r}") from error


class Trouble:
    """How a store has answered one session, and so for how long a request that fails is sent again."""

    def __init__(self) -> None:
        self._seconds = patience_s()
        self.met = False  # the store has answered this process
        self._lost = False  # patience was lost, and no answer since: the next request is not waited for again

    def over(self, well: bool) -> None:
        """The store has answered for good: with what was asked for if `well`."""
        self.met, self._lost = self.met or well, False

    def wait(self, request: object, why: str, since: float, tries: int, answered: bool, expired: bool) -> float:
        """Seconds before what was tried `tries` times, in trouble `since` then, is sent again; or `StoreError`.

        `answered`: the trouble is one that the store told of; `expired`: of the credentials.
        """
        gone = time.monotonic() - since
        wait: float = random.uniform(0.5, 1.0) * min(FIRST_WAIT_S * 2 ** (tries - 1), LONGEST_WAIT_S)
        patience = self._seconds if self.met or answered else min(self._seconds, FIRST_S)
        lost = self._lost and not (expired and tries == 1)  # they may have been renewed by now
        if lost or gone + wait > patience:
            self._lost = True
            raise StoreError(f"{request}: {why}, for {gone:.0f} s\n  {RENEW if expired else WAIT}")
        return wait


class Patience:
    """Decides for the requests of one session to S3 whether to send them again, and when."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._store = Trouble()

    async def __call__(self, **event: Any) -> float | None:
        """Botocore's event `needs-retry`: seconds to wait before the request is sent again; None to let it be."""
        code, why, passing = _trouble(event["response"], event["caught_exception"])
        expired = code in EXPIRED or (code in UNSAID and self._store.met and await self._temporary())
        if not (passing or expired):
            if event["caught_exception"] is None:
                self._store.over(well=event["response"][0].status_code < 300)
            if code in GONE:
                raise StoreError(f"{_what(event)}: {why}\n  {MAKE}")
            return None
        since = event["request_dict"]["context"].setdefault("headrace_trouble_since", time.monotonic())
        wait = self._store.wait(_what(event), why, since, event["attempts"], bool(code), expired)
        if expired:
            await self._renew()
        return wait

    async def _temporary(self) -> bool:
        """Whether the credentials are such as end some time."""
        ours = await self._session.get_credentials()
        return ours is not None and bool((await ours.get_frozen_credentials()).token)

    async def _renew(self) -> None:
        """Read the credentials again where that is not done by itself: from files and the environment."""
        import aiobotocore.session as fresh  # type: ignore[import-untyped]  # noqa: PLC0415 - a second of imports
        from aiobotocore.credentials import AioRefreshableCredentials  # type: ignore[import-untyped]  # noqa: PLC0415

        ours = await self._session.get_credentials()
        if ours is None or isinstance(ours, AioRefreshableCredentials):
            return
        found = await fresh.AioSession().get_credentials()
        if found is not None:
            new = await found.get_frozen_credentials()
            ours.access_key, ours.secret_key, ours.token = new.access_key, new.secret_key, new.token


def patient_session() -> Any:
    """A session of aiobotocore whose clients are patient."""
    from aiobotocore.session import AioSession  # noqa: PLC0415 - a second of imports

    session = AioSession()
    session.get_component("event_emitter").register("needs-retry.s3", Patience(session))
    return session


def _trouble(response: Any, exception: Exception | None) -> tuple[str, str, bool]:
    """(the store's code, what to tell, whether it may pass) of what came of a request."""
    if exception is not None:
        import botocore.exceptions as known  # type: ignore[import-untyped]  # noqa: PLC0415 - comes with s3fs

        passing = isinstance(exception, known.HTTPClientError | known.ConnectionError)
        return "", f"{type(exception).__name__}: {exception}", passing
    http, parsed = response
    error = parsed.get("Error", {})
    code, message = str(error.get("Code", "")), error.get("Message")
    passing = http.status_code in STATUSES or code in TROUBLE
    return code, f"{code}: {message}" if message else code, passing


def _what(event: dict[str, Any]) -> str:
    """The request, for a person: S3's name of it, bucket and key."""
    asked = event["request_dict"]["context"].get("s3_redirect", {}).get("params", {})
    key = asked.get("Key") or asked.get("Prefix") or ""
    if not asked.get("Bucket"):
        return f"{event['operation'].name} {unquote(urlsplit(event['request_dict']['url']).path)}"
    return f"{event['operation'].name} s3://{asked['Bucket']}/{key}"


def patiently(do: Callable[[], T]) -> T:
    """`do`, again where its answer was cut off: that is found while it is read, when the request has gone well."""
    for attempt in range(TRIES - 1):
        try:
            return do()
        except Exception as error:
            if not is_transient(error):
                raise
            time.sleep(random.uniform(0.5, 1.0) * FIRST_WAIT_S * 2**attempt)
    return do()


@contextlib.contextmanager
def first_look(output: str) -> Iterator[None]:
    """A store that cannot be read before anything is started: nothing was, so it is the command that fails."""
    try:
        yield
    except StoreError as error:
        raise ConfigError(f"output {output}: {error}") from error


@contextlib.contextmanager
def telling(output: str) -> Iterator[None]:
    """What a disk or a store says outside of shards is a failure of the run, with the way on."""
    try:
        yield
    except HeadraceError:
        raise
    except Exception as error:
        if isinstance(error, OSError) or is_transient(error):
            raise StoreError(f"output {output}: {type(error).__name__}: {error}\n  mend that; {AGAIN}") from error
        raise
