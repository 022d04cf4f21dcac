"""A model that rates, as the stages of this folder use it: texts to tokens, results by row, failures, the account.

A row whose request failed gets an `error`, so that it leaves the stream dead; the others go on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas import columns as c
from stages.models.ask import append_answers
from stages.models.engine import Answer, Engine, Failure, Prompt, Scored, Usage, Vector
from stages.models.spec import Spec, check_folder, open_engine, parse
from stages.stage import StageError, name_of, set_columns
from stages.verdict import reasons, texts

Result = TypeVar("Result", Vector, Scored, Answer)
Floats = npt.NDArray[np.float32]
DECIMALS = 4  # what batches of another size can change is in the seventh: a rerun must not cross a threshold

CHARS = 8  # of a text for each token that is wanted of it, at first: most have 3 to 5
MARGIN = 32  # tokens at the end of a cut text that the cut may have made


@dataclass(frozen=True)
class Frame:
    """The special tokens that the model's tokenizer puts around a text."""

    before: tuple[int, ...]
    behind: tuple[int, ...]

    def around(self, tokens: Sequence[int], most: int) -> Prompt:
        """The first of `tokens` in the frame, `most` tokens in all: what transformers makes of a text it truncates."""
        room = max(most - len(self.before) - len(self.behind), 0)
        return Prompt(tokens=(*self.before, *tokens[:room], *self.behind))


@dataclass(frozen=True)
class Rater:
    """An opened engine, the name of its model and of the stage that it works for."""

    spec: Spec
    engine: Engine
    model: str
    stage: str

    @cached_property
    def frame(self) -> Frame:
        """Found by what special tokens change about the tokens of a letter."""
        plain, framed = (self.engine.tokenize(["a"], special)[0] for special in (False, True))
        for at in range(len(framed) - len(plain) + 1):
            if framed[at : at + len(plain)] == plain:
                return Frame(tuple(framed[:at]), tuple(framed[at + len(plain) :]))
        raise StageError(f"{self.stage}: the tokens of 'a' are {plain} alone, {framed} with special tokens around")

    def heads(self, texts: Sequence[str], most: int) -> list[list[int]]:
        """At least the first `most` tokens of each text, where it has as many; nearly always no more is tokenised."""
        cut = [text[: (most + MARGIN) * CHARS] for text in texts]
        tokens = self.engine.tokenize(cut)
        short = [
            row
            for row, (text, some, head) in enumerate(zip(texts, cut, tokens, strict=True))
            if len(some) < len(text) and len(head) < most + MARGIN
        ]
        if short:
            for row, whole in zip(short, self.engine.tokenize([texts[row] for row in short]), strict=True):
                tokens[row] = whole
        return tokens

    def check_context(self, tokens: int, setting: str) -> None:
        """`StageError` if the model cannot take `tokens` at once."""
        context = self.engine.context
        if context is not None and context < tokens:
            raise StageError(
                f"{self.stage}.{setting} is {tokens}, but {self.model} takes {context} tokens at most: set it to that"
            )

    def check_outputs(self, n: int) -> None:
        """`StageError` unless the model is a classifier with `n` outputs."""
        labels = self.engine.labels
        if len(labels) != n:
            raise StageError(
                f"{self.stage} takes a classifier with {n} output{'s' * (n > 1)}, {self.model} has {len(labels)}: "
                f"{', '.join(labels) or 'it is none'}"
            )

    def fill(
        self,
        table: pa.Table,
        failures: Sequence[str | None],
        usages: Sequence[Sequence[Usage]],
        drop: Sequence[str | None] | None = None,
        **columns: Any,
    ) -> pa.Table:
        """`table` with `columns`, errors, reasons and an entry in `answers` for each row that did not fail."""
        decisions = drop or [None] * table.num_rows
        entries = [
            None if failed else self._account(usage, decision or "scored")
            for failed, usage, decision in zip(failures, usages, decisions, strict=True)
        ]
        table = append_answers(table, entries)
        table = set_columns(table, **columns, error=pa.array(failures, c.ERROR.type))
        if drop is None:
            return table
        kept = [None if failed else reason for failed, reason in zip(failures, drop, strict=True)]
        return set_columns(table, drop_reason=reasons(kept))

    def _account(self, usages: Sequence[Usage], decision: str) -> dict[str, Any]:
        prompt_tokens = sum(usage.prompt_tokens for usage in usages)
        completion_tokens = sum(usage.completion_tokens for usage in usages)
        return {
            "stage": self.stage,
            "model": self.model,
            "prompt_hash": "",
            "output": None,
            "decision": decision,
            "errors": 0,
            "calls": len(usages),
            "from_ledger": 0,
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "seconds": sum(usage.seconds for usage in usages),
            "cost": self.spec.cost(prompt_tokens, completion_tokens),
        }


def open_rater(stage: Any) -> Rater:
    """The engine that `stage.engine` names, loaded."""
    spec = parse(stage.engine, name_of(stage))
    engine = open_engine(spec)
    check_folder(spec, stage.model_id)
    return Rater(spec, engine, stage.model_id, name_of(stage))


def texts_of(table: pa.Table) -> list[str]:
    """The texts of `table`; a null is an empty one."""
    return list(texts(table))


def gather(told: Iterable[tuple[int, Result | Failure]], rows: Sequence[int], n: int) -> list[list[Result] | Failure]:
    """For each of `n` rows its results in the order of its requests, of which request i is of `rows[i]`.

    A row of which one request failed has that `Failure`, the first in the order of requests. A row may have no request.
    """
    by_request: dict[int, Result | Failure] = dict(told)
    found: list[list[Result] | Failure] = [[] for _ in range(n)]
    if len(by_request) != len(rows):
        raise StageError(f"the engine told of {len(by_request)} requests, {len(rows)} were made")
    for number, row in enumerate(rows):
        result, mine = by_request[number], found[row]
        if isinstance(result, Vector | Scored) and not np.isfinite(_numbers(result)).all():
            result = Failure("the model's output is not finite")  # weights that overflow in half precision, mostly
        if isinstance(mine, Failure):
            continue
        if isinstance(result, Failure):
            found[row] = result
        else:
            mine.append(result)
    return found


def _numbers(result: Vector | Scored) -> Floats:
    return result.values if isinstance(result, Vector) else result.logprobs


def failures_of(found: Sequence[Any]) -> list[str | None]:
    """The `error` of each row."""
    return [f"Failure: {one.error}" if isinstance(one, Failure) else None for one in found]


def usages_of(found: Sequence[Sequence[Result] | Failure]) -> list[list[Usage]]:
    """What the requests of each row took; nothing for one that failed."""
    return [[] if isinstance(one, Failure) else [result.usage for result in one] for one in found]


def column(values: Sequence[float | None]) -> pa.Array:
    """Scores as a column, rounded; None, and what is no number, as null."""
    kept = [None if value is None or not np.isfinite(value) else round(float(value), DECIMALS) for value in values]
    return pa.array(kept, pa.float32())


def asked(prompts: Sequence[Prompt], rows: Sequence[int]) -> tuple[list[Prompt], list[int]]:
    """(prompts, their rows) without those of no tokens at all: an empty text, and a tokenizer that adds none."""
    kept = [(prompt, row) for prompt, row in zip(prompts, rows, strict=True) if prompt.tokens]
    return [prompt for prompt, _ in kept], [row for _, row in kept]


def chunks_of(tokens: Sequence[int], size: int) -> list[Sequence[int]]:
    """`tokens` in pieces of `size`, the last one shorter; none for no tokens."""
    return [tokens[start : start + size] for start in range(0, len(tokens), size)]
