"""Documents of about 500 words with known duplicates: what fuzzy dedup is measured on (benchmarks/dedup.py).

A document is made of runs of 8 to 30 words of real texts, webtext-dev's in Latin script, taken anywhere. Of all
documents, 5 % are copies of another, 10 % are copies with 1 to 30 % of the words replaced, left out or added, 5 % are
a part of another (30 to 95 % of it). A copy and its original may be in any two files, either of them first.
"""

import re
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "webtext-dev.parquet"
LATIN = "ca en es fi fr ha id ig lg ln no om pcm pt rn sn so sv sw tr xh yo"
SHARES = {"exact": 0.05, "near": 0.10, "contained": 0.05}
KINDS = ("none", *SHARES)
BATCH = 50_000  # documents made at once; a document and its copies are of one batch
RUN_WORDS = (8, 31)
RUNS = (16, 38)  # of a document
N_GRAMS = 5
ROW_GROUP = 2500

TRUTH = pa.schema([("a", pa.string()), ("b", pa.string()), ("kind", pa.string()), ("jaccard", pa.float64())])
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")


def words_of(text: str) -> list[str]:
    """The words that a shingle is made of: runs of letters and digits in lower case, a number as 0."""
    return _WORD.findall(_NUMBER.sub("0", text.lower()))


class Words:
    """The words of real texts, in order: what documents are cut from."""

    def __init__(self) -> None:
        texts = pq.read_table(DATA, columns=["text", "lang"]).to_pylist()
        known: dict[str, int] = {}
        stream = [
            known.setdefault(w, len(known))
            for row in texts
            if row["lang"] in LATIN.split()
            for w in row["text"].split()
        ]
        self.stream = np.array(stream, np.int32)
        self.surface = pa.array([*known], pa.string())

    @cached_property
    def folded(self) -> tuple[Any, Any, Any]:
        """Where each word's folded words begin, how many they are, and the hash of each."""
        known: dict[str, int] = {}
        numbers, counts = [], []
        for word in self.surface.to_pylist():
            found = words_of(word)
            numbers += [known.setdefault(part, len(known)) for part in found]
            counts.append(len(found))
        hashes = np.random.default_rng(0).integers(0, 1 << 64, len(known), np.uint64)
        return np.cumsum([0, *counts])[:-1], np.array(counts), hashes[numbers]

    def texts(self, words: Any, ends: Any) -> pa.Array:
        """Documents as text. Document i is words[ends[i]:ends[i + 1]]."""
        lists = pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), self.surface.take(pa.array(words)))
        return pc.binary_join(lists, " ").cast(pa.large_string())

    def shingles(self, words: Any) -> Any:
        """The hashes of the shingles of one document, each once, in order."""
        starts, counts, hashes = self.folded
        folded = hashes[spread(starts[words], counts[words])]
        value = np.zeros(max(len(folded) - N_GRAMS + 1, 0), np.uint64)
        for i in range(N_GRAMS):
            value = value * np.uint64(0x9E3779B97F4A7C15) + folded[i : i + len(value)]
        return np.unique(value)


@cache
def real_words() -> Words:
    """Those of webtext-dev."""
    return Words()


