"""What dedup keeps of a document: the bands of its MinHash signature. The index that later dumps are held against."""

import pyarrow as pa

from schemas import columns as c

INDEX = pa.schema([c.ID, c.BANDS])
