"""MinHash signatures of the same real texts: ours beside datatrove, datasketch and rensa, one core.

    python benchmarks/minhash.py [--rounds N] [--rows N]

From UTF-8 in Arrow to signatures, 5-word shingles, 112 and 256 permutations, in turns, the best of N rounds of CPU
time. datatrove: its own class, shingles and signature, without writing files. It and datasketch get a sample of the
texts; times are per text of mean length. datasketch and rensa get each text's shingles from the least Python that makes
them (lower case, split at white space, join); `shingles given` is their time without that. The first call of a process
is told apart, with a cold cache of machine code (compiling) and a warm one. Needs the extra `bench`.
"""

import argparse
import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import datasketch
import datatrove
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rensa
import xxhash
from datatrove.utils.hashing import HashConfig
from first_call import first_call
from record import record

from stages.minhash_signature import MinHashSignature

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FILES = ("webtext-dev.parquet", "neardup-news-docs-dev.parquet")
N_GRAMS, BANDS = 5, {112: (14, 8), 256: (32, 8)}
FIRST_CALL = """
import time
import pyarrow as pa
from stages.minhash_signature import MinHashSignature
table = pa.table({"text": pa.array(["a b c d e f"], pa.large_string())}); begun = time.process_time()
MinHashSignature().open()(table); print(time.process_time() - begun)
"""

Run = Callable[[], object]


