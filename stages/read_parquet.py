"""ReadParquet: documents in Parquet files, headrace's own datasets among them.

| drop_reason | when                 |
|-------------|----------------------|
| `null_text` | the text is null     |
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas import columns
from schemas.check import SchemaError, nearest
from schemas.tables import halved, is_text
from stages.ids import id_of, source_of
from stages.parquet_groups import GroupError, batches
from stages.stage import Piece, Read, Resources, Unreadable, at_least
from stages.watched import Watched

# A verdict of an earlier run is not one of this run.
VERDICTS = (columns.DROP_STAGE.name, columns.DROP_REASON.name, columns.ERROR.name)
NULL_TEXT = "null_text"
# What a damaged file is met with; ArrowMemoryError, which is no fault of the file, is none of them.
BROKEN = (
    OSError, pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, pa.ArrowKeyError, pa.ArrowCapacityError,
    pa.ArrowIndexError, UnicodeDecodeError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True)
class ReadParquet:
    """Documents in Parquet files. `text`, `id`, `url` and `date` name the file's columns that become ours of that name.

    Columns known to `schemas.columns` take the type they have there (text of any kind, numbers); all others are kept
    as they are, but for an earlier verdict (drop_stage, drop_reason, error). `id` None: the file's `id` if that is
    text, else a hash of `file#row`, which also is `source` unless the file has that. `table_bytes` is what a table
    takes in memory, `piece_bytes` what a piece (whole row groups) takes in the file.
    """

    text: str = "text"
    id: str | None = None
    url: str | None = None
    date: str | None = None
    table_bytes: int = 32_000_000
    piece_bytes: int = 128_000_000

    resources: ClassVar[Resources] = Resources()
    schema_differs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        at_least(self, table_bytes=1, piece_bytes=1)

    def split(self, file: BinaryIO, uri: str, size: int) -> list[Piece]:
        """Runs of row groups of about `piece_bytes`; one piece for what is no Parquet file, which `read` reports."""
        if size <= self.piece_bytes:
            return [Piece(uri)]
        watched = Watched(file)
        try:
            footer = pq.ParquetFile(watched).metadata
        except BROKEN:
            if watched.failure is not None:
                raise
            return [Piece(uri)]
        cuts, n_bytes = [0], 0
        for group in range(footer.num_row_groups - 1):
            n_bytes += _stored_bytes(footer.row_group(group))
            if n_bytes >= self.piece_bytes:
                cuts.append(group + 1)
                n_bytes = 0
        return [Piece(uri, start, stop) for start, stop in zip(cuts, [*cuts[1:], None], strict=True)]

    def schema(self, file: BinaryIO, uri: str) -> pa.Schema:
        """What the footer says, after the mapping. Raises `SchemaError`, or `ValueError` if this is no Parquet file."""
        watched = Watched(file)
        try:
            footer = pq.ParquetFile(watched).schema_arrow
        except BROKEN as error:
            if watched.failure is not None:
                raise
            raise ValueError(f"no Parquet file: {error}") from error
        return pa.schema([field for field, _ in plan(self, footer, uri)])

    def open(self) -> Read:
        return partial(read, self)


def read(settings: ReadParquet, file: BinaryIO, piece: Piece) -> Iterator[pa.Table | Unreadable]:
    """The rows of the piece's row groups; a group that cannot be read is `Unreadable`, from where it broke."""
    watched = Watched(file)
    try:
        parquet = pq.ParquetFile(watched)
    except BROKEN as error:
        if watched.failure is not None:
            raise
        yield Unreadable(piece.start, f"no Parquet file: {error}")
        return
    columns_ = plan(settings, parquet.schema_arrow, piece.uri)
    footer = parquet.metadata
    stop = footer.num_row_groups if piece.stop is None else piece.stop
    row = sum(footer.row_group(group).num_rows for group in range(piece.start))
    for group in range(piece.start, stop):
        first = row
        row += footer.row_group(group).num_rows
        n_rows = _rows_per_table(footer.row_group(group), settings.table_bytes)
        names = sorted({name for _, name in columns_ if name is not None}, key=parquet.schema_arrow.names.index)
        try:
            for batch in batches(parquet, watched, group, names, n_rows):
                table = pa.Table.from_batches([batch])
                yield from halved(mapped(table, columns_, piece.uri, first), settings.table_bytes)
                first += batch.num_rows
        except (*BROKEN, GroupError) as error:
            if watched.failure is not None:
                raise
            yield Unreadable(group, f"row group {group} from row {first} on: {error}")


