"""Two documents that may be one, and the verdict on a document once all pairs are known."""

import pyarrow as pa

from schemas import columns as c

PAIR = pa.schema([c.PAIR_A, c.PAIR_B, c.JACCARD])
VERDICT = pa.schema([c.ID, c.DUPLICATE_OF, c.CLUSTER_ID, c.CLUSTER_SIZE])
