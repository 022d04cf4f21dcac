"""A small file that is changed only if it is what one has last seen: what two writers need to be told apart.

On S3 and its likes, on Azure and on Google Cloud Storage that is a conditional put (s3.py, azure.py, gcs.py), on a
local disk a lock that the kernel lets go of when its holder dies, in memory a lock. Everywhere else there is no such
thing.
"""

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from cluster.flocked import holds
from cluster.objects.azure import Azure
from cluster.objects.gcs import GCS
from cluster.objects.s3 import S3
from cluster.objects.swap import NotSupportedError, Seen, Slot
from cluster.storage import Folder, locate

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)  # a disk that cannot lock a file
_MEMORY = threading.Lock()


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
    if {"gs", "gcs"} & {filesystem.protocol, *filesystem.protocol}:
        return GCS(filesystem, *filesystem.split_path(folder.path(name))[:2])
    raise NotSupportedError(f"{folder.url.partition('://')[0]}:// has no conditional put that headrace knows")


@dataclass(frozen=True)
class Locked:
    """A file that is read and written by who is `alone` with it."""

    folder: Folder
    name: str
    alone: Callable[[], AbstractContextManager[Any]]
    condition: ClassVar[None] = None

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
            if _lock(file, path):
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
        finally:
            os.close(file)


def _alone_in_memory() -> AbstractContextManager[Any]:
    """A file in memory is this process's alone."""
    return _MEMORY


def _lock(file: int, path: Path) -> bool:
    try:
        return holds(file, path)
    except OSError as error:
        if error.errno in NO_LOCKS:
            path.unlink(missing_ok=True)
            raise NotSupportedError(f"the disk of {path.parent} has no locks: {error}") from error
        raise
