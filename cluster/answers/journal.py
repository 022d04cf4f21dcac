"""Answers that were read and are not on storage yet, on the disk of this machine: kill -9 loses none of them.

    TMPDIR/headrace-ledger-<user id>/<hash of the ledger's URL>/<process>-<n>.journal

An answer is one write() into the page cache, which a killed process leaves behind. There is no fsync: a machine that
loses power, or is taken away, loses what was in hand on it. A file is locked as long as its process lives and goes once
all its answers are on storage: at rest there are none. A file whose lock is free is a dead process's; whoever opens the
same ledger on this machine, or refreshes it, puts its answers into the ledger and removes it. Others wait meanwhile, so
that nobody pays for what is just being put there. Workers on other machines take over only what died on theirs.

A disk that does not take the journal ends the run: without it a kill would cost answers, and nobody would know. The
variable TMPDIR names another folder, the same for all processes of a machine, on a local disk; in a container a volume
that outlives it.
"""

import contextlib
import hashlib
import logging
import os
import stat
import struct
import tempfile
import threading
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster.answers.index import KEY_BYTES
from cluster.errors import RunError
from cluster.flocked import holds

log = logging.getLogger(__name__)

MAGIC = b"headrace ledger journal 1\n"
HEAD = struct.Struct(f"<II{KEY_BYTES}s")  # CRC-32 of the rest, bytes of the answer, key; then comes the answer
SUFFIX = ".journal"
FILE_BYTES = 4 << 20  # then the next one is begun
OURS = os.O_CLOEXEC | os.O_NOFOLLOW

_locked: set[int] = set()  # descriptors of this process that hold a lock


def _let_go() -> None:
    """In a forked child: it shares the locks, and may outlive this process."""
    for descriptor in _locked:
        os.close(descriptor)
    _locked.clear()


os.register_at_fork(after_in_child=_let_go)


@dataclass(eq=False)
class File:
    """A file of this process, which its descriptor locks."""

    path: Path
    descriptor: int
    bytes: int = 0
    waiting: int = 0  # answers in it that are not on storage


