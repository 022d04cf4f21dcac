"""A file on its way to an object store: invisible until it is committed, whole from then on.

Up to a block of it is kept and sent as one request, which is whole or not there; what is larger goes in parts that the
store puts together at the end.
"""

import contextlib
import hashlib
import io
from typing import Any

from fsspec.implementations.memory import MemoryFileSystem

BLOCK_BYTES = 16 << 20  # part size of uploads and read-ahead of downloads: 10,000 parts make 160 GB


class Upload(io.RawIOBase):
    """What is written here appears at `path` with `commit`."""

    def __init__(self, filesystem: Any, path: str) -> None:
        self._filesystem, self._path = filesystem, path
        self._small = io.BytesIO()
        self._parts: Any = None  # fsspec's file, once there is more than a block
        self._in_parts = not isinstance(filesystem, MemoryFileSystem)  # whose files are visible from the first byte on

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self._parts is None and self._in_parts and self._small.tell() + memoryview(data).nbytes > BLOCK_BYTES:
            # autocommit off: a file that is collected or closed must not complete the upload.
            self._parts = self._filesystem.open(self._path, "wb", block_size=BLOCK_BYTES, autocommit=False)
            self._parts.write(self._small.getvalue())
            self._small = io.BytesIO()
        return int((self._small if self._parts is None else self._parts).write(data))

    def tell(self) -> int:
        return int((self._small if self._parts is None else self._parts).tell())

    def finish(self) -> None:
        """Send what is left but for the last word."""
        if self._parts is not None:
            self._parts.close()

    def commit(self) -> None:
        """Make the file visible."""
        if self._parts is None:
            self._filesystem.pipe_file(self._path, self._small.getvalue())
            return
        try:
            self._parts.commit()
        except FileNotFoundError as error:
            # An upload that was completed is gone, too: that is what a second try finds if the first answer was lost.
            if not self._is_there():
                raise OSError(f"{self._path}: its upload was gone before it was complete") from error

    def discard(self) -> None:
        """Forget it. The first error is the one to tell, so there is none from here."""
        if self._parts is not None:
            with contextlib.suppress(Exception):
                self._parts.discard()
            self._parts.closed = True  # or it would be closed, and so uploaded, when it is collected

    def _is_there(self) -> bool:
        """Whether what is there was made of these parts: its tag is the digest of theirs."""
        tags = [str(part["ETag"]).strip('"') for part in getattr(self._parts, "parts", None) or ()]
        with contextlib.suppress(FileNotFoundError, ValueError):
            digest = hashlib.md5(b"".join(bytes.fromhex(tag) for tag in tags), usedforsecurity=False).hexdigest()
            found = str(self._filesystem.info(self._path).get("ETag", "")).strip('"')
            return bool(tags) and found == f"{digest}-{len(tags)}"
        return False
