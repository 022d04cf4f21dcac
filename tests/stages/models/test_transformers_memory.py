"""Batches are cut by length and by room; memory that runs out halves them, a dead device asks for another process."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.models.batches import Batches, Row, trouble
from stages.models.engine import Answer, Failure, Prompt, Request, Sampling, Vector
from stages.models.spec import open_engine, parse
from stages.stage import WorkerBrokenError

CPU_OUT = "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: not enough memory"


class Small:
    """A model on a device that has memory for `cells` padded positions; it says so as `error` does."""

    def __init__(self, model: Any, cells: int, error: BaseException) -> None:
        self.model, self.cells, self.error = model, cells, error
        self.asked: list[tuple[int, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __call__(self, input_ids: Any, **more: Any) -> Any:
        rows, width = more["attention_mask"].shape
        if width == input_ids.shape[1]:  # the first step of a batch
            self.asked.append((rows, width))
        if rows * width > self.cells:
            raise self.error
        return self.model(input_ids=input_ids, **more)


def engine_with(folder: Path, cells: int, error: BaseException, options: str = "batch_size=8") -> tuple[Any, Small]:
    engine = open_engine(parse(f"transformers:{folder}?{options}", "test"))
    head = engine.saved_as
    small = Small(engine._model(head), cells, error)
    engine._models[head] = small
    return engine, small


@pytest.mark.parametrize(
    "error", [torch.cuda.OutOfMemoryError("CUDA out of memory. Tried"), RuntimeError(CPU_OUT), MemoryError()], ids=repr
)
def test_a_batch_that_does_not_fit_is_halved_and_the_answers_are_the_same(llama: Path, error: BaseException) -> None:
    requests = [Request(Prompt(tokens=(1, 40 + i, *[50] * (i % 3))), Sampling(6, 1.0, seed=i)) for i in range(16)]
    wanted = dict(open_engine(parse(f"transformers:{llama}", "test")).generate(requests))
    engine, small = engine_with(llama, cells=25, error=error)
    found = dict(engine.generate(requests))
    assert {i: a.text for i, a in found.items()} == {i: a.text for i, a in wanted.items()}
    assert [rows for rows, _ in small.asked] == [8, 4, *[2] * 8]
    again = len(small.asked)
    list(engine.generate(requests))
    assert all(rows * width <= 20 for rows, width in small.asked[again:])  # it remembers


def test_a_row_that_does_not_fit_alone_fails(llama: Path) -> None:
    engine, small = engine_with(llama, cells=40, error=torch.cuda.OutOfMemoryError("CUDA out of memory. Tried\nmore"))
    prompts = [Prompt(tokens=(1,) * 50), Prompt(tokens=(1, 2)), Prompt(tokens=(1, 3))]
    found = dict(engine.generate([Request(prompt, Sampling(6)) for prompt in prompts]))
    assert found[0] == Failure("out of memory with 56 tokens, even alone: CUDA out of memory. Tried")
    assert isinstance(found[1], Answer) and isinstance(found[2], Answer)
    assert [rows for rows, _ in small.asked] == [3, 1, 2]


def test_vectors_are_halved_too(bert_regression: Path) -> None:
    engine, small = engine_with(bert_regression, cells=20, error=RuntimeError(CPU_OUT))
    found = dict(engine.classify([Prompt(tokens=(1, 5, 6, 7, 2))] * 8))
    assert sorted(found) == list(range(8)) and all(isinstance(v, Vector) for v in found.values())
    assert small.asked == [(8, 5), (4, 5), (4, 5)]


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: device-side assert triggered\nCUDA kernel errors might be"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_dead_device_asks_for_another_process(llama: Path, error: BaseException) -> None:
    engine, _ = engine_with(llama, cells=0, error=error)
    with pytest.raises(WorkerBrokenError, match=r"the device is dead: CUDA error: (device-side|an illegal)"):
        list(engine.generate([Request(Prompt(tokens=(1,)), Sampling(2))]))


def test_other_errors_are_passed_on(llama: Path) -> None:
    engine, _ = engine_with(llama, cells=0, error=RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        list(engine.generate([Request(Prompt(tokens=(1,)), Sampling(2))]))
    assert trouble(RuntimeError("CUDA error: out of memory")) == "memory"
    assert trouble(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling")) == "memory"
    assert trouble(ValueError("x")) is None


def lengths(*sizes: int, room: int = 0) -> list[Row]:
    return [Row(i, (i % 7,) * size, room) for i, size in enumerate(sizes)]


def cut(batches: Batches, rows: list[Row]) -> list[list[int]]:
    """Lengths of the rows of each batch."""
    seen: list[list[int]] = []

    def work(batch: list[Row]) -> list[int]:
        seen.append([len(row.tokens) for row in batch])
        return [row.number for row in batch]

    assert all(number == result for number, result in batches.run(rows, work))
    return seen


@pytest.mark.parametrize(
    ("batches", "rows", "wanted"),
    [
        (Batches(100, 3), lengths(1, 2, 3, 4), [[4, 3, 2], [1]]),
        (Batches(10, 9), lengths(5, 1, 5, 1, 1), [[5, 5], [1, 1, 1]]),
        (Batches(10, 9), lengths(50, 3), [[50], [3]]),  # a row is asked however long it is
        (Batches(20, 9), lengths(5, 5, 5, room=5), [[5, 5], [5]]),  # its answer takes room as well
        (Batches(100, 9), [Row(0, (1,), 4), Row(1, (1,), 7), Row(2, (1,), 8)], [[1], [1, 1]]),  # rooms of one size
        (Batches(10, 9), [], []),
    ],
)
def test_batches_are_cut_by_length(batches: Batches, rows: list[Row], wanted: list[list[int]]) -> None:
    assert cut(batches, rows) == wanted


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.integers(0, 40)), max_size=30),
    st.integers(1, 200),
    st.integers(1, 8),
    st.integers(0, 29),
)
def test_every_row_is_asked_once_in_batches_that_do_not_depend_on_the_order(
    drawn: list[tuple[list[int], int]], tokens: int, size: int, turn: int
) -> None:
    rows = [Row(i, tuple(ids), room) for i, (ids, room) in enumerate(drawn)]
    mixed = [*rows[turn:], *rows[:turn]][::-1]
    seen: dict[str, list[list[tuple[Any, int]]]] = {"rows": [], "mixed": []}
    for name, each in (("rows", rows), ("mixed", mixed)):
        log = seen[name]

        def work(batch: list[Row], log: list[Any] = log) -> list[int]:
            log.append([(row.tokens, row.room) for row in batch])
            return [row.number for row in batch]

        assert sorted(number for number, _ in Batches(tokens, size).run(each, work)) == list(range(len(rows)))
    assert seen["rows"] == seen["mixed"]
    for batch in seen["rows"]:
        assert len(batch) <= size
        width = max(len(ids) for ids, _ in batch) + max(room for _, room in batch)
        assert len(batch) == 1 or len(batch) * width <= tokens
