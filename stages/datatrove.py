"""datatrove's blocks as stages of ours, and stages of ours as datatrove's blocks."""

import importlib
import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from schemas import columns as c
from schemas.check import nearest
from stages.edits import Edit, append_edits
from stages.stage import Resources, Rows, Stage, Transform, set_columns

if TYPE_CHECKING:
    from datatrove.data import Document
    from datatrove.pipeline.base import PipelineStep

# What datatrove's blocks call in a document's metadata what is a column here.
METADATA_NAMES = {"lang": "language", "lang_score": "language_score", "n_tokens": "token_count"}


@dataclass(frozen=True)
class DatatroveBlock:
    """Any datatrove block that gives back the documents it is given, or fewer: filters, formatters, extractors.

    `block` is its dotted path, `settings` its arguments as plain data. They are kept as JSON, so that the stage can be
    compared and hashed. A document that does not come out is dropped, with the reason that the filter gives
    (datatrove's `filter_reason`), else with the block's class name. Changed text is recorded in `edits`; metadata that
    the block adds or changes goes to `meta`.

    A block sees the row's other columns, and `meta`, as the document's metadata. An extractor sees `html` as the text.
    A row without text (for an extractor: without HTML) is not shown to the block and stays. A block that counts across
    documents, as datatrove's PIIFormatter does, counts across those of one worker.
    """

    block: str
    settings: Mapping[str, Any] | str = "{}"

    reads: ClassVar[pa.Schema] = pa.schema([c.ID, c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.BODY, c.N_CHARS, c.EDITS, c.META, c.DROP_REASON])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", _as_json(self.settings, self.block))
        try:
            inspect.signature(load_block(self.block)).bind(**self._arguments())
        except TypeError as error:
            raise ValueError(f"DatatroveBlock: {self.block} does not take {self.settings}: {error}") from error

    def open(self) -> Transform:
        block = load_block(self.block)(**self._arguments())
        return lambda table: run_block(table, block, type(self).__name__)

    def _arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = json.loads(str(self.settings))
        return arguments


def as_datatrove(stage: Stage, batch_size: int = 256, exclusion_writer: Any = None) -> "PipelineStep":
    """`stage` as a datatrove block: documents with a `drop_reason` are dropped, added columns become metadata.

    `exclusion_writer` receives dropped documents with their `filter_reason`, as in datatrove's own filters. A stage
    that reads `html` gets the document's text as HTML, which is where datatrove's WARC reader puts it.
    """
    step = importlib.import_module("stages.datatrove_step")  # loads datatrove, which is only needed here
    made: PipelineStep = step.StageStep(stage, batch_size, exclusion_writer)
    return made


def load_block(path: str) -> Any:
    """The datatrove block at a dotted path; `ValueError` says which part is not there."""
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise ValueError(f"DatatroveBlock: cannot import {module_name!r} of {path!r}: {error}") from error
    step = importlib.import_module("datatrove.pipeline.base").PipelineStep
    known = [n for n, v in vars(module).items() if isinstance(v, type) and issubclass(v, step)]
    if name not in known:
        raise ValueError(f"DatatroveBlock: no block {name!r} in {module_name}{nearest(name, known)}")
    return getattr(module, name)


class Reasons:
    """Stands where a datatrove filter writes what it drops, and keeps the reasons."""

    def __init__(self) -> None:
        self.of: dict[str, str | None] = {}

    def __enter__(self) -> "Reasons":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, document: "Document", rank: int = 0, **_: Any) -> None:
        self.of[document.id] = document.metadata.get("filter_reason")


def run_block(table: pa.Table, block: Any, stage: str) -> pa.Table:
    """One table through an opened block."""
    extractors = importlib.import_module("datatrove.pipeline.extractors.base")
    source = c.HTML.name if isinstance(block, extractors.BaseExtractor) else c.BODY.name
    shown = table.filter(pc.is_valid(table.column(source)))
    documents = list(_documents(shown, source))
    before = {d.id: (text, dict(d.metadata)) for d, text in zip(documents, _texts(shown), strict=True)}
    if len(before) != len(documents):
        raise ValueError(
            f"{type(block).__name__}: two rows of {len(documents)} have one id, so their verdicts would mix"
        )
    reasons = Reasons()
    if hasattr(block, "exclusion_writer"):
        block.exclusion_writer = reasons
    after = {d.id: d for d in block.run(iter(documents), 0, 1)}
    strangers = after.keys() - before.keys()
    if strangers:
        raise ValueError(f"{type(block).__name__} made new documents, such as {min(strangers)!r}: it cannot be a stage")
    name = type(block).__name__
    verdicts = [_verdict(id_, before, after, reasons, name) for id_ in table.column(c.ID.name).to_pylist()]
    return _with_verdicts(table, verdicts, stage)


