"""A folder anywhere fsspec reaches. A file written here is visible only when it is whole.

On a local disk that is a hidden temporary file and `os.replace`; on an object store a multipart upload, which is
invisible until completed. Hidden names start with a dot: plain Parquet readers pass them over.
"""

import contextlib
import errno
import functools
import io
import os
import posixpath
import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from cluster.errors import ConfigError, StoreError
from cluster.objects.gcs import google
from cluster.objects.listing import directly_in, with_quick_pages
from cluster.objects.patience import AGAIN, LONGEST_WAIT_S, patience_s, patient_session
from cluster.objects.upload import BLOCK_BYTES, Upload
from schemas import credentials

# Of a disk behind a network: such an error may be gone on the next try.
PASSING = (errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ETIMEDOUT, errno.ECONNRESET)
NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EACCES, errno.EPERM)  # of a folder, and some disks
DELETED_AT_A_TIME = 250  # names: in fewer seconds than a lease lasts, even where each is a request


@functools.lru_cache(maxsize=64)
def _filesystem(protocol: str) -> Any:
    # Listings must be true now, not as they were: resume and the commit read what other processes wrote.
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if protocol in ("file", "memory"):
        options = {}
    elif protocol in ("s3", "s3a"):  # objects/patience.py is all the patience there is
        once = {"total_max_attempts": 1, "mode": "standard"}
        options |= {"session": with_quick_pages(patient_session()), "config_kwargs": {"retries": once}}
    elif protocol in ("gs", "gcs"):
        return google(**options)
    return fsspec.filesystem(protocol, **options)


def locate(url: str) -> tuple[Any, str]:
    """The filesystem of `url` and the path in it. A path without a scheme is local."""
    if (fault := credentials.fault(url)) is not None:
        raise ConfigError(fault)
    protocol, _, rest = url.partition("://")
    if "://" not in url or protocol == "file":
        return _filesystem("file"), os.path.abspath(rest or url)  # noqa: PTH100 - `..` goes, links stay as they are
    try:
        filesystem = _filesystem(protocol)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"{url}: {error}") from error
    return filesystem, filesystem._strip_protocol(url)


def address(filesystem: Any, path: str) -> str:
    """The full URL of `path`, the same wherever it is asked from."""
    return str(filesystem.unstrip_protocol(path))


def open_input(url: str) -> BinaryIO:
    """`url` opened for reading, seekable."""
    filesystem, path = locate(url)
    options = {} if isinstance(filesystem, LocalFileSystem) else {"block_size": BLOCK_BYTES}
    return cast(BinaryIO, filesystem.open(path, "rb", **options))


