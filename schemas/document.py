"""The tables that flow between stages, composed from `columns`."""

import pyarrow as pa

from schemas import columns as c

# What a source must give for each row; the rest a source adds is its own.
ROW = pa.schema([c.ID, c.SOURCE])

# A record of a web archive, before extraction (ReadWarc).
RECORD = pa.schema([c.ID, c.URL, c.DATE, c.DUMP, c.SOURCE, c.HTTP_STATUS, c.MIME, c.CHARSET, c.HTML, c.BODY])

# A document that stands on its own (ReadParquet, ReadJsonl, and what recipes write at least).
DOCUMENT = pa.schema([c.ID, c.URL, c.DATE, c.DUMP, c.SOURCE, c.BODY])

# What the runner adds when a row leaves the stream.
DROPPED = pa.schema([c.DROP_STAGE, c.DROP_REASON])
DEAD = pa.schema([c.DEAD_STAGE, c.DEAD_ERROR, c.TRACEBACK, c.ATTEMPT])


def written(schema: pa.Schema) -> pa.Schema:
    """The schema of a data file: `schema` without transient columns and without the verdict."""
    return pa.schema([f for f in schema if not c.is_transient(f) and f.name not in ("drop_reason", "drop_stage")])


def removed(schema: pa.Schema, text: bool = True) -> pa.Schema:
    """The schema of a removed file: the row, where it stopped and why; without text where `text` is False."""
    kept = [f for f in written(schema) if text or f.name != c.BODY.name]
    return pa.schema([*DROPPED, *kept])


def dead(schema: pa.Schema) -> pa.Schema:
    """The schema of a dead file: the failure, and the whole row, so that it can be replayed without the source."""
    names = set(DEAD.names)
    row = [f for f in schema if f.name not in names and f.name not in ("drop_reason", "drop_stage")]
    return pa.schema([*DEAD, *row])
