"""HTML to the page's main text, one page at a time in a process that a hostile page may kill."""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from schemas import columns as c
from schemas.check import nearest
from stages.extract import ENGINES, WARM_UP, Page, Settings
from stages.extract.metadata import Metadata, read_metadata
from stages.sandbox import Outcome, Sandbox
from stages.stage import Resources, Rows, Transform, set_columns


@dataclass(frozen=True)
class ExtractText:
    """The main text of each page (FineWeb's second step: methods 4.3), and what the page says of itself.

    Rows without `html` that have `text` already (WET records) pass as they are. Reasons: `empty` (no text found),
    `timeout` (over `seconds` of CPU time), `memory_limit` (over `memory_mb` MiB). A page that makes the engine raise
    or crash fills `error`.

    `engine`: `trafilatura`, as FineWeb has it; `resiliparse`, a twelfth of its time, more boilerplate kept;
    `headrace`, our own: a seventeenth of its time, no lower F1 (benchmarks/extraction.py).

    `favor_precision`, `favor_recall`: which way to err; with neither, no way. `title`, `published` and `canonical_url`
    are read the same way whatever the engine (`stages.extract.metadata`).

    datatrove gives each page 1 s of wall time; the limit here is CPU time, so that it does not depend on the load.
    """

    engine: str = "trafilatura"
    favor_precision: bool = True
    include_comments: bool = False
    favor_recall: bool = False
    seconds: float = 5.0
    memory_mb: int = 1024

    reads: ClassVar[pa.Schema] = pa.schema([c.HTML])
    adds: ClassVar[pa.Schema] = pa.schema(
        [c.TITLE, c.PUBLISHED, c.CANONICAL_URL, c.BODY, c.N_CHARS, c.DROP_REASON, c.ERROR]
    )
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            hint = nearest(self.engine, list(ENGINES)) or f" (there are {', '.join(ENGINES)})"
            raise ValueError(f"no extraction engine {self.engine!r}{hint}")
        if self.favor_precision and self.favor_recall:
            raise ValueError("favor_recall needs favor_precision=False: both are set")
        for name in ("seconds", "memory_mb"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} should be above 0, got {getattr(self, name)}")

    def open(self) -> Transform:
        """The sandbox starts with the first page and ends with the function."""
        page = Page(self.engine, Settings(self.favor_precision, self.include_comments, self.favor_recall))
        sandbox = Sandbox(page, seconds=self.seconds, memory_mb=self.memory_mb, warm_up=WARM_UP)
        return lambda table: extract_text(table, sandbox)


def extract_text(table: pa.Table, sandbox: Sandbox) -> pa.Table:
    """Fill `text`, `n_chars`, what the page says of itself, `drop_reason` and `error`."""
    urls = table.column(c.URL.name) if c.URL.name in table.column_names else pa.nulls(table.num_rows, pa.string())
    outcomes: list[Outcome | None] = []
    said: list[Metadata] = []
    for page, url in zip(table.column(c.HTML.name).cast(pa.large_binary()), urls.to_pylist(), strict=True):
        outcomes.append(sandbox(page.as_buffer()) if page.is_valid else None)
        said.append(read_metadata(page.as_py(), url) if page.is_valid else Metadata())
    known = pa.array([o is None for o in outcomes], pa.bool_())
    found = pa.array([o.value if o else None for o in outcomes], pa.large_binary()).cast(c.TEXT)
    text = _or_known(table, c.BODY, known, found)
    blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(text), ""), True).to_pylist()
    return set_columns(
        table,
        **{
            field.name: _or_known(table, field, known, pa.array([getattr(m, field.name) for m in said], pa.string()))
            for field in (c.TITLE, c.PUBLISHED, c.CANONICAL_URL)
        },
        text=text,
        n_chars=pc.utf8_length(text).cast(pa.int64()),
        drop_reason=pa.array([_reason(o, b) for o, b in zip(outcomes, blank, strict=True)], pa.string()),
        error=pa.array([o.error if o else None for o in outcomes], c.TEXT),
    )


def _or_known(table: pa.Table, field: pa.Field, known: pa.Array, found: pa.Array) -> pa.Array:
    """`found`, but what the table had before where `known`."""
    if field.name not in table.column_names:
        return found
    return pc.if_else(known, table.column(field.name).combine_chunks(), found)


def _reason(outcome: Outcome | None, blank: bool) -> str | None:
    if outcome is not None and (outcome.reason or outcome.error):
        return outcome.reason
    return "empty" if blank else None