def spread(starts: Any, counts: Any) -> Any:
    """starts[0], starts[0] + 1, ... counts[0] numbers in all, then those of starts[1], and so on."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(counts.sum())


def batch(words: Words, n: int, chance: Any) -> tuple[Any, Any, Any, Any]:
    """`n` documents: words, ends, and of each its kind and which document it was made of (itself, if none)."""
    kinds = chance.choice(len(KINDS), n, p=[1 - sum(SHARES.values()), *SHARES.values()])
    kinds = kinds[np.argsort(kinds > 0, kind="stable")]  # originals first; they are mixed in the end
    n_own = int((kinds == 0).sum())
    runs = chance.integers(*RUNS, n_own)
    length = chance.integers(*RUN_WORDS, runs.sum())
    start = chance.integers(0, len(words.stream) - RUN_WORDS[1], runs.sum())
    own = words.stream[spread(start, length)]
    ends = np.concatenate([[0], np.cumsum(np.add.reduceat(length, np.cumsum(runs) - runs))])
    of = np.concatenate([np.arange(n_own), chance.integers(0, n_own, n - n_own)])
    kind, size = kinds[n_own:], np.diff(ends)[of[n_own:]]
    share = np.where(kind == KINDS.index("contained"), chance.uniform(0.30, 0.95, n - n_own), 1.0)
    taken = np.maximum((size * share).astype(np.int64), 1)
    begin = ends[of[n_own:]] + (chance.random(n - n_own) * (size - taken + 1)).astype(np.int64)
    rate = np.where(kind == KINDS.index("near"), np.exp(chance.uniform(np.log(0.01), np.log(0.30), n - n_own)), 0.0)
    copies, copy_ends = edited(own[spread(begin, taken)], taken, rate, words.stream, chance)
    return np.concatenate([own, copies]), np.concatenate([ends, ends[-1] + copy_ends]), kinds, of


def edited(words: Any, sizes: Any, rate: Any, stream: Any, chance: Any) -> tuple[Any, Any]:
    """Documents of `sizes` words with a share of `rate` of each one's words replaced, left out or followed by another.

    Words, and where each document ends.
    """
    change = np.where(chance.random(len(words)) < np.repeat(rate, sizes), chance.integers(1, 4, len(words)), 0)
    replaced, left_out, added = (change == i for i in (1, 2, 3))
    words = np.where(replaced, stream[chance.integers(0, len(stream), len(words))], words)
    times = 1 - left_out.astype(np.int64) + added
    last = np.cumsum(times) - 1
    words = np.repeat(words, times)
    words[last[added]] = stream[chance.integers(0, len(stream), int(added.sum()))]
    ends = np.concatenate([[0], np.cumsum(times)])[np.cumsum(sizes)]
    return words, ends


def pairs_of(words: Words, flat: Any, ends: Any, kinds: Any, of: Any, ids: Any) -> pa.Table:
    """Every pair that is of one original, with the exact similarity of its shingles. `kind` of two copies: `both`."""
    copies = np.flatnonzero(kinds > 0)
    families: dict[int, list[int]] = {}
    for copy in copies.tolist():
        families.setdefault(int(of[copy]), [int(of[copy])]).append(copy)
    found = []
    for family in families.values():
        sets = [words.shingles(flat[ends[row] : ends[row + 1]]) for row in family]
        for j in range(1, len(family)):
            for i in range(j):
                common = len(np.intersect1d(sets[i], sets[j], assume_unique=True))
                kind = "both" if i else KINDS[kinds[family[j]]]
                a, b = sorted((ids[family[i]], ids[family[j]]))
                found.append((a, b, kind, common / max(len(sets[i]) + len(sets[j]) - common, 1)))
    columns = zip(*found, strict=True) if found else [[]] * len(TRUTH)
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, TRUTH, strict=True)], schema=TRUTH
    )


def batches(n: int, seed: int, truth: bool = True) -> Iterator[tuple[pa.Table, pa.Table]]:
    """`n` documents (id, text) and the pairs among them (TRUTH), a batch at a time."""
    words, chance = real_words(), np.random.default_rng(seed)
    for first in range(0, n, BATCH):
        size = min(BATCH, n - first)
        flat, ends, kinds, of = batch(words, size, chance)
        place = chance.permutation(size)  # of each document among the rows
        ids = np.array([f"{first + row:09}" for row in place.tolist()])
        pairs = pairs_of(words, flat, ends, kinds, of, ids) if truth else TRUTH.empty_table()
        row_of = np.argsort(place)
        sizes = np.diff(ends)[row_of]
        text = words.texts(flat[spread(ends[row_of], sizes)], np.concatenate([[0], np.cumsum(sizes)]))
        yield pa.table({"id": pa.array(ids[row_of].tolist(), pa.string()), "text": text}), pairs


def write_documents(folder: Path, n: int, seed: int, rows_a_file: int = 25_000, truth: bool = True) -> pa.Table:
    """Write `n` documents to Parquet files in `folder`; return the pairs among them. Batches go to all files."""
    folder.mkdir(parents=True)
    n_files = max(2, -(-n // rows_a_file))
    waiting: list[list[pa.Table]] = [[] for _ in range(n_files)]
    schema = pa.schema([("id", pa.string()), ("text", pa.large_string())])
    writers = [pq.ParquetWriter(folder / f"{number:05}.parquet", schema) for number in range(n_files)]
    pairs = [TRUTH.empty_table()]
    for table, found in batches(n, seed, truth):
        pairs.append(found)
        for number in range(n_files):
            waiting[number].append(table.take(pa.array(np.arange(number, table.num_rows, n_files))))
            if sum(part.num_rows for part in waiting[number]) >= ROW_GROUP:
                writers[number].write_table(pa.concat_tables(waiting[number]), row_group_size=ROW_GROUP)
                waiting[number] = []
    for writer, rest in zip(writers, waiting, strict=True):
        if rest:
            writer.write_table(pa.concat_tables(rest))
        writer.close()
    return pa.concat_tables(pairs)
