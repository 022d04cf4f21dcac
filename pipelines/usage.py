"""What models were asked, as rows tell it themselves: calls, tokens and cost of each shard by the column `answers`."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.asked import summed
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
        for answers in answers_in(folder, file.path, ("stage", *Usage._fields)):
            for row in summed([answers], ("stage",), Usage._fields):
                if row["stage"] in stages:
                    total = total.plus(Usage(*(row[name] for name in Usage._fields)))
    return total


def answers_in(folder: Folder, path: str, names: Sequence[str], batch_rows: int = 1 << 16) -> Iterator[pa.ListArray]:
    """The column `answers` of a file, of its entries the parts `names` alone; nothing of such a column of the user's.

    What models wrote stays on disk if it is not among them.
    """
    with folder.open(path) as opened:
        parquet = pq.ParquetFile(opened)
        if not c.has(parquet.schema_arrow, c.ANSWERS):
            return
        paths = [parquet.schema.column(i).path for i in range(len(parquet.schema))]  # as the file's writer called them
        parts = [path for path in paths if path.startswith(f"{c.ANSWERS.name}.")]
        for batch in parquet.iter_batches(batch_rows, columns=[p for p in parts if p.rpartition(".")[2] in names]):
            yield batch.column(0)
