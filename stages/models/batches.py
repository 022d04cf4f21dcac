"""Batches of rows of nearly one length, and what to do when the device is too small for one, or dead.

Rows are padded to the longest of their batch, so they are sorted by length. The order does not depend on the caller's:
the same rows make the same batches, which counts because a sum in floating point depends on the batch (an answer at
temperature 0 differs for 0 to 1 of 96 requests in float32 and for up to 6 in bfloat16 from one batch size to another;
the same batches give the same bits).
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from stages.models.engine import Failure
from stages.stage import WorkerBrokenError

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One prompt as tokens. `room`: how many more positions its answer may take."""

    number: int
    tokens: tuple[int, ...]
    room: int = 0


@dataclass
class Batches:
    """Cuts rows into batches of at most `size` rows and `tokens` positions, padding counted.

    A batch that the device has no memory for is halved, and so are all that follow: the next would not fit either.
    """

    tokens: int
    size: int

    def run(
        self, rows: Sequence[Row], work: Callable[[list[Row]], Sequence[T | Failure]]
    ) -> Iterator[tuple[int, T | Failure]]:
        """The result of `work` for every row, by its number, as batches are done. The longest rows come first."""
        waiting = sorted(rows, key=_order, reverse=True)
        begin = 0
        while begin < len(waiting):
            batch = self._first(waiting, begin)
            results = _attempt(work, batch)
            if isinstance(results, str):
                if len(batch) > 1:
                    self.tokens = len(batch) * _width(batch) // 2
                    continue
                results = [Failure(f"out of memory with {_width(batch)} tokens, even alone: {results}")]
            yield from zip([row.number for row in batch], results, strict=True)
            begin += len(batch)

    def _first(self, waiting: Sequence[Row], begin: int) -> list[Row]:
        """The next batch, at least one row. Rooms differ by less than twice: a long answer keeps short ones waiting."""
        batch = [waiting[begin]]
        bucket = batch[0].room.bit_length()
        for row in waiting[begin + 1 : begin + self.size]:
            if row.room.bit_length() != bucket or (len(batch) + 1) * _width([*batch, row]) > self.tokens:
                break
            batch.append(row)
        return batch


def _order(row: Row) -> tuple[int, int, tuple[int, ...], int]:
    return row.room.bit_length(), len(row.tokens), row.tokens, row.room


def _width(batch: Sequence[Row]) -> int:
    """Positions that each row of a batch takes."""
    return max(len(row.tokens) for row in batch) + max(row.room for row in batch)


def _attempt(work: Callable[[list[Row]], Sequence[T | Failure]], batch: list[Row]) -> Sequence[T | Failure] | str:
    """The results, or why there was no memory for them."""
    try:
        return work(batch)
    except (RuntimeError, MemoryError) as error:
        kind = trouble(error)
        if kind is None:
            raise
        if kind == "dead":
            raise WorkerBrokenError(f"engine transformers: the device is dead: {_line(error)}") from error
        reason = _line(error)  # the error itself holds the frames, and they the tensors that should go
    _free()
    return reason


def trouble(error: BaseException) -> Literal["memory", "dead"] | None:
    """Whether an error says that memory ran out, that the device is dead for this process, or neither.

    After an assertion in a kernel or an illegal access every call of CUDA fails, until the process ends.
    """
    import torch  # noqa: PLC0415 - an extra

    text = str(error).lower()
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "memory"
    if any(part in text for part in ("not enough memory", "out of memory", "alloc_failed")):
        return "memory"
    if isinstance(error, torch.AcceleratorError) or any(part in text for part in ("cuda error", "device-side assert")):
        return "dead"
    return None


def _free() -> None:
    import torch  # noqa: PLC0415 - an extra

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
