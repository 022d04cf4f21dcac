"""What dedup keeps of a document: its MinHash signature, and its bands as they are shuffled."""

import pyarrow as pa

from schemas import columns as c

SIGNATURE = pa.schema([c.ID, c.SIGNATURE])
BAND = pa.schema([c.ID, c.BAND, c.BAND_HASH])
