"""A stage of `stages.synthesize.writing` run on a table with an engine that says what a test says."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from schemas import columns as c
from stages.models.engine import Answer, Failure, Request, Usage
from stages.models.ledger import Ledger
from tests.stages.rephrase.writers import SPEC, Writer, asker

Said = str | Answer | Failure
MILL = (
    "The water mill at Lenham was built in 1842 of grey stone. Its wheel is 6 metres high and turned two pairs of "
    "stones. It ground flour for the whole valley until the railway came and the miller closed it."
)


def documents(*texts: str | None, **more: Any) -> pa.Table:
    return pa.table({"id": [f"d{n}" for n in range(len(texts))], "text": pa.array(texts, c.TEXT), **more})


def write(
    stage: Callable[..., Any], table: pa.Table, say: Said | Callable[[Request], Said], **settings: Any
) -> list[dict[str, Any]]:
    """The rows that the stage makes."""
    return written(stage(engine=SPEC, **settings), table, Writer(say if callable(say) else lambda _: say))


def written(stage: Any, table: pa.Table, engine: Writer, ledger: Ledger | None = None) -> list[dict[str, Any]]:
    """The same of a stage that is made, by an engine that tells what it was asked."""
    made = stage.write(table, asker(engine, ledger))
    for field in stage.adds:
        if field.name != c.ERROR.name:
            assert made.schema.field(field.name).type == field.type, field.name
    found: list[dict[str, Any]] = made.to_pylist()
    return found


def cut(text: str) -> Answer:
    """An answer that `max_tokens` ended."""
    return Answer(text, "length", Usage(1, 1, 0.0))
