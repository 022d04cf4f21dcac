"""What was answered before is not asked again: answers by a key of the model, the sampling and the prompt.

The storage is the runner's (`cluster/ledger.py`); stages see find, add and flush. Keys do not depend on the engine:
the same model behind another back end, address or batch has the same answers.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import orjson

from stages.models.engine import Answer, Request, Usage

KEY_BYTES = 16


class Ledger(Protocol):
    """Answers as bytes, by key. What was added is found again once it is flushed, here and by other workers.

    An answer that was added outlives the process even before `flush`. Threads may call it at the same time.
    """

    def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]: ...

    def add(self, key: bytes, value: bytes) -> None: ...

    def flush(self) -> None: ...


@runtime_checkable
class Noting(Protocol):
    """A ledger that takes an answer as soon as it is read: `note` does not wait, as `add`, which is to follow, may."""

    def note(self, key: bytes, value: bytes) -> None: ...


class Forgetful:
    """No ledger: nothing is found, nothing kept. What a stage has when no runner gives it one."""

    def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return {}

    def add(self, key: bytes, value: bytes) -> None:
        pass

    def flush(self) -> None:
        pass


def key_of(model: str, request: Request) -> bytes:
    """16 bytes of SHA-256 over the model's name, the sampling and the prompt, as canonical JSON."""
    prompt, sampling = request.prompt, request.sampling
    grammar = sampling.grammar  # spelled out: dataclasses.asdict takes three times as long
    what = {
        "model": model,
        "prompt": {"chat": prompt.chat, "text": prompt.text, "tokens": prompt.tokens},
        "sampling": {
            "grammar": grammar and {"kind": grammar.kind, "text": grammar.text},
            "max_tokens": sampling.max_tokens,
            "seed": sampling.seed,
            "stop": sampling.stop,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
        },
    }
    text = json.dumps(what, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES]


def pack(answer: Answer) -> bytes:
    """An answer as the ledger keeps it."""
    usage = answer.usage
    return orjson.dumps(
        [answer.text, answer.finish, usage.prompt_tokens, usage.completion_tokens, round(usage.seconds, 6)]
    )


def unpack(value: bytes) -> Answer:
    """An answer that the ledger kept."""
    text, finish, prompt_tokens, completion_tokens, seconds = orjson.loads(value)
    return Answer(text, finish, Usage(prompt_tokens, completion_tokens, seconds), from_ledger=True)
