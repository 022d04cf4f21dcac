"""Any stage inside Ray Data: the same object, in `map_batches`.

    dataset.map_batches(StageCall, fn_constructor_args=(GopherQuality(),), batch_format="pyarrow", batch_size=1024,
                        compute=ray.data.ActorPoolStrategy(size=4))

Rows are not taken out: filter on `drop_reason` where you want to. In `headrace run` the runner does that, and counts.
"""

import pyarrow as pa

from schemas.check import SchemaError, missing
from stages.stage import Stage, name_of


class StageCall:
    """A stage opened once per actor. Columns it reads are cast from `string` to `large_string` where they differ."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._transform = stage.open()

    def __call__(self, table: pa.Table) -> pa.Table:
        for field in self._stage.reads:
            if field.name in table.column_names and table.schema.field(field.name).type != field.type:
                at = table.column_names.index(field.name)
                table = table.set_column(at, field, table.column(at).cast(field.type))
        faults = missing(table.schema, self._stage.reads, name_of(self._stage))
        if faults:
            raise SchemaError("; ".join(faults))
        return self._transform(table)
