"""An engine that says what it is told to: a token for each word, results by what the tokens are."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stages.models import ask
from stages.models.engine import Answer, Failure, Prompt, Request, Scored, Usage, Vector
from stages.rate import rater

BEGIN, END = 101, 102


class Scripted:
    """Results are given in reverse order, as an engine may. `say` gives a list of numbers, a text or a failure."""

    def __init__(
        self,
        say: Callable[[Any], Any],
        labels: tuple[str, ...] = ("LABEL_0",),
        context: int | None = None,
        frame: tuple[tuple[int, ...], tuple[int, ...]] = ((BEGIN,), (END,)),
    ) -> None:
        self.say, self.labels, self.context, self.frame = say, labels, context, frame
        self.asked: list[Any] = []
        self.tokenized: list[str] = []

    def tokenize(self, texts: Sequence[str], special: bool = False) -> list[list[int]]:
        """The length of each word is its token."""
        self.tokenized += texts
        plain = [[len(word) for word in text.split()] for text in texts]
        return [[*self.frame[0], *one, *self.frame[1]] if special else one for one in plain]

    def classify(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Vector | Failure]]:
        yield from self._each(prompts, lambda said, usage: Vector(np.array(said, np.float32), usage))

    embed = classify

    def score(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Scored | Failure]]:
        yield from self._each(prompts, lambda said, usage: Scored(np.array(said, np.float32), usage))

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer | Failure]]:
        yield from self._each(requests, lambda said, usage: Answer(said, "stop", usage))

    def close(self) -> None:
        pass

    def _each(self, requests: Sequence[Any], made: Callable[[Any, Usage], Any]) -> Iterator[tuple[int, Any]]:
        for number in reversed(range(len(requests))):
            self.asked.append(requests[number])
            said = self.say(requests[number])
            yield number, said if isinstance(said, Failure) else made(said, Usage(10, 0, 0.5))


def rate(
    monkeypatch: pytest.MonkeyPatch, stage: Any, engine: Scripted, texts: Sequence[str | None], **more: Any
) -> Any:
    """The rows that `stage` makes of `texts` with `engine` for a model."""
    for module in (rater, ask):
        monkeypatch.setattr(module, "open_engine", lambda spec: engine)
    table = pa.table({"id": [f"r{i}" for i in range(len(texts))], "text": pa.array(texts, pa.large_string()), **more})
    return stage.open()(table).to_pylist()
