"""Stages that must know which rows were seen before, whichever worker saw them: an index that a step's workers share.

The index lives as long as a step runs. It begins with the rows that committed shards have kept; what a run that was
killed had seen beyond that is forgotten with the shards that it had not committed.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from stages.stage import Stage, Transform

Call = tuple[int, str, tuple[Any, ...]]  # part of the index, its method, the arguments
Ask = Callable[[list[Call]], list[Any]]


@runtime_checkable
class Remembering(Protocol):
    """A stage over an index in `shards` parts, each of which is in one process and answers one call after the other.

    `new_part` makes an empty one; `remember` gives the `number`-th its share of rows kept earlier, a table of `reads`,
    which the step must write. `open_with` is `open` with a function that asks parts of the index.
    The same row may be sent again, after a failure: it must not count as seen by itself.
    """

    @property
    def shards(self) -> int: ...

    @property
    def reads(self) -> pa.Schema: ...

    def new_part(self) -> Any: ...

    def remember(self, part: Any, number: int, table: pa.Table) -> None: ...

    def open_with(self, ask: Ask) -> Transform: ...


def remembering(stages: tuple[Stage, ...]) -> Remembering | None:
    """The stage of a step that has an index, if there is one; plan.py sees to it that there are not two."""
    return next((stage for stage in stages if isinstance(stage, Remembering)), None)
