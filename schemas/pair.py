"""Two documents that may be one: the verdict on a document once all that it may be are known."""

import pyarrow as pa

from schemas import columns as c

VERDICT = pa.schema([c.DUPLICATE_OF, c.CLUSTER_ID, c.CLUSTER_SIZE])
