"""A bounded memory of a function's answers."""

import sys
from collections.abc import Callable
from typing import Any, Generic, TypeVar

V = TypeVar("V")

MAX_ENTRIES = 250_000
MAX_BYTES = 64 << 20
MAX_KEY = 64  # code points; a longer chunk (an address, a line of Chinese) hardly ever comes twice


class Memo(dict[str, V], Generic[V]):
    """`memo[key]` is `function(key)`, computed once for keys of at most `max_key` code points.

    When `max_entries` or `max_bytes` (keys and answers; the table itself is left out) is reached the memory is emptied:
    frequent keys are back at once, and rare ones are not worth bookkeeping on every look-up.
    """

    def __init__(
        self,
        function: Callable[[str], V],
        *,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        max_key: int = MAX_KEY,
    ) -> None:
        super().__init__()
        self.n_bytes = 0
        self._function = function
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._max_key = max_key

    def __missing__(self, key: str) -> V:
        value = self._function(key)
        if len(key) <= self._max_key:
            size = _size(key) + _size(value)
            if len(self) >= self._max_entries or self.n_bytes + size > self._max_bytes:
                self.clear()
                self.n_bytes = 0
            self.n_bytes += size
            self[key] = value
        return value


def _size(value: Any) -> int:
    size = sys.getsizeof(value)
    return size + sum(map(sys.getsizeof, value)) if isinstance(value, tuple) else size
