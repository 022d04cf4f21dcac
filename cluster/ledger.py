"""The ledger of answers that were paid for: find, add and flush, for the threads of one process.

What is added is on storage within half a second or so, in a piece with what came with it; `flush` writes the answers
of a batch into one object and then deletes their pieces. So no answer is lost at any moment, and what stays are as
many objects as there were batches. Until it is on storage an answer is in a journal on this machine's disk
(answers/journal.py), from where others take it who open the ledger here, or refresh it. So a process that is killed
loses what it had asked and not heard of, and nothing else. A machine that is lost takes with it what was in hand there:
at most `UNWRITTEN` answers of each process, because `add` waits while so many are not on storage, and those that
engines had heard and not handed on.

Keys of what other processes wrote are read when the ledger is opened and again when a shard or a table is begun, if a
minute has gone by or it is a further attempt. Answers are read when they are asked for.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from fsspec.implementations.memory import MemoryFileSystem

from cluster.answers.index import Index, Numbers, heads_of
from cluster.answers.journal import Journal
from cluster.answers.store import Store
from cluster.errors import RunError
from cluster.storage import address, locate
from stages.stage import Stage, Transform

FOLDER = "ledger"  # of an output, unless another place is named
UNWRITTEN = 64  # answers in hand that are not on storage yet
PIECE_EVERY_S = 0.5  # at most; a store that is quick gets pieces oftener, so that there is less in hand
PAUSE = 4  # times what writing the last piece took
PIECES_AT_MOST = 64  # of one batch, before they are joined
REFRESH_EVERY_S = 60.0
LISTING_SHARE = 20  # a ledger whose listing takes long is listed more seldom
CACHE_BYTES = 32 << 20  # of answers that were read


class Answers(Protocol):
    """What a stage sees of a ledger; threads may call it at the same time."""

    def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]: ...

    def add(self, key: bytes, value: bytes) -> None: ...

    def flush(self) -> None: ...


@runtime_checkable
class Asking(Protocol):
    """A stage that pays for answers. `open_with_ledger` is `open` with what was answered before, by any worker."""

    def open_with_ledger(self, ledger: Answers) -> Transform: ...


def asks(stages: tuple[Stage, ...]) -> bool:
    """True if one of `stages` wants a ledger."""
    return any(isinstance(stage, Asking) for stage in stages)


def open_ledger(stages: tuple[Stage, ...], url: str | None, step: str) -> "Ledger | None":
    """The ledger at `url` for `stages` of `step`, if there is one and one of them wants it."""
    return Ledger(url, step) if url is not None and asks(stages) else None


@dataclass
class Batch:
    """Answers since the last flush."""

    entries: dict[bytes, bytes] = field(default_factory=dict)
    unwritten: dict[bytes, bytes] = field(default_factory=dict)  # those of them that are in no piece yet
    since: float = 0.0  # when the oldest of these was added
    pieces: dict[str, list[bytes]] = field(default_factory=dict)  # name -> its keys
    writing: bool = False  # a piece of it is being written


class Ledger:
    """The answers at `url`, opened for one process."""

    def __init__(self, url: str, step: str) -> None:
        self.store = Store(url, step)
        filesystem, path = locate(url)
        # A store in memory dies with the process: there is nothing that a journal could be for.
        self._journal = None if isinstance(filesystem, MemoryFileSystem) else Journal(address(filesystem, path))
        self._change = threading.Condition()
        self._refreshing = threading.Lock()
        self._index = Index()
        self._objects: list[str] = []  # by number
        self._numbers: dict[str, int] = {}
        self._gone: set[int] = set()
        self._batch = Batch()
        self._sealing: list[Batch] = []
        self._in_hand = 0  # answers that are not on storage
        self._pause = 0.0  # seconds that an answer waits for others to be written with
        self._cache: OrderedDict[bytes, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._failure: BaseException | None = None
        self._closed = False
        self._writer: threading.Thread | None = None
        self._refreshed = 0.0
        self._refresh_every = REFRESH_EVERY_S
        self.refresh(force=True)

    def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The answers that are there."""
        found: dict[bytes, bytes] = {}
        for again in range(3):
            if again:  # an object was replaced by another since it was listed
                self.refresh(force=True)
            with self._change:
                self._complain()
                for key in keys:
                    value = self._in_memory(key)
                    if value is not None:
                        found[key] = value
                missing = [key for key in keys if key not in found]
                places = {
                    key: [(self._objects[number], row) for number, row in of_key if number not in self._gone]
                    for key, of_key in zip(missing, self._index.find(missing), strict=True)
                }
            rows: dict[str, list[int]] = {}
            for name, row in (place for of_key in places.values() for place in of_key):
                rows.setdefault(name, []).append(row)
            read = self.store.answers(rows)
            with self._change:
                for key, value in (entry for entries in read.values() for entry in entries):
                    if key in places:  # the index knows half of a key
                        found.setdefault(key, value)
                        self._remember(key, value)
                self._gone.update(self._numbers[name] for name in rows if name not in read)
            if not any(key not in found and of_key for key, of_key in places.items()):
                break
        return found

    def note(self, key: bytes, value: bytes) -> None:
        """An answer that `add` will have in a moment. It is safe when this returns, and this waits for nothing."""
        if self._journal is not None:
            self._journal.append(key, value)

    def add(self, key: bytes, value: bytes) -> None:
        """Keep an answer. Waits while too many are not on storage."""
        self.note(key, value)
        with self._change:
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_pieces, name="ledger", daemon=True)
                self._writer.start()
            self._change.wait_for(lambda: self._in_hand < UNWRITTEN or self._failure is not None)
            self._complain()
            batch = self._batch
            if key not in batch.unwritten:
                self._in_hand += 1
            if not batch.unwritten:
                batch.since = time.monotonic()
            batch.entries[key] = batch.unwritten[key] = value
            self._change.notify_all()

    def flush(self) -> None:
        """All that was added so far, as one object; then its pieces go."""
        with self._change:
            self._complain()
            batch, self._batch = self._batch, Batch()
            if not batch.entries:
                return
            self._sealing.append(batch)
            self._change.wait_for(lambda: not batch.writing)
            self._complain()
        try:
            name = self.store.write(batch.entries)
        except BaseException as error:
            self._fail(error)
            raise
        with self._change:
            self._learn({name: heads_of(batch.entries)})
            self._sealing.remove(batch)
            self._in_hand -= len(batch.unwritten)
            self._change.notify_all()
        self._settle(batch.unwritten)
        self.store.delete(batch.pieces)

    def refresh(self, force: bool = False) -> None:
        """Read the keys of objects that others have written since, and take over what was in dead ones' hands."""
        with self._refreshing:
            begun = time.monotonic()
            if not force and begun - self._refreshed < self._refresh_every:
                return
            if self._journal is not None:
                self._journal.take_over(lambda entries: self.store.write(entries, piece=True))
            # Pieces first: one that is gone when it is read is in an object that the later listing has.
            pieces = self._unknown(self.store.names(piece=True))
            keys = self.store.keys(pieces)
            objects = self._unknown(self.store.names())
            keys.update(self.store.keys(objects))
            with self._change:
                self._learn(keys)
            self._refresh_every = max(REFRESH_EVERY_S, LISTING_SHARE * (time.monotonic() - begun))
            self._refreshed = time.monotonic()

    def close(self) -> None:
        """Write what is in hand; the ledger is not used any more."""
        self.flush()
        with self._change:
            self._closed = True
            self._failure = RunError(f"ledger {self.store.folder.url}: it is closed")  # for threads that are left over
            self._change.notify_all()
        if self._writer is not None:
            self._writer.join()
        if self._journal is not None:
            self._journal.close()

    def _settle(self, entries: dict[bytes, bytes]) -> None:
        if self._journal is not None:
            self._journal.settle(entries)

    def _unknown(self, names: list[str]) -> list[str]:
        with self._change:
            mine = {name for batch in (self._batch, *self._sealing) for name in batch.pieces}
            return [name for name in names if name not in self._numbers and name not in mine]

    def _learn(self, keys: dict[str, Numbers]) -> None:
        numbered: dict[int, Numbers] = {}
        for name, heads in keys.items():
            if name not in self._numbers:
                self._numbers[name] = len(self._objects)
                self._objects.append(name)
                numbered[self._numbers[name]] = heads
        self._index.add(numbered)

    def _in_memory(self, key: bytes) -> bytes | None:
        for batch in (self._batch, *self._sealing):
            if key in batch.entries:
                return batch.entries[key]
        return self._cache.get(key)

    def _remember(self, key: bytes, value: bytes) -> None:
        """Rows of a table that is tried one by one are asked for again, each alone."""
        if key not in self._cache:
            self._cache[key] = value
            self._cached_bytes += len(value)
        while self._cached_bytes > CACHE_BYTES:
            self._cached_bytes -= len(self._cache.popitem(last=False)[1])

    def _complain(self) -> None:
        if self._failure is not None:
            raise RunError(str(self._failure)) from self._failure

    def _fail(self, error: BaseException) -> None:
        """Every later call tells it: the stage stops asking."""
        with self._change:
            self._failure = error
            self._change.notify_all()

    def _write_pieces(self) -> None:
        while True:
            with self._change:
                batch = self._next_piece()
                if batch is None:
                    return None
                entries, batch.unwritten, batch.writing = batch.unwritten, {}, True
            try:
                begun = time.monotonic()
                joined = self._write_piece(batch, entries)
                with self._change:
                    self._pause = min(PAUSE * (time.monotonic() - begun), PIECE_EVERY_S)
                    batch.writing = False
                    self._in_hand -= len(entries)
                    self._change.notify_all()
                self._settle(entries)
                self.store.delete(joined)
            except BaseException as error:
                batch.writing = False
                return self._fail(error)

    def _next_piece(self) -> Batch | None:
        """Wait until answers are due to be written; None when the ledger is closed."""
        while not self._closed and self._failure is None:
            batch = self._batch
            if not batch.unwritten:
                self._change.wait()
                continue
            left = batch.since + self._pause - time.monotonic()
            if left <= 0 or len(batch.unwritten) * 2 >= UNWRITTEN:
                return batch
            self._change.wait(left)
        return None

    def _write_piece(self, batch: Batch, entries: dict[bytes, bytes]) -> list[str]:
        """The answers of `entries` to storage. Returns pieces that are needed no more: many small ones are joined."""
        batch.pieces[self.store.write(entries, piece=True)] = list(entries)
        small = [name for name, keys in batch.pieces.items() if len(keys) < PIECES_AT_MOST * UNWRITTEN]
        if len(small) < PIECES_AT_MOST:
            return []
        keys = [key for name in small for key in batch.pieces[name]]
        joined = self.store.write({key: batch.entries[key] for key in keys}, piece=True)
        for name in small:
            del batch.pieces[name]
        batch.pieces[joined] = keys
        return small
