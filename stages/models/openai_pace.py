"""How fast a server is asked: requests at a time, rate limits, back-off between tries, and when it counts as gone.

Clocks are injected: `stages/` has none of its own, the client gives the event loop's.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from stages.stage import StageError

log = logging.getLogger(__name__)

Clock = Callable[[], float]  # seconds, monotonic
SILENCE = 2.0  # seconds without an answer before the wait is told: to whom nothing is told, it hangs


@dataclass(frozen=True)
class Backoff:
    """Seconds before the next try: `first`, three times as long each time up to `cap`, less a random half of it.

    Short at first, since a table waits for its last row, and most failures pass at once; 8 tries take 50 seconds.
    Jitter so that requests which failed together do not come back together.
    """

    first: float = 0.1
    cap: float = 30.0
    draw: Callable[[], float] = field(default=random.random, compare=False)

    def seconds(self, failed: int, after: float | None = None) -> float:
        """Before the next try when `failed` have failed; `after` is what the server asked for, at least."""
        wait = min(self.cap, self.first * 3.0 ** min(failed - 1, 30)) * (0.5 + self.draw() / 2)
        return wait if after is None else after + wait


class Slots:
    """So many at a time, in the order of asking. asyncio.Semaphore looks through all who wait at each release."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was handed over, and nobody is there to use it
                self.give()
            raise

    def give(self, count: int = 1) -> None:
        """Hand over to those who wait, first come, first served; what nobody waits for is free."""
        for _ in range(count):
            while self._waiting:
                turn = self._waiting.popleft()
                if not turn.done():
                    turn.set_result(None)
                    break
            else:
                self._free += 1


class Bucket:
    """So many a minute, evenly: a second's worth may come at once, the rest waits its turn.

    What is taken may exceed what is there: the debt is the wait, and who comes next waits behind it.
    """

    def __init__(self, per_minute: float, clock: Clock) -> None:
        self._rate = per_minute / 60
        self._most = max(1.0, self._rate)
        self._level = self._most
        self._clock = clock
        self._seen = clock()

    def take(self, amount: float) -> float:
        """Take `amount` (negative gives back); the seconds to wait before it is used."""
        now = self._clock()
        self._level = min(self._most, self._level + (now - self._seen) * self._rate) - amount
        self._seen = now
        return max(0.0, -self._level / self._rate)


class Circuit:
    """Notices that a server is gone as a whole, and ends the stage instead of burying every row."""

    def __init__(self, address: str, patience: float, clock: Clock) -> None:
        self._address = address
        self._patience = patience
        self._clock = clock
        self._since: float | None = None  # of the first failure that no answer followed
        self._told = False
        self.last_answer = float("-inf")

    def answered(self) -> None:
        """The server is there."""
        if self._told:
            log.warning("%s answers", self._address)
        self._since, self._told = None, False
        self.last_answer = self._clock()

    def failed(self, error: str) -> None:
        """It was not reached, or is busy; `StageError` once that has lasted for longer than `patience`, told before."""
        now = self._clock()
        if self._since is None:
            self._since = now
        elif now - self._since > self._patience:
            raise StageError(
                f"{self._address}: no answer for {now - self._since:.0f} seconds (patience={self._patience:g}); "
                f"the last error: {error}"
            )
        elif now - self._since > SILENCE and not self._told:
            self._told = True
            log.warning(
                "%s: no answer for %.0f seconds, waiting for up to %g (patience=); the last error: %s",
                self._address, now - self._since, self._patience, error,
            )  # fmt: skip
