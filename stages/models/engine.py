"""What an engine is: four verbs over requests, answered in the order in which they are ready.

An engine is opened once a worker, from the URL-like setting that `stages.models.spec` reads. It tells of each request
by its number: its result, or a `Failure` when that one request can never be answered. What concerns all requests (a
server that refuses the key, a model that is not there) is raised: `StageError` ends the run, `WorkerBrokenError` asks
for another process. Temporary trouble is the engine's own business: it waits and tries again.

    for number, result in engine.generate(requests): ...
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Role = Literal["system", "user", "assistant"]
Finish = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked: exactly one of a text as it stands, a chat in the model's own template, or tokens.

    A text is tokenised with the model's own special tokens in front (`add_special_tokens`), as vLLM does.
    """

    text: str | None = None
    chat: tuple[tuple[Role, str], ...] | None = None
    tokens: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if sum(part is not None for part in (self.text, self.chat, self.tokens)) != 1:
            raise ValueError("a prompt is a text, a chat or tokens: exactly one of them")


@dataclass(frozen=True)
class Grammar:
    """What an answer must look like: a regular expression, a JSON schema, or EBNF as xgrammar and vLLM read it."""

    kind: Literal["regex", "json", "ebnf"]
    text: str


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn. It is part of the ledger's key, so equal settings must be written equally.

    `seed` counts at a temperature above 0 alone; derive it from (seed, stage, document id), so that an answer does not
    depend on the batch (methods 26.3).
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    grammar: Grammar | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to generate."""

    prompt: Prompt
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request took. `seconds`: of a server, from the request to its answer; of a batch here, its share of it."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A generated text. `length`: it was cut by `max_tokens`, or by the model's context."""

    text: str
    finish: Finish
    usage: Usage
    from_ledger: bool = False


@dataclass(frozen=True)
class Scored:
    """Natural logarithms of the probability of each token after the first, given those before it."""

    logprobs: npt.NDArray[np.float32]
    usage: Usage


@dataclass(frozen=True)
class Vector:
    """What a model makes of a text as a whole: an embedding of length 1, or the logits of a classifier's labels."""

    values: npt.NDArray[np.float32]
    usage: Usage


@dataclass(frozen=True)
class Failure:
    """Why one request has no result: the model's context is too short for it, the server rejects its content."""

    error: str


Keep = Callable[[int, Answer], None]


@runtime_checkable
class Keeping(Protocol):
    """An engine whose answers cost money. `keep` has each before another is asked for in its place, in any thread.

    So no more is ever paid for and not kept than the engine asks at a time; answers may wait to be taken for long.
    """

    def generate_and_keep(self, requests: Sequence[Request], keep: Keep) -> Iterator[tuple[int, Answer | Failure]]: ...


class Engine(Protocol):
    """A model that is loaded, or a server that is there. Verbs it does not have raise `StageError`.

    `labels` are those of a classifier in the order of its logits, empty for others; `context` is how many tokens a
    prompt and its answer may have together, None when it is not known. Threads may call the verbs at the same time.
    """

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def context(self) -> int | None: ...

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer | Failure]]: ...

    def score(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Scored | Failure]]: ...

    def embed(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Vector | Failure]]: ...

    def classify(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Vector | Failure]]: ...

    def tokenize(self, texts: Sequence[str], special: bool = False) -> list[list[int]]:
        """Tokens of texts by the model's own tokenizer, `special` ones in front if asked for.

        An engine without a tokenizer (a server, unless its `tokenizer` option names one) raises `StageError`.
        """
        ...

    def close(self) -> None: ...
