"""What a row carries that a model wrote: where it came from, by which model, with which prompt."""

import pyarrow as pa

from schemas import columns as c

SYNTHETIC = pa.schema([c.ID, c.BODY, c.PARENTS, c.MODEL, c.PROMPT_HASH])
