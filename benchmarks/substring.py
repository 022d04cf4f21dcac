"""Substring dedup over texts with known repeats: recall and precision, CPU time, bytes that travel. One JSON line.

The texts are webtext-dev's, each several times with its runs of 5 words in another order, so that next to nothing
repeats by itself; every tenth gets a run of words of another text. What repeats is found by prefix doubling over the
whole (Manber and Myers 1993), exactly, and compared span by span.

    python benchmarks/substring.py [--megabytes 100] [--files 8]
"""

import argparse
import io
import json
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from record import record

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cluster.local import LocalRunner
from cluster.plan import PlannedStep, make_plan
from cluster.run import Options, run
from cluster.shards import list_inputs
from pipelines.dedup_substring import dedup_substring
from schemas import columns as c
from stages.dedup.substring import ExactSubstring, Winnowing
from tests.stages.substring_reference import union, words_of

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "webtext-dev.parquet"
LENGTHS = (30, 40, 45, 48, 49, 50, 51, 52, 55, 60, 75, 100, 200, 400)
WORDS = 50
BLOCK = 5  # words that stay together when a text is shuffled
SAMPLE_ROWS = 4000  # of the texts, for the kernels alone


class Measuring(LocalRunner):
    """CPU seconds of each phase, and the bytes of its files."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.bytes: dict[str, int] = defaultdict(int)

    def run_tasks(self, planned: PlannedStep, target: Any, tasks: list[Any], watch: Any) -> None:
        begin = time.process_time()
        super().run_tasks(planned, target, tasks, watch)
        for task in tasks:
            phase = f"{planned.name} {task.name.split('/')[1]}"
            with target.folder.open(task.name) as file:
                self.bytes[phase] += file.seek(0, 2)
        self.seconds[phase] += time.process_time() - begin

    def run_shards(self, planned: PlannedStep, *rest: Any) -> None:
        begin = time.process_time()
        super().run_shards(planned, *rest)
        self.seconds[f"{planned.name} stages"] += time.process_time() - begin


def pieces() -> tuple[list[list[int]], list[str], list[int]]:
    """Each text as numbers of pieces; the pieces, one word and what follows it each; the number of each one's word."""
    known: dict[str, int] = {}
    words: dict[str, int] = {}
    found, word_of = [], []
    for text in pq.read_table(DATA, columns=["text"])["text"].to_pylist():
        row = []
        split = words_of(text)
        for (word, start), (_, end) in zip(split, [*split[1:], ("", len(text))], strict=True):
            piece = text[start:end]
            piece += "" if piece[-1].isspace() else " "
            if piece not in known:
                known[piece] = len(known)
                word_of.append(words.setdefault(word, len(words)))
            row.append(known[piece])
        found.append(row)
    return found, [*known], word_of


