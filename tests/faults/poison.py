"""Stages that a document takes down: one that never returns, one that eats memory without end. And one that is slow."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from schemas import columns as c
from stages.stage import EXECUTION, Resources, Rows, Transform


@dataclass(frozen=True)
class HangOn:
    """Never returns once a text contains `word` (unless the file `once` is there already)."""

    word: str
    once: str | None = None
    gpus: float = 0.0
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"

    @property
    def resources(self) -> Resources:
        return Resources(gpus=self.gpus, memory_gb=0.5)

    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            hit = any(self.word in text for text in table.column("text").to_pylist())
            if hit and not (self.once and Path(self.once).exists()):
                if self.once:
                    Path(self.once).touch()
                while True:
                    time.sleep(3600)  # what it waits for never comes
            return table

        return apply


@dataclass(frozen=True)
class BombOn:
    """Allocates and touches memory until it is stopped once a text contains `word`; `most_gb` is all it would take."""

    word: str
    most_gb: float = 64.0
    gpus: float = 0.0
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"

    @property
    def resources(self) -> Resources:
        return Resources(gpus=self.gpus, memory_gb=0.5)

    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            if any(self.word in text for text in table.column("text").to_pylist()):
                held = []
                while len(held) < self.most_gb * 16:
                    held.append(bytearray(b"\1") * (1 << 26))
                raise AssertionError(f"nothing has stopped it at {self.most_gb} GB")
            return table

        return apply


@dataclass(frozen=True)
class Slow:
    """Waits `seconds` for each table."""

    seconds: float = field(default=0.1, metadata=EXECUTION)
    gpus: float = 0.0
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([])
    rows: ClassVar[Rows] = "same"

    @property
    def resources(self) -> Resources:
        return Resources(gpus=self.gpus, memory_gb=0.5)

    def open(self) -> Transform:
        def apply(table: pa.Table) -> pa.Table:
            time.sleep(self.seconds)
            return table

        return apply
