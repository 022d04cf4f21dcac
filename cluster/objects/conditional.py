"""A small file that is changed only if it is what one has last seen: what two writers need to be told apart.

On S3 and its likes, and on Azure, that is a conditional put (`If-None-Match: *` for a first one, `If-Match` for a
change), on a local disk a lock that the kernel lets go of when its holder dies, in memory a lock. Everywhere else there
is no such thing.
"""

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol, cast

from fsspec.asyn import sync
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from cluster.objects.patience import patiently
from cluster.storage import Folder, locate

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)  # a disk that cannot lock a file
UNKNOWN = ("NotImplemented", "InvalidArgument", "501")  # what a store says of a condition that it does not know
REFUSED = ("PreconditionFailed", "412")
BUSY = ("ConditionalRequestConflict", "409")  # two puts at once: one of them is asked to try again
TRIES = 5
GONE = ("NoSuchKey", "404")
_MEMORY = threading.Lock()


class NotSupportedError(Exception):
    """The store cannot put a file on a condition; the message says how that is known."""


@dataclass(frozen=True)
class Seen:
    """The file as it was read. `tag` says which one of those that stood there it is."""

    data: bytes
    tag: str


class Slot(Protocol):
    """The place of the file."""

    def read(self) -> Seen | None:
        """What is there."""
        ...

    def swap(self, seen: Seen | None, data: bytes) -> Seen | None:
        """Put `data` in the place of what was `seen`; None, and nothing done, if that is not what is there."""
        ...

    def leave(self, seen: Seen) -> None:
        """Take away what was `seen`, if it is still there."""
        ...


def slot(folder: Folder, name: str) -> Slot:
    """The slot `name` of `folder`. Raises `NotSupportedError` where there is no such thing."""
    filesystem, _ = locate(folder.url)
    if isinstance(filesystem, LocalFileSystem):
        return Locked(folder, name, partial(_alone_on_disk, folder, name))
    if isinstance(filesystem, MemoryFileSystem):
        return Locked(folder, name, _alone_in_memory)
    if {"s3", "s3a"} & {filesystem.protocol, *filesystem.protocol}:
        return S3(filesystem, *filesystem.split_path(folder.path(name))[:2])
    if {"az", "abfs", "abfss"} & {filesystem.protocol, *filesystem.protocol}:
        return Azure(filesystem, *filesystem.split_path(folder.path(name))[:2])
    raise NotSupportedError(f"{folder.url.partition('://')[0]}:// has no conditional put that headrace knows")


@dataclass(frozen=True)
class Locked:
    """A file that is read and written by who is `alone` with it."""

    folder: Folder
    name: str
    alone: Callable[[], AbstractContextManager[Any]]

    def read(self) -> Seen | None:
        with contextlib.suppress(FileNotFoundError):
            return Seen(self.folder.get(self.name), "")
        return None

    def swap(self, seen: Seen | None, data: bytes) -> Seen | None:
        with self.alone():
            if self.read() != seen:
                return None
            self.folder.put(self.name, data)
        return Seen(data, "")

    def leave(self, seen: Seen) -> None:
        with self.alone():
            if self.read() == seen:
                self.folder.delete(self.name)


@contextlib.contextmanager
def _alone_on_disk(folder: Folder, name: str) -> Iterator[None]:
    """Nobody else is between reading and writing. The lock file is deleted by who holds it, so it may be gone."""
    path = Path(folder.path(f"{name}.lock"))
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        try:
            _lock(file, path)
            if _is_at(file, path):
                break
        except BaseException:
            os.close(file)
            raise
        os.close(file)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(file)


def _alone_in_memory() -> AbstractContextManager[Any]:
    """A file in memory is this process's alone."""
    return _MEMORY


def _is_at(file: int, path: Path) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file).st_ino
    except FileNotFoundError:
        return False


def _lock(file: int, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno in NO_LOCKS:
            path.unlink(missing_ok=True)
            raise NotSupportedError(f"the disk of {path.parent} has no locks: {error}") from error
        raise


@dataclass(frozen=True)
class S3:
    """An object. Not every store can delete on a condition, so what is left is empty."""

    filesystem: Any
    bucket: str
    key: str

    def read(self) -> Seen | None:
        async def get() -> Seen:
            out = await self.filesystem._call_s3("get_object", Bucket=self.bucket, Key=self.key)
            async with out["Body"] as body:
                return Seen(await body.read(), out["ETag"])

        try:
            return patiently(lambda: cast(Seen, sync(self.filesystem.loop, get)))
        except FileNotFoundError:
            return None

    def swap(self, seen: Seen | None, data: bytes) -> Seen | None:
        condition = {"IfNoneMatch": "*"} if seen is None else {"IfMatch": seen.tag}
        for _ in range(TRIES):
            try:
                out = self.filesystem.call_s3("put_object", Bucket=self.bucket, Key=self.key, Body=data, **condition)
            except OSError as error:
                code = _code(error)
                if code in UNKNOWN:
                    raise NotSupportedError(f"the store answered {code} to a conditional put") from error
                if code not in (*REFUSED, *BUSY, *GONE):
                    raise
                now = self.read()
                if now is not None and now.data == data:
                    return now  # sent again, as its first answer was lost, a put is refused for its own sake
                if code in REFUSED and seen is not None and now == seen and condition["IfMatch"] == seen.tag:
                    condition = {"IfMatch": seen.tag.strip('"')}  # Ceph compares it with its own, which has no quotes
                elif code not in BUSY or now != seen:
                    return None
            else:
                return Seen(data, out["ETag"])
        return None

    def leave(self, seen: Seen) -> None:
        self.swap(seen, b"")


@dataclass(frozen=True)
class Azure:
    """A blob, by its ETag. What is left is empty, as with S3."""

    filesystem: Any
    container: str
    key: str

    def read(self) -> Seen | None:
        async def get() -> Seen:
            stream = await self._blob().download_blob()
            return Seen(await stream.readall(), stream.properties.etag)

        try:
            return patiently(lambda: cast(Seen, sync(self.filesystem.loop, get)))
        except Exception as error:
            if _status(error) == HTTPStatus.NOT_FOUND:
                return None
            raise

    def swap(self, seen: Seen | None, data: bytes) -> Seen | None:
        condition: dict[str, Any] = {"overwrite": False}
        if seen is not None:
            from azure.core import MatchConditions  # type: ignore[import-not-found]  # noqa: PLC0415 - with adlfs

            condition = {"overwrite": True, "etag": seen.tag, "match_condition": MatchConditions.IfNotModified}

        async def put() -> Seen:
            return Seen(data, (await self._blob().upload_blob(data, **condition))["etag"])

        try:
            return cast(Seen, sync(self.filesystem.loop, put))
        except Exception as error:
            if _status(error) not in (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED, HTTPStatus.NOT_FOUND):
                raise
        now = self.read()
        return now if now is not None and now.data == data else None  # as with S3: it may be our own that is there

    def leave(self, seen: Seen) -> None:
        self.swap(seen, b"")

    def _blob(self) -> Any:
        return self.filesystem.service_client.get_blob_client(self.container, self.key)


def _status(error: Exception) -> int | None:
    return getattr(error, "status_code", None)


def _code(error: OSError) -> str:
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
