"""Engines that write what a test says, for tests of stages that ask a model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from stages.models.ask import Asker
from stages.models.engine import Answer, Engine, Failure, Prompt, Request, Scored, Usage, Vector
from stages.models.ledger import Ledger
from stages.models.spec import parse
from stages.stage import StageError

SPEC = "openai:http://localhost:1/v1?tokenizer=none&prompt_price=2&completion_price=4#writer-7b"


def user(request: Request) -> str:
    """What the chat's user says; the prompt itself where it is no chat."""
    return next((words for role, words in request.prompt.chat or () if role == "user"), request.prompt.text or "")


def given(request: Request) -> str:
    """The text that a prompt of ours was filled with."""
    return user(request).partition("Text:\n")[2] or user(request).partition("\n\n")[2]


@dataclass
class Writer:
    """Answers each request by `write`: a text, an `Answer` or a `Failure`. Answers come in reverse order."""

    write: Callable[[Request], str | Answer | Failure]
    context: int | None = None
    labels: tuple[str, ...] = ()
    can_tokenize: bool = True
    asked: list[Request] = field(default_factory=list)

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer | Failure]]:
        self.asked += requests
        for number, request in reversed(list(enumerate(requests))):
            said = self.write(request)
            if isinstance(said, str):
                said = Answer(said, "stop", Usage(len(user(request).split()), len(said.split()), 0.25))
            yield number, said

    def tokenize(self, texts: Sequence[str], special: bool = False) -> list[list[int]]:
        if not self.can_tokenize:
            raise StageError("this server has no tokenizer")
        return [list(range(len(text.split()))) for text in texts]

    def score(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Scored | Failure]]:
        raise StageError("no scores")

    def embed(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Vector | Failure]]:
        raise StageError("no vectors")

    classify = embed

    def close(self) -> None:
        pass


class Shelf:
    """A ledger in memory."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}

    def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return {key: self.kept[key] for key in keys if key in self.kept}

    def add(self, key: bytes, value: bytes) -> None:
        self.kept[key] = value

    def flush(self) -> None:
        pass


def asker(engine: Engine, ledger: Ledger | None = None, **more: Any) -> Asker:
    return Asker(parse(SPEC, "test"), engine, "writer-7b", **({"ledger": ledger} if ledger else {}), **more)
