"""An index of seen rows as a run begins with it: what the committed shards of the step have kept."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.commit import Target, committed_files
from cluster.seen.remember import Ask, Remembering, remembering
from stages.stage import Stage


def load_part(stage: Remembering, number: int, target: Target) -> Any:
    """The `number`-th part of the index with what the committed shards of `target` have kept."""
    part = stage.new_part()
    for table in kept_rows(stage, target):
        stage.remember(part, number, table)
    return part


def kept_rows(stage: Remembering, target: Target) -> Iterator[pa.Table]:
    """What `stage` reads of all rows that the step has committed, a row group at a time."""
    for path in committed_files(target.folder, "data"):
        with target.folder.open(path) as file:
            rows = pq.ParquetFile(file)
            for group in range(rows.num_row_groups):
                yield rows.read_row_group(group, columns=stage.reads.names)


def here(stages: tuple[Stage, ...], target: Target) -> Ask | None:
    """An index in this process for the one of `stages` that has one."""
    stage = remembering(stages)
    if stage is None:
        return None
    parts = [stage.new_part() for _ in range(stage.shards)]
    for table in kept_rows(stage, target):
        for number, part in enumerate(parts):
            stage.remember(part, number, table)
    return lambda calls: [getattr(parts[part], name)(*values) for part, name, values in calls]
