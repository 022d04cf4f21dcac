"""Substring dedup: runs of words that stand somewhere before (Lee et al. 2021, arXiv 2107.06499), to the word.

`words` neighbouring words are a window. Of the places of one window, in the order of ids, then of shards, rows and
words, the first is the original; the others that do not overlap it are repeats, and the repeats of a text together are
its spans. So a run of `words` words or more that stands elsewhere is found whole, in every place but the first, within
a text too, and nothing else is.

Nothing is missed, whatever the way into shards and partitions: the key of a window depends on its words alone
(stages/kernels/spans.py), so all its places meet in one partition. There they are compared by 128 bits, so that among
n windows two that differ are taken for one with a probability of about n^2 / 2^129: below 10^-12 for a trillion words.

To compare all windows would take several times the bytes of the text. So there are two shuffles:

    Winnowing       the keys, one for some 13 windows, as in winnowing (Schleimer et al. 2003): a window whose key
                    stands nowhere else has no repeat. `repeats` becomes the regions whose keys are not alone.
    ExactSubstring  the windows of those regions. `repeats` becomes the spans, with the id of where they stood before.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from schemas import columns as c
from stages.dedup.substring_spans import joined, lists_of_spans, spans_of
from stages.text.buffers import text_buffers

KEY = "key"  # of a run of windows
RUN_BYTES, WINDOW_BYTES = 80, 24  # what a key takes that `fan_out` counts; what a window takes
MOST_WORDS = 255  # polynomials modulo 2^64 fail on two words in the order of Thue and Morse: 30 bits hold at 128 words
LONGEST = (1 << 32) - 1  # bytes of a text, so that its code points are numbers of 32 bits
HASHES = pa.large_list(pa.uint64())
PLACES = pa.large_list(pa.uint32())


@dataclass(frozen=True)
class Winnowing:
    """Set `repeats` to the regions of a text in which a run of `words` words may stand elsewhere too, without `of`.

    For `ExactSubstring` behind it, whose `words` may be more, never less. `mean_words`: of a text, about; partitions
    are sized by it. Travels: 24 bytes a key, two keys for each `words` / 2 + 1 words. The places of the most frequent
    key have to fit into memory.
    """

    words: int = 50
    mean_words: int = 500

    key: ClassVar[str] = KEY
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.REPEATS])
    alone: ClassVar[dict[str, Any]] = {}

    def __post_init__(self) -> None:
        _check(self)

    @property
    def fan_out(self) -> int:
        return max(1, 4 * self.mean_words // (self.words + 3))

    def spread(self, table: pa.Table) -> pa.Table:
        """(row, key, start, end) of each run of windows."""
        runs, _ = winnow(table, self.words, whole=False)
        return runs.select(["row", KEY, "start", "end"])

    def reduce(self, table: pa.Table) -> pa.Table:
        runs = pl.from_arrow(table)
        assert isinstance(runs, pl.DataFrame)
        shared = runs.filter(pl.col(KEY).is_duplicated()).with_columns(of=pl.lit(None, pl.String))
        return lists_of_spans(joined(shared, ["shard", "row"]), ["shard", "row"])

    def gather(self, verdicts: pa.Table) -> pa.Table:
        return lists_of_spans(joined(spans_of(verdicts, ["row"]), ["row"]), ["row"])


@dataclass(frozen=True)
class ExactSubstring:
    """Set `repeats` to the spans of a text that stand before: their start, their end and the id `of` the row.

    A span begins with its first word and ends where the next word begins, so that what separates them goes with it.
    Spans that overlap or touch are one; `of` is that of the longest part.

    Within the regions of `Winnowing`, of as many `words` or fewer; with `narrowed` False all windows travel, for small
    datasets. Travels: 24 bytes a window and what 13 of them share, 28 a window together. Memory: 60 MB for a million
    windows that are compared; partitions are sized by `mean_words` of a text, as if all of it stood elsewhere, with 120
    MB for a million. A text takes 44 bytes a word while it is read.
    """

    words: int = 50
    mean_words: int = 500
    narrowed: bool = True

    key: ClassVar[str] = KEY
    adds: ClassVar[pa.Schema] = pa.schema([c.REPEATS])
    alone: ClassVar[dict[str, Any]] = {}

    def __post_init__(self) -> None:
        _check(self)

    @property
    def reads(self) -> pa.Schema:
        return pa.schema([c.ID, c.BODY, c.REPEATS] if self.narrowed else [c.ID, c.BODY])

    @property
    def fan_out(self) -> int:
        return max(1, self.mean_words * WINDOW_BYTES // RUN_BYTES)

    def spread(self, table: pa.Table) -> pa.Table:
        """(row, key, id, place, start, first, second, starts, ends) of each run: hashes and bounds of its windows."""
        if self.narrowed:
            table = table.filter(pc.is_valid(table.column(c.REPEATS.name)))
        runs, windows = winnow(table, self.words, whole=True)
        ids = table.column(c.ID.name).combine_chunks().cast(pa.string()).take(runs.column("text"))
        stops = runs.column("stop").combine_chunks()
        offsets = pa.concat_arrays([pa.array([0], pa.int64()), stops])
        runs = runs.select(["row", KEY, "place"]).append_column("id", ids)
        for name, values, type_ in zip(
            ("first", "second", "starts", "ends"), windows, (HASHES, HASHES, PLACES, PLACES), strict=True
        ):
            runs = runs.append_column(name, pa.LargeListArray.from_arrays(offsets, pa.array(values), type=type_))
        return runs

    def reduce(self, table: pa.Table) -> pa.Table:
        from stages.kernels.spans import find_repeats  # noqa: PLC0415 - numba takes 0.4 s to import

        table = table.combine_chunks()
        order, document = order_of(table)
        first, second, starts, ends = (
            pc.list_flatten(table.column(name)).to_numpy() for name in ("first", "second", "starts", "ends")
        )
        counts = pc.list_value_length(table.column("first")).to_numpy()
        offsets, place = np.concatenate(([0], np.cumsum(counts))), table.column("place").to_numpy()
        for values in (place, first, second):  # always, since a kernel is compiled anew for each kind
            values.flags.writeable = False
        found = np.empty((len(first), 4), np.int64)
        n = find_repeats(order, document, place, offsets, first, second, self.words, found)
        run, begin, end, source = found[:n].T
        pieces = pl.DataFrame(
            {
                "shard": table.column("shard").to_numpy()[run],
                "row": table.column("row").to_numpy()[run],
                "start": starts[begin].astype(np.int64),
                "end": ends[end].astype(np.int64),
                "of": pl.from_arrow(table.column("id").take(pa.array(source))),
            }
        )
        return lists_of_spans(joined(pieces, ["shard", "row", "of"]), ["shard", "row"])

    def gather(self, verdicts: pa.Table) -> pa.Table:
        spans = joined(spans_of(verdicts, ["row"]), ["row", "of"])
        return lists_of_spans(joined(spans, ["row"]), ["row"])


def winnow(table: pa.Table, words: int, whole: bool) -> tuple[pa.Table, tuple[Any, ...]]:
    """The runs of windows in the texts of `table`, within its `repeats` if it has any, and with `whole` their windows.

    (table of text, row, key, place, start, end, stop; arrays of `spans.Windows`).
    """
    from stages.kernels import fold, spans  # noqa: PLC0415 - numba takes 0.4 s to import

    texts = table.column(c.BODY.name).cast(pa.large_string()).combine_chunks()
    texts = pc.fill_null(texts, "") if texts.null_count else texts
    texts = pa.concat_arrays(texts.chunks) if isinstance(texts, pa.ChunkedArray) else texts
    data, offsets = text_buffers(texts)
    n_bytes = np.diff(offsets)
    longest = int(n_bytes.max(initial=0))
    if longest > LONGEST:
        row = table.column("row")[int(n_bytes.argmax())]
        raise ValueError(f"substring dedup takes texts of up to {LONGEST} bytes; row {row} has {longest}")
    most = spans.most_words(longest)
    room, places = np.empty((5, most), np.uint64), np.empty(most + 1, np.uint32)
    runs, windows = spans.room_for(int(n_bytes.sum()) + len(texts), whole)
    n_runs, n_windows = spans.winnow_all(
        data, offsets, fold.table(), words, _regions(table), room, places, runs, windows
    )
    of = {name: values[:n_runs] for name, values in zip(runs._fields, runs, strict=True)}
    row = table.column("row").to_numpy()[of["text"]]
    found = pa.table({"row": row, **of})
    return found, tuple(values[:n_windows] for values in windows)


def _regions(table: pa.Table) -> Any:
    """Where windows are wanted: in the regions that `repeats` says or, without that column, everywhere."""
    from stages.kernels.spans import Regions  # noqa: PLC0415

    n = table.num_rows
    if c.REPEATS.name not in table.column_names:
        return Regions(np.arange(n + 1), np.zeros(n, np.int64), np.full(n, LONGEST, np.int64))
    lists = table.column(c.REPEATS.name)
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
    flat = pc.list_flatten(lists).combine_chunks()
    flat = pa.concat_arrays(flat.chunks) if isinstance(flat, pa.ChunkedArray) else flat
    offsets = np.concatenate(([0], np.cumsum(counts)))
    return Regions(offsets, *(np.array(pc.struct_field(flat, [name]), np.int64) for name in ("start", "end")))


def order_of(table: pa.Table) -> tuple[Any, Any]:
    """(the runs of `table` in the order of documents and places; a number of each run's document)."""
    runs = pl.from_arrow(table.select(["id", "shard", "row", "place"]))
    assert isinstance(runs, pl.DataFrame)
    runs = runs.with_row_index("run").sort("id", "shard", "row", "place")
    begins = pl.struct("id", "shard", "row").rle_id().cast(pl.Int64)
    runs = runs.select("run", document=begins)
    order = runs["run"].cast(pl.Int64).to_numpy()
    document = np.empty(len(order), np.int64)
    document[order] = runs["document"].to_numpy()
    return order, document


def _check(shuffle: Any) -> None:
    who = type(shuffle).__name__
    if not 1 <= shuffle.words <= MOST_WORDS:
        raise ValueError(f"{who}: words should be from 1 to {MOST_WORDS}, got {shuffle.words}")
    if shuffle.mean_words < 1:
        raise ValueError(f"{who}: mean_words should be at least 1, got {shuffle.mean_words}")
