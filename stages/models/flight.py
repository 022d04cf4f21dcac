"""Keys that a thread of this worker asks for just now: who wants the same meanwhile waits for it and does not pay.

A thread has all that it asks for itself before it waits for others, so no two wait for each other. Whoever fails leaves
its keys to those who wait.
"""

import threading
from collections.abc import Iterable, Mapping

from stages.models.engine import Answer, Failure

Results = dict[bytes, Answer | Failure]


class Turn:
    """What one thread finds out of its keys. `over`: nothing more comes of it."""

    def __init__(self) -> None:
        self.results: Results = {}
        self.over = False


class Flight:
    """The turns that are not over, by key. Threads may call it at the same time."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._turns: dict[bytes, Turn] = {}

    def begin(self, turn: Turn, keys: Iterable[bytes]) -> dict[bytes, Turn]:
        """Those of `keys` that are another turn's, which is to be waited for; the others are this one's now."""
        with self._change:
            return {key: its for key in keys if (its := self._turns.setdefault(key, turn)) is not turn}

    def land(self, turn: Turn, results: Mapping[bytes, Answer | Failure]) -> None:
        """What is known by now, once the ledger has it."""
        with self._change:
            turn.results.update(results)
            self._change.notify_all()

    def end(self, turn: Turn, keys: Iterable[bytes]) -> None:
        """`turn` asks for none of its `keys` any more, answered or not."""
        with self._change:
            for key in keys:
                del self._turns[key]
            turn.over = True
            self._change.notify_all()

    def wait(self, turn: Turn, key: bytes) -> Answer | Failure | None:
        """What another's turn makes of `key`; None if it has ended without that."""
        with self._change:
            self._change.wait_for(lambda: turn.over or key in turn.results)
            return turn.results.get(key)
