"""What threads ask of an event loop: every item answered once, a bound on what is under way, errors that end it."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from itertools import islice
from threading import Event

import pytest

from stages.models.flow import Flow


@pytest.fixture
def flow() -> Iterator[Flow]:
    flow = Flow()
    flow.widen(4)
    yield flow
    flow.close()


class Count:
    """How many are under way, and the most there ever were; each waits for a later one of the window."""

    def __init__(self) -> None:
        self.now = self.most = self.begun = 0

    async def double(self, item: int) -> int:
        self.now, self.begun = self.now + 1, self.begun + 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return 2 * item
        finally:
            self.now -= 1


def test_every_item_is_answered_and_no_more_are_under_way_than_the_window(flow: Flow) -> None:
    count = Count()
    assert dict(flow.each(range(100), count.double)) == {i: 2 * i for i in range(100)}
    assert (count.most, count.now) == (4, 0)
    assert list(flow.each([], count.double)) == []


def test_threads_share_the_window(flow: Flow) -> None:
    count = Count()
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda n: dict(flow.each(range(n), count.double)), (50, 60, 70)))
    assert [len(part) for part in found] == [50, 60, 70] and count.most == 4


def test_results_come_when_they_are_ready(flow: Flow) -> None:
    gates = [asyncio.Event() for _ in range(3)]

    async def wait(number: int) -> int:
        if number:
            await gates[number].wait()
        gates[number - 1].set()  # 0 opens the last, that one the one before it
        return number

    assert [number for number, _ in flow.each(range(3), wait)] == [0, 2, 1]


def test_an_error_ends_it_and_leaves_the_window_whole(flow: Flow) -> None:
    async def fail(item: int) -> int:
        if item == 5:
            raise KeyError(item)
        await asyncio.sleep(0 if item < 5 else 3600)
        return item

    for _ in range(3):
        with pytest.raises(KeyError, match="5"):
            list(flow.each(range(100), fail))
    count = Count()
    assert len(list(flow.each(range(20), count.double))) == 20 and count.most == 4


def test_a_caller_that_has_enough_cancels_the_rest(flow: Flow) -> None:
    cancelled = Event()

    async def wait(item: int) -> int:
        if item < 2:
            return item
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return item

    answers = flow.each(range(50), wait)
    assert len(list(islice(answers, 2))) == 2
    answers.close()
    assert cancelled.wait(30)
    count = Count()
    assert len(list(flow.each(range(20), count.double))) == 20 and count.most == 4


def test_closing_wakes_those_who_wait() -> None:
    flow = Flow()
    begun = Event()

    async def wait(item: int) -> int:
        begun.set()
        await asyncio.sleep(3600)
        return item

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(list, flow.each(range(3), wait))
        assert begun.wait(30)
        flow.close()
        flow.close()
        with pytest.raises(CancelledError):
            waiting.result(30)
