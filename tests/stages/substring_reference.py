"""Substring dedup in plain Python, as its definition reads: what the shuffles are compared with."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.exchange.spill import partition_of
from schemas import columns as c
from stages.dedup.substring import ExactSubstring, Winnowing
from tests.stages.kernels.test_minhash_kernel import folded, kind

Span = tuple[int, int, str]  # start, end, of


def words_of(text: str) -> list[tuple[str, int]]:
    """Each word of `text`, folded but for its digits, and where it begins."""
    found: list[tuple[str, int]] = []
    inside = False
    for at, char in enumerate(text):
        match kind(char):
            case "letter" | "digit":
                letter = char if kind(char) == "digit" else chr(folded(char))
                if inside:
                    found[-1] = (found[-1][0] + letter, found[-1][1])
                else:
                    found.append((letter, at))
                inside = True
            case "single":
                single = chr(folded(char)) + "!"
                found.append((single, at))
                inside = False
            case "drop":
                pass
            case _:
                inside = False
    return found


def by_tuples(texts: Sequence[Sequence[Any]], size: int) -> list[list[int]]:
    """The classes of equal windows, by comparing all their words: of each text, the class of each of its windows."""
    classes: dict[tuple[Any, ...], int] = {}
    return [
        [classes.setdefault(tuple(words[j : j + size]), len(classes)) for j in range(len(words) - size + 1)]
        for words in texts
    ]


def by_suffix_array(texts: Sequence[Sequence[Any]], size: int) -> list[list[int]]:
    """The same by the suffix array of all texts: neighbours with a common prefix of `size` are one class.

    The array is made by doubling prefixes (Manber and Myers 1993), the common prefixes by Kasai et al. 2001.
    """
    known: dict[Any, int] = {}
    whole: list[int] = []
    for number, words in enumerate(texts):
        whole += [known.setdefault(word, len(known)) + len(texts) for word in words]
        whole.append(number)  # stands nowhere else: no common prefix goes across it
    rank = np.unique(np.array(whole), return_inverse=True)[1]
    n, length = len(rank), 1
    while True:
        behind = np.full(n, -1)
        behind[:-length] = rank[length:]
        order = np.lexsort((behind, rank))
        steps = (np.diff(rank[order]) != 0) | (np.diff(behind[order]) != 0)
        rank[order] = np.concatenate(([0], np.cumsum(steps)))
        if rank.max() == n - 1:
            break
        length *= 2
    common, k = np.zeros(n, np.int64), 0  # of suffix order[i] and order[i - 1]
    for i in range(n):
        if rank[i] == 0:
            k = 0
            continue
        j = order[rank[i] - 1]
        while i + k < n and j + k < n and whole[i + k] == whole[j + k]:
            k += 1
        common[rank[i]] = k
        k = max(k - 1, 0)
    classes = np.cumsum(common < size)[rank].tolist()
    found, at = [], 0
    for words in texts:
        found.append(classes[at : at + max(len(words) - size + 1, 0)])
        at += len(words) + 1
    return found


def repeats(
    rows: Sequence[tuple[str, str]],
    size: int,
    classes_of: Callable[[Sequence[Sequence[Any]], int], list[list[int]]] = by_tuples,
) -> list[list[Span]]:
    """The spans of each of `rows` (id, text), of which `size` words are the least."""
    split = [words_of(text) for _, text in rows]
    classes = classes_of([[word for word, _ in words] for words in split], size)
    first: dict[int, tuple[int, int]] = {}
    pieces: list[dict[str, list[tuple[int, int]]]] = [{} for _ in rows]
    for row in sorted(range(len(rows)), key=lambda row: (rows[row][0], row)):
        starts = [at for _, at in split[row]] + [len(rows[row][1])]
        for j, class_ in enumerate(classes[row]):
            there, at = first.setdefault(class_, (row, j))
            if there != row or j - at >= size:
                pieces[row].setdefault(rows[there][0], []).append((starts[j], starts[j + size]))
    return [one_list(found) for found in pieces]


def one_list(pieces: dict[str, list[tuple[int, int]]]) -> list[Span]:
    """Pieces by source as spans that neither overlap nor touch; of several sources, that of the longest piece."""
    spans = [(start, end, of) for of, found in pieces.items() for start, end in union(found)]
    joined = []
    for start, end in union((start, end) for start, end, _ in spans):
        inside = sorted(span for span in spans if start <= span[0] < end)
        longest = max(inside, key=lambda span: span[1] - span[0])
        joined.append((start, end, longest[2]))
    return joined


def union(intervals: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def shards_of(rows: Sequence[tuple[str, str | None]], shards: int) -> list[pa.Table]:
    """`rows` (id, text) in `shards` tables, as the engine hands them to a shuffle."""
    cuts = [len(rows) * n // shards for n in range(shards + 1)]
    return [
        pa.table(
            {
                "id": pa.array([id_ for id_, _ in rows[begin:end]], pa.string()),
                "text": pa.array([text for _, text in rows[begin:end]], c.TEXT),
                "row": pa.array(range(end - begin), pa.int64()),
            }
        )
        for begin, end in pairwise(cuts)
    ]


def carried_out(shuffle: Any, tables: list[pa.Table], partitions: int) -> list[pa.Table]:
    """`tables` with what `shuffle` adds, as cluster/exchange/shuffle.py does it, without its files."""
    spread = []
    for number, table in enumerate(tables):
        rows = shuffle.spread(table)
        spread.append(rows.append_column("shard", pa.repeat(pa.scalar(number, pa.int32()), rows.num_rows)))
    whole = pa.concat_tables(spread).combine_chunks()
    part = partition_of(whole.column("key").combine_chunks(), partitions)
    verdicts = pa.concat_tables(shuffle.reduce(whole.filter(pa.array(part == p))) for p in range(partitions))
    judged = []
    for number, table in enumerate(tables):
        mine = verdicts.filter(pc.equal(verdicts["shard"], number)).drop_columns(["shard"]).sort_by("row")
        of_row = dict(zip(*shuffle.gather(mine).to_pydict().values(), strict=True))
        values = pa.array([of_row.get(row) for row in table["row"].to_pylist()], c.REPEATS.type)
        judged.append(table.drop_columns(["repeats"] if "repeats" in table.column_names else []))
        judged[-1] = judged[-1].append_column(c.REPEATS, values)
    return judged


def found_repeats(
    rows: Sequence[tuple[str, str | None]], size: int, shards: int = 1, partitions: int = 1, narrowed: bool = True
) -> list[list[Span]]:
    """The spans of each of `rows` (id, text) by the shuffles."""
    tables = shards_of(rows, shards)
    if narrowed:
        tables = carried_out(Winnowing(words=size), tables, partitions)
    tables = carried_out(ExactSubstring(words=size, narrowed=narrowed), tables, partitions)
    lists = [spans for table in tables for spans in table["repeats"].to_pylist()]
    return [[(span["start"], span["end"], span["of"]) for span in spans or []] for spans in lists]
