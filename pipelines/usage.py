"""What models were asked, as rows tell it themselves: calls, tokens and cost of each shard by the column `answers`."""

from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cluster.storage import Folder
from schemas import columns as c
from schemas.manifest import Manifest


class Usage(NamedTuple):
    """Sums over rows, whatever became of them. `cost`: of calls that the ledger did not answer."""

    calls: int = 0
    from_ledger: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    def plus(self, other: "Usage") -> "Usage":
        """Both together."""
        sums: list[Any] = [a + b for a, b in zip(self, other, strict=True)]
        return Usage(*sums)


def usage_of(folder: Folder, manifest: Manifest, stages: set[str]) -> Usage:
    """What the stages of these names were told of the rows of one shard of the step in `folder`."""
    total = Usage()
    for file in manifest.files:
        with folder.open(file.path) as opened:
            parquet = pq.ParquetFile(opened)
            if not c.has(parquet.schema_arrow, c.ANSWERS):
                continue
            parts = leaves(parquet, c.ANSWERS.name)  # what models wrote stays on disk
            wanted = [part for part in parts if part.rpartition(".")[2] in ("stage", *Usage._fields)]
            for batch in parquet.iter_batches(columns=wanted):
                total = total.plus(_sum(batch.column(0), stages))
    return total


def _sum(answers: pa.ListArray, stages: set[str]) -> Usage:
    entries = pc.list_flatten(answers)
    mine = pc.is_in(entries.field("stage"), pa.array(sorted(stages), pa.string()))
    entries = entries.filter(mine)
    return Usage(*(pc.sum(entries.field(name)).as_py() or 0 for name in Usage._fields))


def leaves(parquet: pq.ParquetFile, column: str) -> list[str]:
    """Paths of a nested column's parts, as the file's writer called them."""
    paths = [parquet.schema.column(i).path for i in range(len(parquet.schema))]
    return [path for path in paths if path.startswith(f"{column}.")]