def plan(settings: ReadParquet, schema: pa.Schema, uri: str) -> list[tuple[pa.Field, str | None]]:
    """Every column of the tables, and the file's column it is made of (None: made here). Raises `SchemaError`."""
    wanted = {"text": settings.text, "id": settings.id, "url": settings.url, "date": settings.date}
    taken = {there: name for name, there in wanted.items() if there is not None}
    faults = [
        f"column {there!r} is missing{nearest(there, schema.names)} (there: {', '.join(schema.names)}); "
        f"set ReadParquet.{name}"
        for there, name in taken.items()
        if there not in schema.names
    ]
    twice = [name for name, n in Counter(schema.names).items() if n > 1]
    if twice:
        raise SchemaError(
            f"{uri}: more than one column is called {', '.join(map(repr, twice[:5]))}: rename all but one"
        )
    planned: list[tuple[pa.Field, str | None]] = []
    for field in schema:
        name = taken.get(field.name, field.name)
        if name in VERDICTS or (field.name not in taken and wanted.get(name) not in (None, field.name)):
            continue
        target = _target(name, field)
        if name == columns.ID.name and settings.id is None and not is_text(field.type):
            continue
        if field.name in taken and target.type != columns.ALL[name].type:
            faults.append(f"column {field.name!r} is {field.type}, ReadParquet.{name} takes text")
        planned.append((target, field.name))
    if faults:
        raise SchemaError(f"{uri}: " + "; ".join(faults))
    there = [field.name for field, _ in planned]
    planned += [(field, None) for field in (columns.ID, columns.SOURCE) if field.name not in there]
    return [*planned, (columns.DROP_REASON, None)]


def mapped(table: pa.Table, planned: list[tuple[pa.Field, str | None]], uri: str, first: int) -> pa.Table:
    """`table`, whose first row is row `first` of the file, with the planned columns."""
    sources = [source_of(uri, first + i) for i in range(table.num_rows)]
    arrays: dict[str, pa.Array | pa.ChunkedArray] = {}
    for field, name in planned:
        if name is not None:
            array = _cast(table.column(name), field.type)
            if field.name == columns.ID.name and array.null_count:
                array = _filled(array, sources)
            arrays[field.name] = _valid(array) if field.name == columns.BODY.name else array
        elif field.name == columns.DROP_REASON.name:
            no_text = arrays[columns.BODY.name].is_null()
            arrays[field.name] = pc.if_else(no_text, pa.scalar(NULL_TEXT), pa.scalar(None, pa.string()))
        else:
            made = sources if field.name == columns.SOURCE.name else [id_of(source) for source in sources]
            arrays[field.name] = pa.array(made, field.type)
    return pa.Table.from_arrays(list(arrays.values()), schema=pa.schema([field for field, _ in planned]))


def _target(name: str, field: pa.Field) -> pa.Field:
    """The field as it will be: ours if the file's can be cast to it without loss of meaning, else the file's."""
    known = columns.ALL.get(name)
    if known is None:
        return field
    if field.type == known.type or (is_text(field.type) and is_text(known.type)) or _widens(field.type, known.type):
        return known
    if name == columns.ID.name and pa.types.is_integer(field.type):
        return known
    return field.with_name(name)


def _widens(type_: pa.DataType, known: pa.DataType) -> bool:
    if pa.types.is_floating(known):
        return bool(pa.types.is_floating(type_))
    integers = pa.types.is_signed_integer(known) and pa.types.is_signed_integer(type_)
    return bool(integers and type_.bit_width < known.bit_width)


def _cast(array: pa.ChunkedArray, type_: pa.DataType) -> pa.ChunkedArray:
    return array if array.type == type_ else array.cast(type_, safe=not pa.types.is_floating(type_))


def _valid(array: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text as valid UTF-8: Parquet files of other writers may hold any bytes as text."""
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        texts = [v if v is None else v.decode("utf-8", "replace") for v in array.cast(pa.large_binary()).to_pylist()]
        return pa.chunked_array([pa.array(texts, array.type)])
    return array


def _filled(ids: pa.ChunkedArray, sources: list[str]) -> pa.Array:
    """`ids` with a hash of the row's source for each null."""
    pairs = zip(ids.to_pylist(), sources, strict=True)
    return pa.array([id_of(source) if id_ is None else id_ for id_, source in pairs], columns.ID.type)


def _stored_bytes(group: Any) -> int:
    return sum(int(group.column(i).total_compressed_size) for i in range(group.num_columns))


def _rows_per_table(group: Any, table_bytes: int) -> int:
    return max(1, table_bytes * int(group.num_rows) // max(int(group.total_byte_size), 1))
