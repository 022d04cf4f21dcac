"""Threads ask an asynchronous engine: its event loop in a thread of its own, and a bound on what it has at a time."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

I = TypeVar("I")
T = TypeVar("T")


class Flow:
    """An event loop that any thread gives work to. `window` things are under way at a time, of all threads together."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._room = asyncio.Semaphore(1)
        self._thread = threading.Thread(target=self._loop.run_forever, name="flow", daemon=True)
        self._thread.start()

    def widen(self, window: int) -> None:
        """How many may be under way; before the first `each`."""
        self._room = asyncio.Semaphore(window)

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin `work` in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def each(self, items: Sequence[I], work: Callable[[I], Awaitable[T]]) -> Iterator[tuple[int, T]]:
        """(number, result) of every item as they are ready; an error ends it, and what is under way is cancelled."""
        results: SimpleQueue[tuple[int, T] | None] = SimpleQueue()
        future = self.start(self._all(items, work, results))
        try:
            while (found := results.get()) is not None:
                yield found
            future.result()
        finally:
            future.cancel()  # where the caller has had enough

    async def _all(
        self, items: Sequence[I], work: Callable[[I], Awaitable[T]], results: SimpleQueue[tuple[int, T] | None]
    ) -> None:
        async def one(number: int, item: I) -> None:
            results.put((number, await work(item)))

        try:
            async with asyncio.TaskGroup() as group:
                for number, item in enumerate(items):
                    await self._room.acquire()
                    # not in `one`: a task that is cancelled before its first step runs none of it
                    group.create_task(one(number, item)).add_done_callback(lambda _: self._room.release())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            results.put(None)

    def close(self) -> None:
        """Cancel what is under way and end the loop. Callers that wait get `CancelledError`."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._cancel)
        if threading.current_thread() is not self._thread:
            self._thread.join()
            self._loop.close()

    def _cancel(self) -> None:
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        ended = asyncio.gather(*tasks, return_exceptions=True)
        ended.add_done_callback(lambda _: self._loop.stop())