def planted(texts: list[list[int]], sizes: Any, n_bytes: int, chance: Any) -> tuple[list[Any], list[tuple[int, ...]]]:
    """About `n_bytes` of shuffled texts, as numbers of pieces; what was copied: length, text from and at, to and at."""
    made: list[Any] = []
    total = 0
    while total < n_bytes:
        words = np.array(texts[len(made) % len(texts)], np.int64)
        blocks = [words[i : i + BLOCK] for i in range(0, len(words), BLOCK)]
        made.append(np.concatenate([blocks[i] for i in chance.permutation(len(blocks))]) if blocks else words)
        total += int(sizes[made[-1]].sum())
    copies = []
    for into in range(9, len(made), 10):
        length = int(chance.choice(LENGTHS))
        of = int(chance.integers(len(made) // 10)) * 10
        if len(made[of]) >= length:
            begin, at = int(chance.integers(len(made[of]) - length + 1)), int(chance.integers(len(made[into]) + 1))
            made[into] = np.concatenate([made[into][:at], made[of][begin : begin + length], made[into][at:]])
            copies.append((length, of, begin, into, at))
    return made, copies


def repeats_of(words: Any, starts: Any) -> Any:
    """Whether each window of WORDS in `words` stands before, without overlap; text i begins at starts[i]."""
    classes, length = np.unique(words, return_inverse=True)[1], 1
    while 2 * length <= WORDS:
        classes, length = both(classes, length), 2 * length
    classes = both(classes, WORDS - length)
    windows = np.arange(len(classes))
    _, first, inverse = np.unique(classes, return_index=True, return_inverse=True)
    first = first[inverse]
    text = np.searchsorted(starts, np.arange(len(words)), side="right")
    inside = text[windows] == text[windows + WORDS - 1]
    return inside & ((text[first] != text[windows]) | (windows - first >= WORDS))


def both(classes: Any, shift: int) -> Any:
    """The classes of windows that are two, `shift` apart, of those of `classes`: equal where both are."""
    pairs = classes[:-shift].astype(np.int64) * (int(classes.max()) + 1) + classes[shift:]
    return np.unique(pairs, return_inverse=True)[1]


def expected_spans(made: list[Any], sizes: Any, word_of: Any) -> list[list[tuple[int, int]]]:
    """The spans of each text in code points, by prefix doubling."""
    separators = -1 - np.arange(len(made))  # each stands nowhere else
    words = np.concatenate([np.append(word_of[row], separators[i]) for i, row in enumerate(made)])
    starts = np.concatenate(([0], np.cumsum([len(row) + 1 for row in made])))[:-1]
    windows = np.flatnonzero(repeats_of(words, starts))
    of = np.searchsorted(starts, windows, side="right") - 1
    places = [np.concatenate(([0], np.cumsum(sizes[row]))) for row in made]
    found: list[list[tuple[int, int]]] = [[] for _ in made]
    for window, row in zip((windows - starts[of]).tolist(), of.tolist(), strict=True):
        found[row].append((int(places[row][window]), int(places[row][window + WORDS])))
    return [union(spans) for spans in found]


def spreading(table: pa.Table) -> dict[str, dict[str, float]]:
    """The keys, and all windows, of texts: MB of text a second of CPU, best of 5, and the bytes that travel."""
    table = table.append_column("row", pa.array(np.arange(table.num_rows)))
    n_bytes = pc.sum(pc.binary_length(table["text"])).as_py()
    figures = {}
    for name, shuffle in (("keys", Winnowing(WORDS)), ("all_windows", ExactSubstring(WORDS, narrowed=False))):
        best = float("inf")
        for _ in range(5):
            begin = time.process_time()
            rows = shuffle.spread(table)
            best = min(best, time.process_time() - begin)
        order = np.argsort(rows["key"].to_numpy())
        pq.write_table(rows.take(pa.array(order)), file := io.BytesIO(), compression="zstd")
        figures[name] = {
            "mb_per_cpu_second": round(n_bytes / best / 1e6, 1),
            "spill_bytes_per_text_byte": round(len(file.getvalue()) / n_bytes, 3),
            "arrow_bytes_per_text_byte": round(rows.nbytes / n_bytes, 3),
        }
    return figures


def found_spans(output: Path) -> tuple[dict[int, list[tuple[int, int]]], int]:
    """The spans of each row that has any, and how many code points are left."""
    spans, left = {}, 0
    for file in [*output.glob("cut/data/*.parquet"), *output.glob("cut/removed/*.parquet")]:
        table = pq.read_table(file, columns=["id", "n_chars", "repeats"])
        left += sum(table["n_chars"].to_pylist()) if file.parent.name == "data" else 0
        for id_, found in zip(table["id"].to_pylist(), table["repeats"].to_pylist(), strict=True):
            if found:
                spans[int(id_)] = [(span["start"], span["end"]) for span in found]
    return spans, left


def by_length(copies: list[tuple[int, ...]], made: list[Any], sizes: Any, spans: dict[int, Any]) -> dict[str, float]:
    """Of the planted runs of each length, the share whose later place is within one span."""
    counts: dict[int, list[bool]] = defaultdict(list)
    for length, of, begin, into, at in copies:
        row, word = max((of, begin), (into, at))
        places = np.concatenate(([0], np.cumsum(sizes[made[row]])))
        start, end = int(places[word]), int(places[word + length])
        counts[length].append(any(s <= start and end <= e for s, e in spans.get(row, [])))
    return {str(length): round(float(np.mean(counts[length])), 4) for length in sorted(counts)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--files", type=int, default=8)
    arguments = parser.parse_args()
    texts, surface, words = pieces()
    sizes, n_bytes = np.array([*map(len, surface)]), np.array([len(piece.encode()) for piece in surface])
    made, copies = planted(texts, n_bytes, int(arguments.megabytes * 1e6), np.random.default_rng(1))
    values = ["".join([surface[piece] for piece in row]) for row in made]
    table = pa.table({"id": [f"{i:08}" for i in range(len(made))], "text": pa.array(values, c.TEXT)})
    text_bytes = sum(int(n_bytes[row].sum()) for row in made)
    n_words = sum(map(len, made))
    runner = Measuring()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in").mkdir()
        for number in range(arguments.files):
            part = table.take(pa.array(range(number, table.num_rows, arguments.files)))
            pq.write_table(part, f"{folder}/in/{number}.parquet", row_group_size=2000)
        rates = spreading(table.slice(0, SAMPLE_ROWS))
        plan = make_plan(dedup_substring(), list_inputs([f"{folder}/in"]))
        begin = time.process_time()
        run(plan, f"{folder}/out", runner, Options(quiet=True))
        seconds = time.process_time() - begin
        plans = [json.loads(Path(f"{folder}/out/{step}/shuffle/plan.json").read_text()) for step in ("winnow", "cut")]
        found, left = found_spans(Path(folder) / "out")
    expected = {row: spans for row, spans in enumerate(expected_spans(made, sizes, np.array(words))) if spans}
    both_ = sum(len(set(found.get(row, [])) & set(spans)) for row, spans in expected.items())
    spill = {name: size for name, size in runner.bytes.items() if name.endswith("rows")}
    record(
        "substring",
        {
            "text_bytes": text_bytes,
            "texts": len(made),
            "words": n_words,
            "spans_expected": sum(map(len, expected.values())),
            "spans_found": sum(map(len, found.values())),
            "spans_equal": both_,
            "share_of_chars_cut": round(1 - left / sum(map(len, values)), 4),
            "planted": len(copies),
            "planted_found_by_words": by_length(copies, made, sizes, found),
            "mb_per_cpu_second_run": round(text_bytes / seconds / 1e6, 2),
            "spread": rates,
            "cpu_seconds": {name: round(value, 2) for name, value in runner.seconds.items()},
            "spill_bytes_per_text_byte": {name: round(size / text_bytes, 4) for name, size in spill.items()},
            "partitions": [plan_["partitions"] for plan_ in plans],
        },
    )


if __name__ == "__main__":
    main()
