"""What the driver of several kinds of workers keeps: open shards, tables on their way, pools behind queues."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cluster.driver.assignment import Assignment, Busy
from cluster.driver.pool import Pool
from cluster.worker import ShardEnd

QUEUE_BYTES = 256 << 20  # text waiting before a pool; a table more may be on its way


@dataclass
class OpenShard:
    """A shard between its reader and its commit."""

    assignment: Assignment
    sink: Any
    begun: float
    epoch: int
    ready: dict[int, Any] = field(default_factory=dict)  # batches that wait for an earlier one
    written: int = 0
    tables: int = 0
    end: ShardEnd | None = None


@dataclass
class Item:
    """A table on its way to a group: where it belongs, its data, and what earlier attempts have taught."""

    shard: str
    epoch: int
    number: int
    data: Any
    bytes: int
    assignment: Assignment  # attempts at this table; its `careful` and `alone` are this table's

    @property
    def alone(self) -> bool:
        """A worker has died at it: the next one is to have nothing else, so that it is known what it dies of."""
        return self.assignment.deaths > 0 or self.assignment.careful.table is not None


class Queue:
    """Items in order, and how many bytes they are."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def __getitem__(self, at: int) -> Item:
        return self._items[at]

    def append(self, item: Item) -> None:
        self._items.append(item)
        self.bytes += item.bytes

    def appendleft(self, item: Item) -> None:
        self._items.appendleft(item)
        self.bytes += item.bytes

    def popleft(self) -> Item:
        item = self._items.popleft()
        self.bytes -= item.bytes
        return item


@dataclass
class Station:
    """A pool behind a queue."""

    group: int
    pool: Pool
    keep: bool = False  # its workers hold models: they stay until the step ends
    queue: Queue = field(default_factory=Queue)
    busy: dict[Any, tuple[Busy, Item]] = field(default_factory=dict)
