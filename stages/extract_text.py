"""HTML to the page's main text, one page at a time in a process that a hostile page may kill."""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from schemas import columns as c
from schemas.check import nearest
from stages.extract import ENGINES, WARM_UP, Page, Settings
from stages.sandbox import Outcome, Sandbox
from stages.stage import Resources, Rows, Transform, set_columns


@dataclass(frozen=True)
class ExtractText:
    """The main text of each page (FineWeb's second step: methods 4.3).

    Rows without `html` that have `text` already (WET records) pass as they are. Reasons: `empty` (no text found),
    `timeout` (over `seconds` of CPU time), `memory_limit` (over `memory_mb` MiB). A page that makes the engine raise
    or crash fills `error`.

    `engine`: `trafilatura`, as FineWeb has it; `resiliparse`, a twelfth of its time, more boilerplate kept;
    `headrace`, our own: a sixth of its time, no lower F1 (benchmarks/extraction.py).

    datatrove gives each page 1 s of wall time; the limit here is CPU time, so that it does not depend on the load.
    """

    engine: str = "trafilatura"
    favor_precision: bool = True
    include_comments: bool = False
    seconds: float = 5.0
    memory_mb: int = 1024

    reads: ClassVar[pa.Schema] = pa.schema([c.HTML])
    adds: ClassVar[pa.Schema] = pa.schema([c.BODY, c.N_CHARS, c.DROP_REASON, c.ERROR])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            hint = nearest(self.engine, list(ENGINES)) or f" (there are {', '.join(ENGINES)})"
            raise ValueError(f"no extraction engine {self.engine!r}{hint}")
        for name in ("seconds", "memory_mb"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} should be above 0, got {getattr(self, name)}")

    def open(self) -> Transform:
        """The sandbox starts with the first page and ends with the function."""
        page = Page(self.engine, Settings(self.favor_precision, self.include_comments))
        sandbox = Sandbox(page, seconds=self.seconds, memory_mb=self.memory_mb, warm_up=WARM_UP)
        return lambda table: extract_text(table, sandbox)


def extract_text(table: pa.Table, sandbox: Sandbox) -> pa.Table:
    """Fill `text`, `n_chars`, `drop_reason` and `error`."""
    there = c.BODY.name in table.column_names
    known = table.column(c.BODY.name) if there else pa.chunked_array([pa.nulls(table.num_rows, c.TEXT)])
    outcomes = [
        sandbox(page.as_buffer()) if page.is_valid else None
        for page in table.column(c.HTML.name).cast(pa.large_binary())
    ]
    found = pa.array([o.value if o else None for o in outcomes], pa.large_binary()).cast(c.TEXT)
    text = pc.if_else(pa.array([o is None for o in outcomes], pa.bool_()), known.combine_chunks(), found)
    blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(text), ""), True).to_pylist()
    return set_columns(
        table,
        text=text,
        n_chars=pc.utf8_length(text).cast(pa.int64()),
        drop_reason=pa.array([_reason(o, b) for o, b in zip(outcomes, blank, strict=True)], pa.string()),
        error=pa.array([o.error if o else None for o in outcomes], c.TEXT),
    )


def _reason(outcome: Outcome | None, blank: bool) -> str | None:
    if outcome is not None and (outcome.reason or outcome.error):
        return outcome.reason
    return "empty" if blank else None