class Journal:
    """What this process has in hand for the ledger at `url`. Threads may call it at the same time."""

    def __init__(self, url: str) -> None:
        self._url, self._process = url, os.getpid()
        self._lock = threading.Lock()
        self._file: File | None = None  # the one that is written
        self._of: dict[bytes, File] = {}  # where the answers are that are not on storage
        with self._telling():
            mine = Path(tempfile.gettempdir()) / f"headrace-ledger-{os.geteuid()}"
            self._folder = mine / hashlib.sha256(url.encode()).hexdigest()[:32]
            self._remove(self._begin())  # what cannot be written is to be known before anything is paid for

    def append(self, key: bytes, value: bytes) -> None:
        """Keep an answer until it is on storage; one that is kept already stays as it is."""
        record = HEAD.pack(_check(key, value), len(value), key) + value
        with self._lock, self._telling():
            if os.getpid() != self._process:
                raise OSError("a ledger belongs to the process that opened it, this one was forked from it")
            if key in self._of:
                return
            if self._file is None or self._file.bytes >= FILE_BYTES:
                self._file = self._begin()
            file = self._file
            record = record if file.bytes else MAGIC + record
            written = os.write(file.descriptor, record)
            if written < len(record):
                os.ftruncate(file.descriptor, file.bytes)
                raise OSError(f"{written} of {len(record)} bytes were taken, the disk is full")
            file.bytes += written
            file.waiting += 1
            self._of[key] = file

    def settle(self, keys: Iterable[bytes]) -> None:
        """The answers of `keys` are on storage."""
        with self._lock, self._telling():
            for key in keys:
                file = self._of.pop(key, None)
                if file is None:
                    continue
                file.waiting -= 1
                if not file.waiting:
                    self._file = None if self._file is file else self._file
                    self._remove(file)

    def take_over(self, keep: Callable[[dict[bytes, bytes]], object]) -> None:
        """What dead processes had in hand goes to `keep`, and is removed once that has returned."""
        dead: dict[Path, int] = {}
        with self._telling(), _held(self._folder) as there:
            try:
                for path in _journals(self._folder) if there else ():
                    if (descriptor := _lock_dead(path)) is not None:
                        dead[path] = descriptor
                entries: dict[bytes, bytes] = {}
                for path, descriptor in dead.items():
                    entries |= _entries(path, descriptor)
                if entries:
                    keep(entries)
                for path in dead:
                    path.unlink(missing_ok=True)
            finally:
                for descriptor in dead.values():
                    _close(descriptor)
            if dead:
                self._tidy()

    def close(self) -> None:
        """What is not on storage is left for whoever opens the ledger next."""
        with self._lock:
            for file in {*self._of.values(), *([] if self._file is None else [self._file])}:
                _close(file.descriptor)
            self._of, self._file = {}, None

    def _begin(self) -> File:
        """A new file, and its lock."""
        while True:
            _make_ours(self._folder.parent)
            path = self._folder / f"{self._process}-{uuid.uuid4().hex[:12]}{SUFFIX}"
            try:
                with contextlib.suppress(FileExistsError):  # exist_ok looks at it again, when it may be gone
                    self._folder.mkdir(mode=0o700)
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | OURS, 0o600)
            except FileNotFoundError:  # another process has removed the folder, which was empty
                continue
            if _lock(descriptor, path):
                return File(path, descriptor)
            _close(descriptor)  # another process took it for a dead one's before it had its lock

    def _remove(self, file: File) -> None:
        file.path.unlink(missing_ok=True)
        _close(file.descriptor)
        self._tidy()

    def _tidy(self) -> None:
        with contextlib.suppress(OSError):  # there are files of others
            self._folder.rmdir()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(
                f"ledger {self._url}: the answers in hand cannot be kept on this machine: {error}\nset TMPDIR to a "
                "folder of yours on a local disk with room for some MB"
            ) from error


def _make_ours(folder: Path) -> None:
    """`folder`, which nobody else may read or write; the one above it is everybody's."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise OSError(
            f"{folder} should be a folder of user {os.geteuid()} that no other may use, it is "
            f"{stat.filemode(found.st_mode)} of user {found.st_uid}"
        )


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """One process at a time; False if there is no such folder."""
    while True:
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | OURS)
        except FileNotFoundError:
            yield False
            return
        try:
            if _lock(descriptor, folder, wait=True):
                yield True
                return
        finally:
            _close(descriptor)


def _lock(descriptor: int, path: Path, wait: bool = False) -> bool:
    _locked.add(descriptor)
    return holds(descriptor, path, wait)


def _close(descriptor: int) -> None:
    _locked.discard(descriptor)
    os.close(descriptor)


def _journals(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob(f"*{SUFFIX}"))
    except FileNotFoundError:  # its last file went, and the folder with it
        return []


def _lock_dead(path: Path) -> int | None:
    """The file opened and locked, if its process is dead."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | OURS)
    except FileNotFoundError:
        return None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(descriptor)
        raise OSError(f"{path} is no file of user {os.geteuid()}")
    if _lock(descriptor, path):
        return descriptor
    _close(descriptor)
    return None


def _check(key: bytes, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(key, len(value)))


def _entries(path: Path, descriptor: int) -> dict[bytes, bytes]:
    """The whole records of a file, up to the first that is none: it was being written."""
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        data = file.read()
    entries: dict[bytes, bytes] = {}
    at = len(MAGIC) if data.startswith(MAGIC) else 0
    while 0 < at <= len(data) - HEAD.size:
        check, size, key = HEAD.unpack_from(data, at)
        start = at + HEAD.size
        value = data[start : start + size]
        if len(value) < size or check != _check(key, value):
            break
        entries[key] = value
        at = start + size
    if at < len(data):
        log.warning("%s: the last %d bytes are no whole record: that answer is asked for again", path, len(data) - at)
    return entries
