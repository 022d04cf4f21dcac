"""A shard's files and its manifest. The manifest is put last: it is the commit.

    <step>/data/<shard>.parquet       rows kept (always there, if only with a schema)
    <step>/removed/<shard>.parquet    rows dropped, with stage and reason
    <step>/dead/<shard>.parquet       rows that failed, with stage, error, traceback, attempt
    <step>/manifests/<shard>.json     the commit

A shard that is written again after a crash overwrites the same names, and takes away what an earlier attempt left.
"""

import contextlib
import posixpath
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.chain import Batch, add_costs
from cluster.errors import AccountError
from cluster.lease import guarded
from cluster.objects.packs import each_manifest, listed, manifest_of
from cluster.storage import Folder
from schemas import document
from schemas.check import conform
from schemas.manifest import MAX_LISTED, Counts, File, Manifest, StageCost
from stages.stage import Unreadable

ROW_GROUP_BYTES = 32 << 20  # Arrow bytes gathered before a row group is written
PARTS = ("data", "removed", "dead")


@dataclass(frozen=True)
class Target:
    """Where a step is written, and what of it.

    `holder`: the run that has the lease on the output. Wherever it works, nothing of it appears once that is lost.
    """

    url: str  # OUTPUT/<step>
    removed_text: bool = True
    holder: str = ""

    @property
    def folder(self) -> Folder:
        return guarded(self.url, posixpath.dirname(self.url), self.holder)


class Part:
    """One of a shard's files, opened at its first row: rows are gathered into row groups of a fair size."""

    def __init__(self, folder: Folder, name: str, schema: pa.Schema) -> None:
        self._folder, self._name, self._schema = folder, name, schema
        self._waiting: list[pa.Table] = []
        self._waiting_bytes = 0
        self._writer: pq.ParquetWriter | None = None
        self._stack = ExitStack()
        self.rows = 0

    def add(self, table: pa.Table) -> None:
        """Take the columns of the schema from `table`; absent ones become null."""
        if not table.num_rows:
            return
        table = conform(table, self._schema)
        self._waiting.append(table)
        self._waiting_bytes += table.nbytes
        self.rows += table.num_rows
        if self._waiting_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def finish(self) -> File:
        """Write what waits and make the file visible."""
        self._flush(even_empty=self._writer is None)
        assert self._writer is not None
        self._writer.close()
        self._stack.close()
        return File(self._name, self.rows, self._folder.size(self._name))

    def abandon(self, error: BaseException) -> None:
        """Forget the file; nothing of it becomes visible."""
        if self._writer is not None:  # closed while its file is open, or it complains when it is collected
            with contextlib.suppress(Exception):
                self._writer.close()
        with contextlib.suppress(type(error)):
            self._stack.__exit__(type(error), error, error.__traceback__)

    def _flush(self, even_empty: bool = False) -> None:
        if not self._waiting and not even_empty:
            return
        if self._writer is None:
            file = self._stack.enter_context(self._folder.writing(self._name))
            self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting).combine_chunks())
        self._waiting, self._waiting_bytes = [], 0


