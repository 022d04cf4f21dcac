"""Continuous batching gives the padded batches' greedy answers, counts its results, and refuses where it is slower."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from stages.models.batches import Row
from stages.models.continuous import Continuous, refusal
from stages.models.engine import Answer, Prompt, Request, Sampling
from stages.models.spec import open_engine, parse
from stages.stage import WorkerBrokenError

REQUESTS = [Request(Prompt(tokens=(1, 40 + i, *[60] * i)), Sampling(3 + i % 3)) for i in range(6)]


class Scheduler:
    """transformers' scheduler as far as it is used: gives `results`, then nothing; `fatal` killed its thread."""

    def __init__(self, results: list[Any], fatal: BaseException | None = None) -> None:
        self.results, self.fatal = list(results), fatal
        self.background_thread_status = SimpleNamespace(fatal_error=None)

    def add_request(self, tokens: list[int], request_id: str, **_: Any) -> str:
        return request_id

    def get_result(self, timeout: float) -> Any:
        if self.results:
            return self.results.pop(0)
        self.background_thread_status.fatal_error = self.fatal
        return None

    def is_running(self) -> bool:
        return self.fatal is None


def result(number: int, tokens: list[int], error: str | None = None, finished: bool = True) -> Any:
    return SimpleNamespace(request_id=str(number), generated_tokens=tokens, error=error, is_finished=lambda: finished)


def test_it_runs_and_equals_padded_batches(llama: Path) -> None:
    engine = open_engine(parse(f"transformers:{llama}", "test"))
    wanted = dict(engine.generate(REQUESTS))
    padded = engine._causal()  # type: ignore[attr-defined]
    engine._continuous = Continuous(padded.model, padded.ends, tokens=64, size=4, blocks=8)  # type: ignore[attr-defined]
    mixed = [*REQUESTS, Request(Prompt(tokens=(1, 5)), Sampling(4, 1.0, seed=1))]  # the last one goes to a padded batch
    found = dict(engine.generate(mixed))
    drawn = found.pop(6)
    assert isinstance(drawn, Answer) and drawn.usage.completion_tokens == 4
    for i, answer in found.items():
        before = wanted[i]
        assert isinstance(answer, Answer) and isinstance(before, Answer)
        assert (answer.text, answer.finish) == (before.text, before.finish)
        assert answer.usage.completion_tokens == before.usage.completion_tokens
    engine.close()


def run(scheduler: Scheduler, n: int) -> list[tuple[int, list[int] | None]]:
    continuous = object.__new__(Continuous)
    continuous.scheduler = scheduler
    return list(continuous.run([Row(i, (1, 2), 4) for i in range(n)]))


def test_failed_rows_are_told_and_unfinished_or_unknown_results_do_not_count() -> None:
    scheduler = Scheduler([result(1, [5]), result(0, [7], finished=False), result(9, [8]), result(0, [], "no memory")])
    assert run(scheduler, 2) == [(1, [5]), (0, None)]


def test_answers_that_never_come_break_the_worker() -> None:
    with pytest.raises(WorkerBrokenError, match="died with 2 answers due: device-side assert"):
        run(Scheduler([result(0, [5])], RuntimeError("device-side assert")), 3)


def test_rows_that_it_gives_up_are_answered_padded(llama: Path) -> None:
    engine: Any = open_engine(parse(f"transformers:{llama}", "test"))
    wanted = dict(engine.generate(REQUESTS))
    engine._causal()
    engine._continuous = SimpleNamespace(run=lambda rows: [(row.number, None) for row in rows], close=lambda: None)
    found = dict(engine.generate(REQUESTS))
    assert {i: a.text for i, a in found.items()} == {i: a.text for i, a in wanted.items()}


@pytest.mark.parametrize(
    ("device", "dtype", "flash", "why"),
    [
        ("cpu", torch.bfloat16, True, "needs CUDA, and the device is cpu"),
        ("cuda", torch.bfloat16, False, "needs flash attention"),
        ("cuda", torch.float32, True, "needs dtype=bfloat16 or float16"),
        ("cuda", torch.bfloat16, True, None),
    ],
)
def test_it_is_refused_where_padding_is_faster(
    monkeypatch: pytest.MonkeyPatch, device: str, dtype: Any, flash: bool, why: str | None
) -> None:
    monkeypatch.setattr("transformers.utils.is_flash_attn_2_available", lambda: flash)
    found = refusal(torch.device(device), dtype)
    assert found is None if why is None else str(found).startswith(why)