def datatroves(permutations: int, hash_name: str, folder: str) -> Any:
    """Its signature block. The module alone is imported: the package around it needs tokenizers."""
    path = Path(datatrove.__file__).parent / "pipeline" / "dedup" / "minhash.py"
    spec = importlib.util.spec_from_file_location("datatrove_minhash", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    buckets, hashes = BANDS[permutations]
    config = module.MinhashConfig(N_GRAMS, buckets, hashes, hash_config=HashConfig(hash_fc=hash_name))
    block = module.MinhashDedupSignature(folder, config, language="en")
    if hash_name == "xxhash":  # datatrove hands it text, which xxhash 4 no longer encodes
        block._hash_func = lambda shingle: xxhash.xxh64_intdigest(shingle.encode())
    return block


def shingles(text: str) -> list[str]:
    words = text.lower().split()
    return [" ".join(words[i : i + N_GRAMS]) for i in range(len(words) - N_GRAMS + 1)]


def runs(table: pa.Table, permutations: int, folder: str) -> dict[str, tuple[Run, int]]:
    """Every implementation by name: what to time, and how many of the table's first rows it gets."""
    buckets, hashes = BANDS[permutations]
    n, some = table.num_rows, min(table.num_rows, 150)
    column = table.column("text")
    texts = column.to_pylist()[:some]
    given = [shingles(text) for text in column.to_pylist()]
    encoded = [[s.encode() for s in row] for row in given[:some]]
    found: dict[str, tuple[Run, int]] = {}

    def ours(kind: Any) -> Run:
        transform = MinHashSignature(N_GRAMS, buckets, hashes, shingles=kind).open()
        return lambda: transform(table if kind == "fast" else table[:some])

    def theirs(block: Any) -> Run:
        return lambda: [block.get_signature(s) for s in map(block.get_shingles, texts) if s.size]

    def sketch(rows: Callable[[], list[list[bytes]]]) -> Run:
        def sign() -> None:
            for row in rows():
                datasketch.MinHash(permutations).update_batch(row)

        return sign

    def rmin(rows: Callable[[], list[list[str]]]) -> Run:
        return lambda: rensa.RMinHash.digest_matrix_from_token_sets(rows(), permutations, 1)

    def rmin_one(rows: Callable[[], list[list[str]]]) -> Run:
        def sign() -> None:
            for row in rows():
                rensa.RMinHash(permutations, 1).update(row)

        return sign

    found["headrace fast"] = ours("fast"), n
    found["headrace datatrove_sha1"] = ours("datatrove_sha1"), some
    for name in ("sha1", "xxhash"):
        found[f"datatrove {name}"] = theirs(datatroves(permutations, name, folder)), some
    found["datasketch"] = sketch(lambda: [[s.encode() for s in shingles(t)] for t in column.to_pylist()[:some]]), some
    found["datasketch, shingles given"] = sketch(lambda: encoded), some
    found["rensa"] = rmin(lambda: [shingles(t) for t in column.to_pylist()]), n
    found["rensa, one by one"] = rmin_one(lambda: [shingles(t) for t in column.to_pylist()]), n
    found["rensa, shingles given"] = rmin(lambda: given), n
    return found


def error_of_estimates(table: pa.Table) -> dict[str, float]:
    """Deviation of estimates from exact Jaccard, in units of the theory's, over 10,000 random pairs of cut-up texts."""
    rng = np.random.default_rng(1)
    words = [text.lower().split() for text in table.column("text").to_pylist()]
    vocabulary = np.array(sorted({w for row in words for w in row if w.isascii() and w.isalpha()}))
    first = rng.integers(0, len(vocabulary), (10_000, 80))
    second = first.copy()
    for row, changes in enumerate(rng.integers(0, 16, len(first))):
        second[row, rng.integers(0, 80, changes)] = rng.integers(0, len(vocabulary), changes)
    sign, sides = MinHashSignature().open(), []
    for side in (first, second):
        column = pa.array([" ".join(vocabulary[row]) for row in side], pa.large_string())
        sides.append(sign(pa.table({"text": column})).column("signature").combine_chunks().values.to_numpy())
    estimates = (sides[0] == sides[1]).reshape(len(first), -1).mean(axis=1)
    sets = [[{tuple(row[i : i + 5]) for i in range(76)} for row in side.tolist()] for side in (first, second)]
    exact = np.array([len(a & b) / len(a | b) for a, b in zip(*sets, strict=True)])
    inner = (exact > 0) & (exact < 1)
    errors = (estimates - exact)[inner] / np.sqrt(exact * (1 - exact) / 112)[inner]
    return {"pairs": int(inner.sum()), "bias": round(float(errors.mean()), 4), "std": round(float(errors.std()), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description="MinHash signatures beside datatrove, datasketch and rensa.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=10_000)
    arguments = parser.parse_args()
    text = pa.schema([("text", pa.large_string())])
    tables = [pq.read_table(DATA / name, columns=["text"]).cast(text) for name in FILES]
    table = pa.concat_tables(tables)[: arguments.rows].combine_chunks()
    order = np.random.default_rng(0).permutation(table.num_rows)  # the first rows are a sample of all
    table = table.take(order)
    figures: dict[str, Any] = {"texts": table.num_rows, "bytes_per_text": round(table.nbytes / table.num_rows)}
    mean = table.nbytes / table.num_rows
    figures["peers"] = {name: metadata.version(name) for name in ("numba", "datasketch", "rensa")}
    with tempfile.TemporaryDirectory() as folder:
        figures["first_call_cpu_s"] = {
            name: round(first_call(FIRST_CALL, f"{folder}/cache"), 2) for name in ("compiling", "compiled")
        }
        for permutations in BANDS:
            todo = runs(table, permutations, folder)
            best = dict.fromkeys(todo, float("inf"))
            todo["headrace fast"][0]()
            for _ in range(arguments.rounds):
                for name, (run, rows) in todo.items():
                    start = time.process_time()
                    run()
                    best[name] = min(best[name], (time.process_time() - start) * mean / table[:rows].nbytes)
            fast = best["headrace fast"]
            figures[f"ms_per_text_{permutations}"] = {name: round(s * 1000, 4) for name, s in best.items()}
            figures[f"times_faster_{permutations}"] = {n: round(s / fast, 1) for n, s in best.items() if s != fast}
    figures["jaccard_error_in_theorys_std"] = error_of_estimates(table)
    record("minhash", figures)


if __name__ == "__main__":
    main()
