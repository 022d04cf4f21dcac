"""How long Google Cloud Storage may have trouble: the policy of patience.py, for what gcsfs asks.

gcsfs's own tries are off, as botocore's are: they know neither how long it has been nor a store that has not answered
yet. What does not pass is told with the request and the object, and without what lets others write it.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from cluster.errors import StoreError
from cluster.objects.patience import AGAIN, MAKE, STATUSES, Trouble
from schemas import credentials

BUSY = (408, 409, *STATUSES)  # 409: another request for the same object was on its way
EXPIRED = 401
UNFINISHED = 308  # of an upload: the header Range says how much of it has come
OBJECT = re.compile(r"/b/(?P<bucket>[^/?]+)(?P<objects>/o(?:/(?P<key>[^?]+))?)?")
SESSION = re.compile(r"(upload_id=)[^&\s'\"]+")  # who knows it may write the object
MAY = f"give credentials that may do that ({credentials.WAYS['gs']}); {AGAIN}"


@dataclass(frozen=True)
class Request:
    """What is asked of the store."""

    method: str
    url: str
    asked: dict[str, Any]

    def __str__(self) -> str:
        """For a person: without what lets others write."""
        found = OBJECT.search(self.url)
        bucket, key = (found["bucket"], found["key"]) if found else ("", "")
        key = str(key or self.asked.get("name") or self.asked.get("prefix") or self._named())
        return f"{self.method} gs://{unquote(bucket)}/{unquote(key)}"

    @property
    def of_bucket(self) -> bool:
        """True if only the bucket can be missing: of a listing, or a new object."""
        found = OBJECT.search(self.url)
        return found is not None and found["objects"] == "/o" and not self.of_session

    @property
    def of_session(self) -> bool:
        """True of what goes on with an upload."""
        return "upload_id=" in self.url

    def _named(self) -> str:
        return str((re.findall(r"[?&]name=([^&]*)", self.url) or [""])[0])


@dataclass
class Patience:
    """Decides for the requests of one filesystem whether to send them again, and when."""

    renew: Callable[[], Awaitable[None]]

    def __post_init__(self) -> None:
        self._store = Trouble()

    async def send(self, once: Callable[[], Awaitable[Any]], request: Request) -> Any:
        """What `once` gives; `StoreError` when waiting has not helped."""
        since, tries = 0.0, 0
        while True:
            try:
                answer = await once()
                self._store.over(well=True)
                return answer
            except Exception as error:
                status, why = _trouble(error)
                if why is None:
                    self._store.over(well=False)
                    raise _said(error, request) from None  # what gcsfs says may hold an address that lets others write
            tries, since = tries + 1, since or time.monotonic()
            await asyncio.sleep(self._store.wait(request, why, since, tries, bool(status), status == EXPIRED))
            if status == EXPIRED:
                await self.renew()


def _trouble(error: Exception) -> tuple[int, str | None]:
    """(status or 0, what to tell) of what may pass; None to tell of what does not."""
    from google.auth.exceptions import TransportError  # noqa: PLC0415 - with gcsfs

    status = _status(error)
    if status in BUSY or (status == EXPIRED and "Invalid Credentials" in str(error)):
        return status, _hidden(str(error)) or str(status)
    library = type(error).__module__.split(".")[0]
    if library == "requests":  # gcsfs's own word for a 502; what google-auth asks is told as a TransportError
        return 502, "502"
    if isinstance(error, TransportError | TimeoutError | ConnectionError) or library == "aiohttp":
        return 0, _hidden(f"{type(error).__name__}: {error}")
    return status, None


def _said(error: Exception, request: Request) -> Exception:
    """An error that does not pass, as the rest of headrace knows such errors."""
    status, text = _status(error), str(error)
    address, _, rest = text.partition("\n")
    why = _hidden(rest if address.startswith(("Forbidden: ", "Bad Request: ")) else text)
    if isinstance(error, FileExistsError):  # gcsfs's word for a condition that is not met
        return FileExistsError(str(request))
    if isinstance(error, FileNotFoundError) or status == 410:
        return StoreError(f"{request}: there is no such bucket\n  {MAKE}") if request.of_bucket else _absent(request)
    if status in (401, 403) or text.startswith("Forbidden"):  # gcsfs itself looks for that word
        return PermissionError(f"Forbidden: {request}: {why}\n  {MAY}")
    if type(error).__module__.startswith(("google.auth", "gcsfs")) and status != 416:  # gcsfs itself looks for a 416
        return PermissionError(f"Forbidden: {request}: {why}\n  {MAY}") if not status else OSError(f"{request}: {why}")
    return OSError(f"{request}: {why}") if isinstance(error, OSError | ValueError) else error


def _absent(request: Request) -> FileNotFoundError:
    return FileNotFoundError(f"{request}: the upload is not there any more" if request.of_session else str(request))


def _status(error: Exception) -> int:
    """The status that gcsfs says an answer had; 0 if it says none."""
    code = str(getattr(error, "code", ""))
    return int(code) if code.isdigit() else 0


def _hidden(text: str) -> str:
    return credentials.redacted(SESSION.sub(r"\1***", text))


def check_upload(answer: Any, asked: dict[str, Any]) -> None:
    """Raise unless gcsfs will understand how much of an upload has come."""
    status, headers = answer[:2]
    if status != UNFINISHED:
        return
    if "Range" not in headers:
        raise ConnectionError("the store has kept nothing of what was sent")
    if str((asked.get("headers") or {}).get("Content-Range", "")).startswith("bytes */"):
        raise OSError("the store has lost what it had of an upload")
