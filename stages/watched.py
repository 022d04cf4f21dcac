"""Telling a file that is broken from a storage that failed: readers raise `OSError` for both."""

from typing import BinaryIO


class Watched:
    """`file`, with the error it last raised in `failure`: raise that again, whatever a reader made of it."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self.failure: Exception | None = None
        self._file = file

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except Exception as error:
            self.failure = error
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except Exception as error:
            self.failure = error
            raise

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        """The file is its owner's to close."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False
