"""A source and stages for tests of the engine: failures are data."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from schemas import columns as c
from stages.ids import id_of, source_of
from stages.models.ask import account, append_answers, open_asker
from stages.models.engine import Failure, Prompt, Request, Sampling
from stages.models.ledger import Ledger
from stages.models.spec import parse
from stages.stage import (
    EXECUTION,
    Piece,
    Read,
    Resources,
    Rows,
    Transform,
    Unreadable,
    WorkerBrokenError,
    set_columns,
)

LINES = pa.schema([c.ID, c.SOURCE, c.BODY, c.DROP_REASON])


@dataclass(frozen=True)
class ReadLines:
    """One row a line, `table_rows` rows a table. `!drop` lines are rejected by the source, `!bad` ones unreadable."""

    table_rows: int = 4
    resources: ClassVar[Resources] = Resources(memory_gb=0.5)

    def split(self, file: BinaryIO, uri: str, size: int) -> list[Piece]:
        return [Piece(uri)]

    def schema(self, file: BinaryIO, uri: str) -> pa.Schema:
        return LINES

    def open(self) -> Read:
        return self._read

    def _read(self, file: BinaryIO, piece: Piece) -> Iterator[pa.Table | Unreadable]:
        waiting: list[dict[str, str | None]] = []
        offset = 0
        for raw in file:
            line = raw.decode().rstrip("\n")
            if line == "!bad":
                yield Unreadable(offset, "bad line")
            else:
                source = source_of(piece.uri, offset)
                reason = "rejected" if line == "!drop" else None
                waiting.append({"id": id_of(source), "source": source, "text": line, "drop_reason": reason})
            offset += len(raw)
            if len(waiting) == self.table_rows:
                yield pa.Table.from_pylist(waiting, LINES)
                waiting = []
        if waiting:
            yield pa.Table.from_pylist(waiting, LINES)


@dataclass(frozen=True)
class Upper:
    """Text in capitals."""

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.BODY])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources(memory_gb=0.5)

    def open(self) -> Transform:
        return lambda table: set_columns(table, text=pc.utf8_upper(table.column("text")))


@dataclass(frozen=True)
class DropWith:
    """Drops rows whose text contains `word`, with the word as the reason."""

    word: str
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.DROP_REASON])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources(memory_gb=0.5)

    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            hit = pc.match_substring(table.column("text"), self.word)
            return set_columns(table, drop_reason=pc.if_else(hit, self.word, pa.scalar(None, pa.string())))

        return apply


@dataclass(frozen=True)
class CrashOn:
    """Raises when the text contains `word`; with `hard`, takes the process with it (unless `once` exists already)."""

    word: str
    hard: bool = False
    once: str | None = None
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources(memory_gb=0.5)

    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            for text in table.column("text").to_pylist():
                if self.word in text and not (self.once and Path(self.once).exists()):
                    if self.once:
                        Path(self.once).touch()
                    if self.hard:
                        os.kill(os.getpid(), signal.SIGKILL)
                    raise ValueError(f"cannot take {text!r}")
            return table

        return apply


@dataclass(frozen=True)
class SignalOn:
    """Its process dies of signal `by` when the text contains `word`."""

    word: str
    by: int = signal.SIGSEGV
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources(memory_gb=0.5)

    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            if any(self.word in text for text in table.column("text").to_pylist()):
                os.kill(os.getpid(), self.by)
            return table

        return apply


@dataclass(frozen=True)
class FailRow:
    """Fills `error` for rows whose text contains `word`."""

    word: str
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.ERROR])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources(memory_gb=0.5)

    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            hit = pc.match_substring(table.column("text"), self.word)
            errors = pc.if_else(hit, pa.scalar("KeyError: missing", c.TEXT), pa.scalar(None, c.TEXT))
            return set_columns(table, error=errors)

        return apply


@dataclass(frozen=True)
class Loses:
    """Breaks the contract: the first row of each table is gone."""

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources(memory_gb=0.5)

    def open(self) -> Transform:
        return lambda table: table.slice(1)


@dataclass(frozen=True)
class Twice:
    """One row to two: the row, and a copy that names it as its parent."""

    gpus: float = 0.0
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.PARENTS])
    rows: ClassVar[Rows] = "any"
    resources: ClassVar[Resources] = Resources(memory_gb=0.5)

    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            ids = table.column("id").to_pylist()
            same = set_columns(table, parents=pa.nulls(table.num_rows, c.PARENTS.type))
            copies = set_columns(table, id=pa.array([f"{i}-copy" for i in ids], pa.string()))
            copies = set_columns(copies, parents=pa.array([[i] for i in ids], c.PARENTS.type))
            return pa.concat_tables([same, copies])

        return apply


@dataclass(frozen=True)
class OnGpu:
    """Appends a mark to the text in a worker that holds a GPU."""

    mark: str = "*"
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.BODY])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources(cpus=1.0, gpus=0.5, memory_gb=0.5)

    def open(self) -> Transform:
        return lambda table: set_columns(
            table,
            text=pc.binary_join_element_wise(table.column("text"), pa.scalar(self.mark, c.TEXT), pa.scalar("", c.TEXT)),
        )


@dataclass(frozen=True)
class Asks:
    """Text becomes what the model of `engine` says to it. A request that fails is that row's error."""

    engine: str = field(default="openai:http://127.0.0.1:9/v1#model", metadata=EXECUTION)
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.BODY, c.ANSWERS, c.ERROR])
    rows: ClassVar[Rows] = "same"

    @property
    def resources(self) -> Resources:
        return parse(self.engine, "Asks").resources

    def open(self) -> Transform:
        return self.open_with_ledger(None)

    def open_with_ledger(self, ledger: Ledger | None) -> Transform:
        spec = parse(self.engine, "Asks")
        asker = open_asker(spec, spec.model_id, ledger)

        def apply(table: pa.Table) -> pa.Table:
            prompts = table.column("text").to_pylist()
            answers = asker.ask([Request(Prompt(text=text), Sampling(max_tokens=20)) for text in prompts])
            failed = [a.error if isinstance(a, Failure) else None for a in answers]
            entries = [
                None if isinstance(a, Failure) else account(asker, "Asks", "0" * 16, [a], "said") for a in answers
            ]
            said = [text if isinstance(a, Failure) else a.text for a, text in zip(answers, prompts, strict=True)]
            table = append_answers(table, entries)
            return set_columns(table, text=pa.array(said, c.TEXT), error=pa.array(failed, c.TEXT))

        return apply


@dataclass(frozen=True)
class Breaks:
    """Its engine is dead for good once a text contains `word` (unless the file `once` is there already)."""

    word: str
    once: str | None = None
    gpus: float = 0.0
    tables: int = 1
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"

    @property
    def resources(self) -> Resources:
        return Resources(gpus=self.gpus, memory_gb=0.5, tables=self.tables)

    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            hit = any(self.word in text for text in table.column("text").to_pylist())
            if hit and not (self.once and Path(self.once).exists()):
                if self.once:
                    Path(self.once).touch()
                raise WorkerBrokenError(f"the device is dead of {self.word!r}")
            return table

        return apply