@dataclass(frozen=True)
class Folder:
    """A folder by its URL; names below it are relative, with forward slashes.

    `sure` is called before anything becomes visible or is deleted: it raises when that is another writer's by now.
    """

    url: str
    sure: Callable[[], None] | None = field(default=None, compare=False, repr=False)

    @property
    def _at(self) -> tuple[Any, str]:
        return locate(self.url)

    def path(self, name: str) -> str:
        return posixpath.join(self._at[1], name) if name else self._at[1]

    def below(self, name: str) -> "Folder":
        return Folder(posixpath.join(self.url, name), self.sure)

    def names(self, under: str = "", suffix: str = "") -> list[str]:
        """Files directly in `under`, sorted, hidden ones left out; relative to this folder. Absent folder: none."""
        filesystem, _ = self._at
        names = [posixpath.basename(e["name"].rstrip("/")) for e in directly_in(filesystem, self.path(under))]
        return sorted(posixpath.join(under, n) for n in names if n.endswith(suffix) and not n.startswith("."))

    def await_listed(self, names: Iterable[str]) -> None:
        """Return once `names`, which were written, are listed: the listings of some stores lag behind.

        What is next is told by a listing what there is: with one that lags, rows would be missing in it.
        """
        if isinstance(self._at[0], LocalFileSystem):
            return
        missing, begun, wait = set(names), time.monotonic(), 0.1
        while True:
            missing -= {there for part in {posixpath.dirname(n) for n in missing} for there in self.names(part)}
            if not missing:
                return
            if time.monotonic() - begun > patience_s():
                raise StoreError(
                    f"{self.url}: {len(missing)} files that were written are not listed after {patience_s():g} s, "
                    f"{min(missing)} for one\n  {AGAIN}"
                )
            time.sleep(random.uniform(0.5, 1.0) * wait)
            wait = min(2 * wait, LONGEST_WAIT_S)

    def folders(self) -> list[str]:
        """Names of the folders directly in this one, sorted."""
        filesystem, _ = self._at
        try:
            entries = filesystem.ls(self.path(""), detail=True)
        except FileNotFoundError:
            return []
        return sorted(posixpath.basename(e["name"].rstrip("/")) for e in entries if e["type"] == "directory")

    def links(self) -> list[str]:
        """Names of symbolic links directly in this folder, sorted: whoever follows one leaves the folder."""
        filesystem, path = self._at
        if not isinstance(filesystem, LocalFileSystem) or not Path(path).is_dir():
            return []
        return sorted(entry.name for entry in Path(path).iterdir() if entry.is_symlink())

    def exists(self, name: str = "") -> bool:
        return bool(self._at[0].exists(self.path(name)))

    def size(self, name: str) -> int:
        return int(self._at[0].size(self.path(name)))

    def open(self, name: str) -> BinaryIO:
        return open_input(posixpath.join(self.url, name))

    def get(self, name: str) -> bytes:
        """The whole of a small file. FileNotFoundError when it is not there."""
        return cast(bytes, self._at[0].cat_file(self.path(name)))

    def get_many(self, names: list[str]) -> dict[str, bytes]:
        """Many small files at once; the store's own concurrency is used."""
        if not names:
            return {}
        filesystem, _ = self._at
        if isinstance(filesystem, LocalFileSystem):  # `cat` would take a [ in the folder's name for a glob
            return {name: self.get(name) for name in names}
        by_path = {filesystem._strip_protocol(self.path(name)): name for name in names}
        whole = {"max_concurrency": 1} if "s3" in filesystem.protocol else {}  # or it would ask for each size first
        found = filesystem.cat(list(by_path), on_error="raise", **whole)
        return {by_path[path]: data for path, data in found.items()}

    def put(self, name: str, data: bytes) -> None:
        """Write a small file whole."""
        filesystem, _ = self._at
        if isinstance(filesystem, LocalFileSystem):
            with self.writing(name) as file:
                file.write(data)
        else:  # one PUT is whole or not there
            self._make_sure()
            filesystem.pipe_file(self.path(name), data)

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A file to write; it appears under `name` when the block ends well, and not at all when it raises."""
        filesystem, _ = self._at
        path = self.path(name)
        if isinstance(filesystem, LocalFileSystem):
            with _replacing(Path(path), self._make_sure) as file:
                yield file
            return
        # Leaving the block by an exception must not complete the upload.
        upload = Upload(filesystem, path)
        try:
            yield cast(BinaryIO, upload)
            upload.finish()
            self._make_sure()
        except BaseException:
            upload.discard()
            raise
        upload.commit()

    def delete(self, *names: str) -> None:
        """Remove files; those that are not there are no error."""
        filesystem, _ = self._at
        for at, name in enumerate(names):
            if at % DELETED_AT_A_TIME == 0:
                self._make_sure()
            with contextlib.suppress(FileNotFoundError):
                filesystem.rm_file(self.path(name))

    def clear(self) -> None:
        """Remove the folder and all in it."""
        filesystem, path = self._at
        if not filesystem.exists(path):
            return
        names = [] if self.sure is None else filesystem.find(path)
        for at in range(DELETED_AT_A_TIME, len(names), DELETED_AT_A_TIME):
            self._make_sure()
            self._remove(names[at - DELETED_AT_A_TIME : at])
        self._make_sure()
        with contextlib.suppress(FileNotFoundError):  # of what was deleted by a request whose answer was lost
            filesystem.rm(path, recursive=True)

    def _remove(self, paths: list[str]) -> None:
        """Remove what has these full paths."""
        filesystem, _ = self._at
        if isinstance(filesystem, LocalFileSystem):  # it takes a link for what that leads to
            for path in paths:
                filesystem.rm_file(path)
        else:
            with contextlib.suppress(FileNotFoundError):  # as above
                filesystem.rm(paths)

    def sweep(self, under: str) -> None:
        """Remove temporary files that killed writers left in `under`. Only local disks have them."""
        filesystem, _ = self._at
        if isinstance(filesystem, LocalFileSystem):
            for left in Path(self.path(under)).glob(".*.writing-*"):
                left.unlink(missing_ok=True)

    def _make_sure(self) -> None:
        if self.sure is not None:
            self.sure()

    def check_writable(self) -> None:
        """Raise `ConfigError` unless a file can be written here and removed again."""
        name = f".headrace-{uuid.uuid4().hex}"
        try:
            self.put(name, b"")
            self.delete(name)
        except Exception as error:
            raise ConfigError(f"cannot write to {self.url}: {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _replacing(path: Path, sure: Callable[[], None]) -> Iterator[BinaryIO]:
    temporary = path.parent / f".{path.name}.writing-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        with _told(path):
            _make(path.parent)
            raw = _LocalFile(temporary, "w")
        with io.BufferedWriter(raw) as file:
            yield file
            with _told(path):
                file.flush()
                os.fsync(file.fileno())
        sure()
        with _told(path):
            temporary.replace(path)
            _sync(path.parent)  # or a power cut may leave what is put next without this
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            temporary.unlink(missing_ok=True)
        raise


def _make(folder: Path) -> None:
    """`folder` and those above it, on the disk."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    """The names in `folder` are on the disk. A file's own fsync says nothing of the name that it has got."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise


class _LocalFile(io.FileIO):
    """A file that tells what is wrong with its disk as an error of ours."""

    def write(self, data: Any) -> int:
        with _told(Path(str(self.name))):
            return super().write(data)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """A disk that is full or forbids it does not change by trying again; one that a network lies before may."""
    try:
        yield
    except OSError as error:
        if error.errno in PASSING:
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        way = f"make room; {AGAIN}" if full else f"mend that, or give another place; {AGAIN}"
        raise StoreError(f"cannot write {path}: {error.strerror or error}\n  {way}") from error
