"""What a failed request means: this request fails, it is tried again, or the whole stage must stop.

The classes are measured ones (what aiohttp raises for a reset, a refused connection, a short body, a silent and a
trickling server) and those of RFC 9110. `StageError` is the third class.
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import aiohttp
import orjson

from stages.stage import StageError

# Why a request is tried again, which decides how often:
#   row    this request failed (500, a time-out, a body cut short, no JSON): it has its `tries`
#   paid   an answer came, was paid for and says nothing (no choices, content null): asked once more
#   model  another model answered: a load balancer in the middle of a change, or the wrong server; `tries`, then stop
#   gone   the server was not reached, or a proxy did not reach it: counts only while the server answers others
#   busy   429 and 503: the server asks for patience, and that is no fault of the row
Kind = Literal["row", "paid", "model", "gone", "busy"]

ROW_STATUSES = frozenset({400, 413, 422, 451})  # the content is refused: too long, filtered, a grammar it cannot read
AGAIN_STATUSES: dict[int, Kind] = {
    408: "row",
    409: "row",
    425: "row",
    429: "busy",
    502: "gone",
    503: "busy",
    504: "gone",
}
NEVER = frozenset({501, 505})  # of the 5xx: what no second request changes
# Refusals with a row's status that concern every request, because of a field that all of them have or the model.
CODES = ("unsupported_parameter", "unknown_parameter", "unsupported_value", "model_not_found")  # OpenAI
PHRASES = (
    "unexpected fields in the request",
    "server is pinned to",
    "extra_forbidden",
    "extra inputs are not permitted",
)
QUOTA = "insufficient_quota"  # OpenAI's 429 for an empty account: waiting does not fill it
SHOWN = 300  # characters of what a server said


class Refused(Exception):
    """The request will never be answered."""


class Unsupported(StageError):
    """The server does not know a field that requests have, or the model."""


class Again(Exception):
    """The request may be answered another time, not before `after` seconds if the server said so."""

    def __init__(self, kind: Kind, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.after = after


def of_status(status: int, headers: Mapping[str, str], body: bytes) -> Refused | Again | StageError:
    """The meaning of an answer that is not 200."""
    code, said = _said(body)
    message = f"status {status}: {said}"
    if status == 429 and code == QUOTA:
        return StageError(message)
    if status in AGAIN_STATUSES:
        return Again(AGAIN_STATUSES[status], message, retry_after(headers))
    if status >= 500 and status not in NEVER:
        return Again("row", message, retry_after(headers))
    if status in ROW_STATUSES:
        everyone = code in CODES or any(phrase in said.lower() for phrase in PHRASES)
        return Unsupported(message) if everyone else Refused(message)
    if 300 <= status < 400:
        return StageError(f"{message}: redirected to {headers.get('Location', 'nowhere')}: set that address")
    return StageError(message)


def of_exception(error: Exception, timeout: float) -> Again | StageError:
    """The meaning of an answer that did not come, or not whole."""
    name = type(error).__name__
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Again("gone", f"{name}: no connection")
    if isinstance(error, TimeoutError):  # aiohttp's time-outs are TimeoutErrors as well
        return Again("row", f"{name}: no whole answer within timeout={timeout:g} seconds")
    if isinstance(error, aiohttp.InvalidURL | aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return StageError(f"{name}: {error}")
    if isinstance(error, aiohttp.ClientPayloadError):
        return Again("row", f"{name}: {error}")
    return Again("gone", f"{name}: {error}")


def of_body(body: bytes) -> Again:
    """The meaning of a 200 that is not JSON."""
    start = body[:80].decode("utf-8", "replace")
    return Again("row", f"status 200 with a body that is not JSON: {start!r}")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of Retry-After. A date counts from the answer's own Date, so that no two clocks are compared."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            then, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("Date", ""))
            seconds = (then - now).total_seconds()
        except (ValueError, TypeError):  # no date, no Date, or one with a time zone and one without
            return None
    return max(0.0, seconds) if seconds < float("inf") else None


def _said(body: bytes) -> tuple[str, str]:
    """(error code, message) of an error's body, in any of the forms that servers have."""
    text = body.decode("utf-8", "replace").strip()
    try:
        parsed: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", " ".join(text.split())[:SHOWN]
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed  # OpenAI nests, vLLM did not always
    if not isinstance(error, dict):
        return "", str(error)[:SHOWN]
    message = error.get("message", error.get("detail", text))  # FastAPI: detail
    return str(error.get("code") or ""), str(message)[:SHOWN]
