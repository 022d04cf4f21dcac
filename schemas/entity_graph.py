"""The graph of entities that EntiGraph wrote about: its names, and which of them a synthetic row relates."""

import pyarrow as pa

NODES = pa.schema(
    [
        pa.field("name", pa.string(), False, {"meaning": "the entity, as the first document that has it writes it"}),
        pa.field("documents", pa.int64(), False, {"meaning": "documents that name it", "unit": "documents"}),
        pa.field("relations", pa.int64(), False, {"meaning": "rows that relate it to others", "unit": "rows"}),
        pa.field("degree", pa.int64(), False, {"meaning": "edges that end in it", "unit": "edges"}),
    ]
)
EDGES = pa.schema(
    [
        pa.field("source", pa.string(), False, {"meaning": "one entity, by its name among the nodes"}),
        pa.field("target", pa.string(), False, {"meaning": "the other one"}),
        pa.field("document", pa.string(), True, {"meaning": "id of the document that both are in"}),
        pa.field("kind", pa.string(), False, {"meaning": "pair or triple; a triple is three edges"}),
        pa.field("id", pa.string(), False, {"meaning": "id of the row that relates them"}),
    ]
)
