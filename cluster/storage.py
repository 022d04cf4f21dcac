"""A folder anywhere fsspec reaches. A file written here is visible only when it is whole.

On a local disk that is a hidden temporary file and `os.replace`; on an object store a multipart upload, which is
invisible until completed. Hidden names start with a dot: plain Parquet readers pass them over.
"""

import contextlib
import functools
import io
import os
import posixpath
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from cluster.errors import ConfigError

BLOCK_BYTES = 16 << 20  # part size of uploads and read-ahead of downloads: 10,000 parts make 160 GB


@functools.lru_cache(maxsize=64)
def _filesystem(protocol: str) -> Any:
    # Listings must be true now, not as they were: resume and the commit read what other processes wrote.
    options = {} if protocol in ("file", "memory") else {"use_listings_cache": False, "skip_instance_cache": True}
    return fsspec.filesystem(protocol, **options)


def locate(url: str) -> tuple[Any, str]:
    """The filesystem of `url` and the path in it. A path without a scheme is local."""
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
        try:
            entries = filesystem.ls(self.path(under), detail=True)
        except FileNotFoundError:
            return []
        names = [posixpath.basename(e["name"].rstrip("/")) for e in entries if e["type"] == "file"]
        return sorted(posixpath.join(under, n) for n in names if n.endswith(suffix) and not n.startswith("."))

    def folders(self) -> list[str]:
        """Names of the folders directly in this one, sorted."""
        filesystem, _ = self._at
        try:
            entries = filesystem.ls(self.path(""), detail=True)
        except FileNotFoundError:
            return []
        return sorted(posixpath.basename(e["name"].rstrip("/")) for e in entries if e["type"] == "directory")

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
        found = filesystem.cat(list(by_path), on_error="raise")
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
        if isinstance(filesystem, MemoryFileSystem):  # its files are visible from the first byte on
            buffer = io.BytesIO()
            yield buffer
            self._make_sure()
            filesystem.pipe_file(path, buffer.getvalue())
            return
        # autocommit off: leaving the block by an exception must not complete the upload.
        file = filesystem.open(path, "wb", block_size=BLOCK_BYTES, autocommit=False)
        try:
            yield file
            file.close()
            self._make_sure()
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                file.discard()
            file.closed = True  # or it would be closed, and so uploaded, when it is collected
            raise
        file.commit()

    def delete(self, *names: str) -> None:
        """Remove files; those that are not there are no error."""
        filesystem, _ = self._at
        if names:
            self._make_sure()
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                filesystem.rm_file(self.path(name))

    def clear(self) -> None:
        """Remove the folder and all in it."""
        filesystem, path = self._at
        if filesystem.exists(path):
            self._make_sure()
            filesystem.rm(path, recursive=True)

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
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.writing-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        sure()
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
