"""One of our stages as a datatrove block. Loads datatrove, so only `stages.datatrove.as_datatrove` imports it."""

import contextlib
from typing import Any

import pyarrow as pa
from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from datatrove.utils.batching import batched

from schemas import columns as c
from schemas.check import nearest
from stages.datatrove import METADATA_NAMES
from stages.stage import Stage, name_of

VERDICT = (c.DROP_REASON.name, c.ERROR.name)
OWN = (c.ID.name, c.BODY.name, *VERDICT)  # not metadata


class StageStep(PipelineStep):  # type: ignore[misc]
    """Runs `stage` over batches of documents; see `stages.datatrove.as_datatrove`."""

    type = "headrace"

    def __init__(self, stage: Stage, batch_size: int = 256, exclusion_writer: Any = None) -> None:
        super().__init__()
        self.name = name_of(stage)
        self.stage = stage
        self.batch_size = batch_size
        self.exclusion_writer = exclusion_writer

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Documents that the stage keeps. One that made it fail is dropped with the reason `error`, and counted."""
        transform = self.stage.open()
        with self.exclusion_writer or contextlib.nullcontext() as writer:
            for batch in batched(data, self.batch_size):
                with self.track_time("batch"):
                    rows = transform(to_table(batch, self.stage)).to_pylist()
                self.stat_update("total", value=len(rows))
                for document, row in zip(self._documents(batch, rows), rows, strict=True):
                    reason = update(document, row, self.stage)
                    if reason is None:
                        self.stat_update("forwarded")
                        self.update_doc_stats(document)
                        yield document
                        continue
                    self.stat_update("dropped", f"dropped_{reason}")
                    if writer is not None:
                        document.metadata["filter_reason"] = reason
                        writer.write(document, rank)

    def _documents(self, batch: list[Document], rows: list[dict[str, Any]]) -> list[Document]:
        """The document of each row: the one it was made from, or a new one where the stage makes new rows."""
        if self.stage.rows == "same":
            return batch
        known = {document.id: document for document in batch}
        return [known.get(row["id"]) or Document(text="", id=row["id"]) for row in rows]


def to_table(batch: list[Document], stage: Stage) -> pa.Table:
    """The columns that `stage` reads, and those it would replace, of a batch of documents."""
    columns = {c.ID.name: pa.array([document.id for document in batch], c.ID.type)}
    for field in stage.reads:
        if field.name != c.ID.name:
            columns[field.name] = pa.array([_value(document, field, stage) for document in batch], field.type)
    for field in stage.adds:
        key = METADATA_NAMES.get(field.name, field.name)
        if field.name not in (*columns, *OWN) and any(key in document.metadata for document in batch):
            columns[field.name] = pa.array([document.metadata.get(key) for document in batch], field.type)
    return pa.table(columns)


def update(document: Document, row: dict[str, Any], stage: Stage) -> str | None:
    """Write what `stage` added into the document; the reason to drop it, if there is one."""
    if row.get(c.ERROR.name) is not None:
        document.metadata["error"] = row[c.ERROR.name]
        return "error"
    if row.get(c.BODY.name) is not None:
        document.text = row[c.BODY.name]
    for name in stage.adds.names:
        if name not in OWN and row[name] is not None:
            document.metadata[METADATA_NAMES.get(name, name)] = row[name]
    reason: str | None = row.get(c.DROP_REASON.name)
    return reason


def _value(document: Document, field: pa.Field, stage: Stage) -> Any:
    if field.name == c.BODY.name:
        return document.text
    key = METADATA_NAMES.get(field.name, field.name)
    if key in document.metadata:
        return document.metadata[key]
    if field.name == c.HTML.name:
        return document.text
    known = list(document.metadata)
    raise ValueError(
        f"{name_of(stage)} reads {field.name!r}; document {document.id!r} has no {key!r} in its metadata"
        f"{nearest(key, known) or f' (it has {known})'}"
    )