class ShardWriter:
    """Takes the batches of one shard in order, and commits it."""

    def __init__(self, target: Target, shard: str, schema: pa.Schema) -> None:
        self.target, self.shard = target, shard
        schemas = {
            "data": document.written(schema),
            "removed": document.removed(schema, text=target.removed_text),
            "dead": document.dead(schema),
        }
        self._parts = {p: Part(target.folder, f"{p}/{shard}.parquet", schemas[p]) for p in PARTS}
        self.counts = Counts()
        self.batches = 0
        self.taken_from_dead = 0  # a replay's rows come from another shard's dead
        self.costs: dict[str, StageCost] = {}
        self.unreadable: list[tuple[int, str]] = []

    def add(self, batch: Batch) -> None:
        """The rows of `batch` and its account."""
        self._parts["data"].add(batch.kept)
        for table in batch.removed:
            self._parts["removed"].add(table)
        for table in batch.dead:
            self._parts["dead"].add(table)
        self.counts += batch.counts + Counts(out=batch.kept.num_rows)
        self.costs = add_costs(self.costs, batch.costs)
        self.batches += 1

    def take_from_dead(self, rows: int) -> None:
        """The rows of this shard were `rows` dead ones of another; they are dead no more, or again."""
        self.taken_from_dead += rows
        self.counts += Counts(dead=-rows)

    def note(self, piece: Unreadable) -> None:
        """A part of the input that could not become a row."""
        self.counts += Counts(unreadable=1)
        if len(self.unreadable) < MAX_LISTED:
            self.unreadable.append((piece.offset, piece.error[:500]))

    def commit(self, step: str, fingerprint: str, source: dict[str, Any], seconds: float, cpu: float) -> Manifest:
        """Close the account, write the files, then the manifest. Raises `AccountError` when rows do not add up."""
        if self.counts.missing:
            raise AccountError(
                f"step {step}, shard {self.shard}: {self.counts.missing} rows unaccounted: {self.counts}"
            )
        written = {name: part for name, part in self._parts.items() if name == "data" or part.rows}
        rows = {
            "data": self.counts.out,
            "removed": sum(self.counts.dropped.values()),
            "dead": self.counts.dead + self.taken_from_dead,
        }
        for name, part in self._parts.items():
            if part.rows != rows[name]:
                raise AccountError(
                    f"step {step}, shard {self.shard}: {part.rows} rows in {name}, {rows[name]} in the account"
                )
        files = tuple(part.finish() for part in written.values())
        stale = [f"{part}/{self.shard}.parquet" for part in PARTS if part not in written]
        self.target.folder.delete(*stale)
        manifest = Manifest(
            step, self.shard, fingerprint, source, files, self.counts, tuple(self.unreadable), self.costs, seconds, cpu
        )
        self.target.folder.put(f"manifests/{self.shard}.json", manifest.to_json().encode())
        return manifest

    def abandon(self, error: BaseException) -> None:
        """Forget everything written so far; nothing becomes visible."""
        for part in self._parts.values():
            part.abandon(error)


def read_manifests(folder: Folder) -> dict[str, Manifest]:
    """The manifests of a step by shard name: what is committed. O(shards), many at once."""
    return dict(sorted(each_manifest(folder, listed(folder))))


def tidy(folder: Folder, known: Iterable[str] = ()) -> None:
    """Remove files that no manifest stands for, once all shards are committed: a killed replay may leave them.

    Then a reader that knows nothing of manifests sees what one that does sees. A few listings; only replays are read.
    What is not listed is taken for not committed, so the `known` shards have to be listed first.
    """
    folder.await_listed(f"manifests/{shard}.json" for shard in known)
    committed = folder.names("manifests", ".json")
    shards = {_shard_of(name) for name in committed}
    for part in PARTS:
        folder.delete(*(name for name in folder.names(part, ".parquet") if _shard_of(name) not in shards))
    replays = folder.get_many([name for name in committed if "-replay-" in name])
    replayed = {manifest_of(folder, name, data).source.get("replays") for name, data in replays.items()}
    folder.delete(*(f"dead/{shard}.parquet" for shard in replayed if shard))


def _shard_of(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0]


def discard(folder: Folder) -> None:
    """Take a step away: its manifests first, so that no commit outlives its rows; step.json, which names it, last."""
    folder.below("manifests").clear()
    for name in folder.folders():
        folder.below(name).clear()
    folder.clear()


def committed_files(folder: Folder, part: str) -> Iterator[str]:
    """Names of the files of `part` (data, removed or dead) that manifests name, in order of shard.

    The dead rows of a shard that was replayed are not in its file any more, but where the replay put them.
    """
    manifests = read_manifests(folder)
    replayed = {m.source.get("replays") for m in manifests.values()} if part == "dead" else set()
    for shard, manifest in sorted(manifests.items()):
        if shard not in replayed:
            yield from (file.path for file in manifest.files if file.path.startswith(f"{part}/"))
