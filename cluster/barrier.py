"""Barriers: what must be known of all rows before the first row of a step flows.

A barrier is a frozen dataclass like a stage, pure functions over tables; exchange/ carries it out.
Rows are named by (shard, row): the number of the shard among the step's, the row in it.
"""

from typing import Any, ClassVar, Protocol, runtime_checkable

import pyarrow as pa

from schemas import columns as c

KNOWN = c.KNOWN.name
COMPONENT, COMPONENT_SIZE = c.COMPONENT.name, c.COMPONENT_SIZE.name  # the key of a `Linking` shuffle, and its count


@runtime_checkable
class Shuffle(Protocol):
    """Rows that have one key are judged together.

    Rows of the earlier step's dataset are partitioned by the hash column `key`; `reduce` sees one partition at a time,
    as a table of `reads` and (shard, row) in the order of shard and row, and returns (shard, row) and the columns of
    `adds` for the rows it has a verdict on. Every other row gets `alone`, or null.
    """

    @property
    def key(self) -> str: ...

    @property
    def reads(self) -> pa.Schema: ...

    adds: ClassVar[pa.Schema]
    alone: ClassVar[dict[str, Any]]

    def reduce(self, table: pa.Table) -> pa.Table: ...


@runtime_checkable
class Spreading(Shuffle, Protocol):
    """A shuffle where a row has several keys (its lines, its spans), or none.

    `spread` makes of a table of `reads` and `row` any number of rows of `row`, `key` and what `reduce` needs besides.
    `reduce` may judge a row in each partition that it has keys in; `gather` makes one verdict a row of them: a table of
    (row, adds) of one shard, sorted by row -> the same, each row once.
    `fan_out`: about how many keys a row has; partitions are sized by it.
    """

    @property
    def fan_out(self) -> int: ...

    def spread(self, table: pa.Table) -> pa.Table: ...

    def gather(self, verdicts: pa.Table) -> pa.Table: ...


@runtime_checkable
class Linking(Shuffle, Protocol):
    """A shuffle over the components of a graph: rows that share any one of their links are linked. `key` is COMPONENT.

    `links` makes of a table of `links_read` and `row` any number of (row, link), uint64: equal links link their rows.
    `reduce` sees whole components of two rows or more, with COMPONENT (any number that they share) and COMPONENT_SIZE
    as columns beside `reads`; the rest are `alone`.
    `members` takes what is not needed out of `reads` before it travels; it may change and drop columns.
    `index`: where rows are that are known already, as Parquet with `id` and `links_read`. They are part of the graph;
    `reduce` sees them as rows with KNOWN true, no `row` of this step and null in all other columns. `index_faults`:
    why rows of `schema` cannot be linked with an index of schema `known`.
    `fan_out`: about how many links a row has; partitions are sized by it.
    """

    @property
    def fan_out(self) -> int: ...

    @property
    def index(self) -> str | None: ...

    @property
    def links_read(self) -> pa.Schema: ...

    def links(self, table: pa.Table) -> pa.Table: ...

    def index_faults(self, schema: pa.Schema, known: pa.Schema) -> list[str]: ...

    def members(self, table: pa.Table) -> pa.Table: ...


@runtime_checkable
class Moving(Protocol):
    """Rows of an earlier step go to shards of their own, in the order of `key` over the dataset: exchange/moving.

    `key`: a uint64 column whose values are spread evenly over 64 bits, such as a hash. Nothing is added.
    """

    moves: ClassVar[bool]

    @property
    def key(self) -> str: ...

    reads: ClassVar[pa.Schema]
    adds: ClassVar[pa.Schema]


@runtime_checkable
class Particular(Protocol):
    """A shuffle with demands on its rows beyond their columns. `faults`: what is wrong with rows of `schema`."""

    def faults(self, schema: pa.Schema) -> list[str]: ...


@runtime_checkable
class Guarded(Protocol):
    """A `Linking` shuffle that cuts a component of more rows than `max_cluster` up: the run tells when it has to."""

    @property
    def max_cluster(self) -> int: ...
