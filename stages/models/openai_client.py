"""Thousands of requests to one server from an event loop in a thread of its own, tried until answered or given up.

Calls are made one by one when there is room for them, so memory holds those on their way and those that the consumer
has not taken, at most twice `concurrency` for each stream; a slow consumer slows the asking. Threads share the client:
its slots go to their streams in turn.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from stages.models.engine import Answer, Failure, Scored, Vector
from stages.models.openai_faults import Refused
from stages.models.openai_pace import Backoff, Slots
from stages.models.openai_retry import Asking, Call, Limits, Verb
from stages.stage import StageError

T = TypeVar("T", Answer, Scored, Vector)
W = TypeVar("W")
Batch = list[tuple[int, T | Failure]]

HAND_OVER = 0.005  # seconds that a result waits for others: waking the consumer costs as much as a tenth of a request
TAKEN = 64  # results that the consumer takes before their room is given to new requests


class Client:
    """One server, from any thread."""

    def __init__(self, address: str, limits: Limits, secret: str, backoff: Backoff) -> None:
        self.address = address
        self._window = 2 * limits.concurrency
        self._batch = max(1, self._window // 8)
        self._lock = threading.Lock()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"client of {address}", daemon=True)
        self._thread.start()

        async def begin() -> Asking:
            return Asking(address, limits, secret, backoff)

        self._asking: Asking = self._run(begin())

    def stream(self, count: int, verb: Verb[T]) -> Iterator[tuple[int, T | Failure]]:
        """Results of the calls `verb.make(0)` to `verb.make(count - 1)`, in the order in which they are ready.

        `verb` is used in the client's thread. `StageError` comes after the results that were there before it.
        """
        results: SimpleQueue[Batch[T] | BaseException | None] = SimpleQueue()
        room = Slots(self._window)
        with self._lock:
            if self._closed:
                raise StageError(f"{self.address}: the engine is closed")
            work = asyncio.run_coroutine_threadsafe(self._feed(count, verb, room, results), self._loop)
        closed = StageError(f"{self.address}: the engine was closed")
        work.add_done_callback(lambda _: results.put(closed))  # cancelled before its first step, it puts nothing
        taken = 0

        def give_back() -> None:
            nonlocal taken
            with suppress(RuntimeError):  # the loop is closed: the next thing to take says so
                self._loop.call_soon_threadsafe(room.give, taken)
            taken = 0

        try:
            while (batch := results.get()) is not None:
                if isinstance(batch, BaseException):
                    raise batch
                for item in batch:
                    yield item
                    taken += 1
                    if taken == TAKEN:
                        give_back()
                give_back()
        finally:
            work.cancel()

    def get_models(self) -> Any:
        """What GET /models says, or None if it does not; waits for a server that is not there yet."""
        return self._run(self._asking.models())

    def close(self) -> None:
        """End the thread; streams that are still read from get `StageError`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if threading.current_thread() is self._thread:  # collected as garbage there: nobody reads any more
            self._loop.stop()
            return
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, W]) -> W:
        with self._lock:
            if self._closed:
                work.close()
                raise StageError(f"{self.address}: the engine is closed")
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result()

    async def _shut(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._asking.close()

    async def _feed(
        self,
        count: int,
        verb: Verb[T],
        room: Slots,
        results: "SimpleQueue[Batch[T] | BaseException | None]",
    ) -> None:
        """Start calls as there is room, hand over their results in batches, then the end or why."""
        ready: Batch[T] = []
        admitted = 0  # calls with a slot whose task has not begun

        def hand_over() -> None:
            if ready:
                results.put(ready.copy())
                ready.clear()

        def finish(number: int, result: T | Failure) -> None:
            ready.append((number, result))
            if len(ready) >= self._batch:
                hand_over()
            elif len(ready) == 1:
                self._loop.call_later(HAND_OVER, hand_over)

        async def one(number: int, call: Call) -> None:
            nonlocal admitted
            admitted -= 1  # from here on `settle` gives the slot back
            finish(number, await self._asking.settle(verb, number, call))

        end: BaseException | None = StageError(f"{self.address}: the engine was closed")
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(count):
                    await room.take()
                    try:
                        call = verb.make(number)
                    except Refused as error:
                        finish(number, Failure(str(error)))
                        continue
                    await self._asking.admit(call)
                    admitted += 1
                    group.create_task(one(number, call))
            end = None
        except BaseExceptionGroup as errors:
            end = errors.exceptions[0]  # the first to fail; it cancelled the others
        finally:
            self._asking.dismiss(admitted)  # cancelled before their first step
            hand_over()
            results.put(end)