@dataclass(frozen=True)
class Verdict:
    """What a block did to a row. `text` None: left as it was."""

    reason: str | None = None
    text: str | None = None
    edits: tuple[Edit, ...] = ()
    metadata: Mapping[str, str] | None = None


def _verdict(
    id_: str,
    before: Mapping[str, tuple[str | None, dict[str, Any]]],
    after: Mapping[str, Any],
    reasons: Reasons,
    name: str,
) -> Verdict:
    if id_ not in before:
        return Verdict()
    if id_ not in after:
        return Verdict(reason=reasons.of.get(id_) or name)
    text, metadata = before[id_]
    document = after[id_]
    new = {
        key: value if isinstance(value, str) else json.dumps(value, default=str)
        for key, value in document.metadata.items()
        if key not in metadata or metadata[key] != value
    }
    if document.text == text:
        return Verdict(metadata=new)
    edits = () if text is None else (Edit(name, len(text), len(document.text)),)
    return Verdict(text=document.text, edits=edits, metadata=new)


def _with_verdicts(table: pa.Table, verdicts: list[Verdict], stage: str) -> pa.Table:
    text = table.column(c.BODY.name)
    if any(v.text is not None for v in verdicts):
        new = [old if v.text is None else v.text for v, old in zip(verdicts, text.to_pylist(), strict=True)]
        text = pa.array(new, c.TEXT)
    meta = table.column(c.META.name) if c.META.name in table.column_names else pa.nulls(table.num_rows, c.META.type)
    if any(v.metadata for v in verdicts):
        known = [dict(items or ()) for items in meta.to_pylist()]
        merged = [{**old, **(v.metadata or {})} for v, old in zip(verdicts, known, strict=True)]
        meta = pa.array([list(items.items()) or None for items in merged], c.META.type)
    table = set_columns(
        table,
        text=text,
        n_chars=pc.utf8_length(text).cast(pa.int64()),
        meta=meta,
        drop_reason=pa.array([v.reason for v in verdicts], pa.string()),
    )
    return append_edits(table, stage, [list(v.edits) for v in verdicts])


def _documents(table: pa.Table, source: str) -> Iterable["Document"]:
    """The rows as datatrove documents, with the columns that hold one plain value, and `meta`, as metadata."""
    document = importlib.import_module("datatrove.data").Document
    skipped = (c.ID.name, c.BODY.name, c.HTML.name, c.DROP_REASON.name)
    plain = [
        f.name
        for f in table.schema
        if f.name not in skipped and not pa.types.is_nested(f.type) and not pa.types.is_fixed_size_binary(f.type)
    ]
    meta = c.META.name if c.META.name in table.column_names else None
    for row in table.select([c.ID.name, source, *plain, *([meta] if meta else [])]).to_pylist():
        metadata = {METADATA_NAMES.get(name, name): row[name] for name in plain if row[name] is not None}
        metadata.update(row[meta] or () if meta else ())
        yield document(text=row[source], id=row[c.ID.name], metadata=metadata)


def _texts(table: pa.Table) -> list[str | None]:
    texts: list[str | None] = table.column(c.BODY.name).to_pylist()
    return texts


def _as_json(settings: Mapping[str, Any] | str, block: str) -> str:
    try:
        plain = json.loads(settings) if isinstance(settings, str) else dict(settings)
        text = json.dumps(plain, sort_keys=True, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"DatatroveBlock: settings of {block} should be plain data, got {settings!r}: {error}"
        ) from error
    if not isinstance(plain, dict):
        raise ValueError(f"DatatroveBlock: settings of {block} should be names and values, got {settings!r}")
    return text
