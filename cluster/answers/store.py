"""The objects of a ledger: answers by key, as Parquet in one folder.

    ledger/<step>-<host>-<process>-<n>.parquet          the answers of a batch, sealed
    ledger/pieces/<step>-<host>-<process>-<n>.parquet   those of a batch that is still asked for

Either has the columns `key` (16 bytes) and `answer`. What an object holds never changes, and a piece is deleted only
once what it holds is in another object: a reader that misses one lists again. An object that cannot be read ends the
run with its name: to pass it over would be to pay for its answers again without a word.
"""

import os
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.answers.index import KEY_BYTES, Numbers, heads_of_column
from cluster.errors import HeadraceError, RunError, is_transient
from cluster.storage import Folder

ENTRY = pa.schema([pa.field("key", pa.binary(KEY_BYTES), False), pa.field("answer", pa.large_binary(), False)])
PIECES = "pieces"
ROWS = 512  # in a row group: what is read for one answer
AT_ONCE = 16  # objects read or deleted at a time
TRIES, WAIT_S = 5, 0.5  # for a store that has trouble; the wait is doubled each time
FOLD_ROWS = 100_000  # in an object that takes up what killed workers have left

T = TypeVar("T")


class Store:
    """The folder of a ledger, as one process writes and reads it."""

    def __init__(self, url: str, step: str) -> None:
        """`step` is in the names of what is written here, so that an object tells where it came from."""
        self.folder = Folder(url)
        self._numbers = iter(range(1 << 62))
        place = re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{step}-{socket.gethostname()[:40]}").strip("._")
        # Processes in containers have the same few numbers: 8 digits tell their lives apart.
        self._writer = f"{place}-{os.getpid()}-{uuid.uuid4().hex[:8]}"

    def write(self, entries: Mapping[bytes, bytes], piece: bool = False) -> str:
        """A new object of these answers; its name."""
        name = f"{self._writer}-{next(self._numbers):06d}.parquet"
        name = f"{PIECES}/{name}" if piece else name
        columns = [pa.array(list(entries), ENTRY.field(0).type), pa.array(list(entries.values()), ENTRY.field(1).type)]
        table = pa.Table.from_arrays(columns, schema=ENTRY)

        def put() -> None:
            sink = pa.BufferOutputStream()
            pq.write_table(
                table, sink, row_group_size=ROWS, compression="zstd", use_dictionary=False, write_statistics=False
            )
            self.folder.put(name, sink.getvalue().to_pybytes())

        self._patiently(put, f"{name} cannot be written")
        return name

    def delete(self, names: Iterable[str]) -> None:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(lambda n: self._patiently(lambda: self.folder.delete(n), f"{n} cannot be deleted"), names))

    def names(self, piece: bool = False) -> list[str]:
        return self._patiently(lambda: self.folder.names(PIECES if piece else "", ".parquet"), "cannot be listed")

    def keys(self, names: list[str]) -> dict[str, Numbers]:
        """What `Index` keeps of the keys of each object, read alone; objects that are gone are left out."""

        def read(name: str) -> Numbers:
            with self.folder.open(name) as file:
                return heads_of_column(pq.read_table(file, columns=["key"]).column("key"))

        return self._read_each(names, read)

    def answers(self, rows: Mapping[str, list[int]]) -> dict[str, list[tuple[bytes, bytes]]]:
        """Key and answer of `rows` of each object, in their order; objects that are gone are left out."""

        def read(name: str) -> list[tuple[bytes, bytes]]:
            with self.folder.open(name) as file:
                return _entries(pq.ParquetFile(file), rows[name])

        return self._read_each(list(rows), read)

    def fold(self) -> int:
        """Take up what killed workers have left: all pieces into objects, which are then deleted. How many there were.

        Whose pieces they are does not matter: a worker that is alive writes the same answers once more.
        """
        names = self.names(piece=True)
        entries: dict[bytes, bytes] = {}
        folded: list[str] = []

        def seal() -> None:
            if entries:
                self.write(entries)
            self.delete(folded)
            entries.clear()
            folded.clear()

        for at in range(0, len(names), 256):
            for name, found in self._read_each(names[at : at + 256], self._all_of).items():
                entries.update(found)
                folded.append(name)
            if len(entries) >= FOLD_ROWS:
                seal()
        seal()
        return len(names)

    def _all_of(self, name: str) -> dict[bytes, bytes]:
        with self.folder.open(name) as file:
            table = pq.read_table(file, columns=ENTRY.names)
        return dict(zip(table.column("key").to_pylist(), table.column("answer").to_pylist(), strict=True))

    def _read_each(self, names: list[str], read: Callable[[str], T]) -> dict[str, T]:
        def one(name: str) -> list[T]:
            try:
                return [self._patiently(lambda: read(name), f"{name} cannot be read")]
            except FileNotFoundError:
                return []

        if len(names) < 2:
            return {name: value for name in names for value in one(name)}
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return {name: value for name, found in zip(names, threads.map(one, names), strict=True) for value in found}

    def _patiently(self, do: Callable[[], T], what: str) -> T:
        """Try again while the store has trouble. Then the run ends: an answer that is not kept is paid for again."""
        for attempt in range(TRIES):
            try:
                return do()
            except (HeadraceError, FileNotFoundError):
                raise
            except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError, KeyError) as error:
                raise RunError(f"ledger {self.folder.url}: {what}: {error}\n{ADVICE}") from error
            except Exception as error:
                if not is_transient(error) or attempt == TRIES - 1:
                    raise RunError(f"ledger {self.folder.url}: {what}: {type(error).__name__}: {error}") from error
                time.sleep(WAIT_S * 2**attempt)
        raise AssertionError("the last try has returned or raised")


ADVICE = "delete this object, and what it answered is asked and paid for again"


def _entries(file: pq.ParquetFile, rows: list[int]) -> list[tuple[bytes, bytes]]:
    """Key and answer of `rows`; only the row groups that hold them are read."""
    starts = [0]
    for group in range(file.num_row_groups):
        starts.append(starts[-1] + file.metadata.row_group(group).num_rows)
    found: dict[int, tuple[bytes, bytes]] = {}
    for group in range(file.num_row_groups):
        mine = [row for row in rows if starts[group] <= row < starts[group + 1]]
        if mine:
            table = file.read_row_group(group, columns=ENTRY.names)
            part = table.take([row - starts[group] for row in mine])
            pairs = zip(part.column("key").to_pylist(), part.column("answer").to_pylist(), strict=True)
            found.update(zip(mine, pairs, strict=True))
    return [found[row] for row in rows]
