"""Requests through the ledger to the engine, and the account of what was asked for each row."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import pyarrow as pa

from schemas import columns as c
from stages.models.engine import Answer, Engine, Failure, Keeping, Request
from stages.models.flight import Flight, Results, Turn
from stages.models.ledger import Forgetful, Ledger, Noting, key_of, pack, unpack
from stages.models.spec import Spec, check_folder, open_engine
from stages.stage import set_columns


@dataclass
class Asker:
    """An engine and its ledger, as a stage uses them. `model` is the name that keys and provenance have."""

    spec: Spec
    engine: Engine
    model: str
    ledger: Ledger = field(default_factory=Forgetful)
    _flight: Flight = field(default_factory=Flight, init=False, repr=False, compare=False)

    def ask(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        """The answer of each request, in their order. Equal requests are asked once; failures are not remembered.

        The first of them pays, the others have it from the ledger; so does who asks while another table of this worker
        is asking the same. `requests` may make what it holds when it is asked for it (`Made`): then a document that
        fans out to thousands of prompts is never in memory so many times.
        """
        keys = [key_of(self.model, request) for request in requests]
        first: dict[bytes, int] = {}
        for number, key in enumerate(keys):
            first.setdefault(key, number)
        results: Results = {}
        while left := [key for key in first if key not in results]:
            turn = Turn()
            others = self._flight.begin(turn, left)
            mine = [key for key in left if key not in others]
            try:
                self._find_or_pay(turn, {key: first[key] for key in mine}, requests)
            finally:
                self._flight.end(turn, mine)
            results |= turn.results
            for key, other in others.items():
                if (result := self._flight.wait(other, key)) is not None:
                    results[key] = _paid(result)
        return [results[key] if first[key] == n else _paid(results[key]) for n, key in enumerate(keys)]

    def _find_or_pay(self, turn: Turn, wanted: dict[bytes, int], requests: Sequence[Request]) -> None:
        """The ledger's answers, and the engine's of those that it has not; `wanted` has numbers of requests."""
        known = {key: unpack(value) for key, value in self.ledger.find(list(wanted)).items()}
        self._flight.land(turn, known)
        order = [key for key in wanted if key not in known]
        places = [wanted[key] for key in order]
        try:
            asked = Made(len(places), lambda i: requests[places[i]])
            for number, result in self._generate(asked, order) if places else ():
                if isinstance(result, Answer):
                    self.ledger.add(order[number], pack(result))
                self._flight.land(turn, {order[number]: result})
        finally:
            self.ledger.flush()

    def _generate(self, asked: Sequence[Request], keys: list[bytes]) -> Iterator[tuple[int, Answer | Failure]]:
        """The engine's results. What is paid for is noted by who has read it: it may wait here until it is added."""
        engine, ledger = self.engine, self.ledger
        if isinstance(engine, Keeping) and isinstance(ledger, Noting):
            return engine.generate_and_keep(asked, lambda number, answer: ledger.note(keys[number], pack(answer)))
        return engine.generate(asked)


def _paid(result: Answer | Failure) -> Answer | Failure:
    """The result for whom another row has paid."""
    return replace(result, from_ledger=True) if isinstance(result, Answer) else result


class Made(Sequence[Request]):
    """`n` requests, each made by `make` of its number whenever it is asked for."""

    def __init__(self, n: int, make: Callable[[int], Request]) -> None:
        self._n, self._make = n, make

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, at: int) -> Request: ...

    @overload
    def __getitem__(self, at: slice) -> "Made": ...

    def __getitem__(self, at: int | slice) -> "Request | Made":
        if isinstance(at, slice):
            inside = range(self._n)[at]
            return Made(len(inside), lambda i: self._make(inside[i]))
        return self._make(range(self._n)[at])


def open_asker(spec: Spec, model: str, ledger: Ledger | None = None) -> Asker:
    """The engine of `spec`, opened, with the ledger that the runner gave, if it gave one."""
    engine = open_engine(spec)
    check_folder(spec, model)  # once it is loaded: what is loaded is what was planned
    return Asker(spec, engine, model, Forgetful() if ledger is None else ledger)


def account(
    asker: Asker, stage: str, prompt_hash: str, answers: Sequence[Answer], decision: str, errors: int = 0
) -> dict[str, Any]:
    """One entry of the column `answers`: what `stage` was told for one row, and what became of it."""
    paid = [answer.usage for answer in answers if not answer.from_ledger]
    usage = [answer.usage for answer in answers]
    return {
        "stage": stage,
        "model": asker.model,
        "prompt_hash": prompt_hash,
        "output": "\n".join(answer.text for answer in answers),
        "decision": decision,
        "errors": errors,
        "calls": len(answers),
        "from_ledger": len(answers) - len(paid),
        "prompt_tokens": sum(u.prompt_tokens for u in usage),
        "completion_tokens": sum(u.completion_tokens for u in usage),
        "seconds": sum(u.seconds for u in usage),
        "cost": asker.spec.cost(sum(u.prompt_tokens for u in paid), sum(u.completion_tokens for u in paid)),
    }


def append_answers(table: pa.Table, entries: Sequence[dict[str, Any] | None]) -> pa.Table:
    """`table` with one entry of `account` a row appended to those of earlier stages; None adds nothing to a row."""
    there = c.ANSWERS.name in table.column_names
    earlier = table.column(c.ANSWERS.name).to_pylist() if there else [None] * table.num_rows
    values = [
        [*(before or []), entry] if entry is not None else before
        for before, entry in zip(earlier, entries, strict=True)
    ]
    return set_columns(table, answers=pa.array(values, c.ANSWERS.type))
