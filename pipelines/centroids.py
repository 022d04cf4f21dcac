"""Centroids for semantic dedup, fitted on a sample of a dataset's embeddings:

    python -m pipelines.centroids --input DATA --output centroids.npy

The sample is by a hash of the row's id, so that it is the same however the rows are ordered or cut into files. No more
than the sample is in memory. Runs on torch: on a GPU where there is one, else on the CPU.
"""

import argparse
import hashlib
import io
import json
import math
import posixpath
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from cluster.errors import ConfigError
from cluster.shards import InputFile, list_inputs
from cluster.storage import Folder, open_input
from schemas import columns as c
from schemas.check import nearest
from stages.dedup.vectors import Floats, is_vector, matrix, unit
from stages.ids import id_of, source_of
from stages.models import kmeans

PER_CENTROID = 64  # rows of the sample for each centroid
BATCH_ROWS = 4096


def main(argv: list[str] | None = None) -> int:
    """Fit and write; prints what was fitted as one JSON object. Exit status as `headrace`."""
    arguments = parser().parse_args(argv)
    try:
        print(json.dumps(train(arguments)))
    except (ConfigError, ImportError, ValueError) as error:
        print(f"centroids: {error}", file=sys.stderr)
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    program = argparse.ArgumentParser(prog="python -m pipelines.centroids", description="Centroids for dedup-semantic.")
    program.add_argument("--input", action="append", required=True, metavar="URL", help="Parquet: file, folder or glob")
    program.add_argument("--output", required=True, metavar="FILE.npy", help="where to write them")
    program.add_argument("--column", default="embedding", metavar="NAME", help="lists of numbers (default embedding)")
    program.add_argument("--clusters", type=int, metavar="K", help="how many (default: the square root of the rows)")
    program.add_argument(
        "--sample", type=int, metavar="ROWS", help=f"rows to fit on (default {PER_CENTROID} a cluster)"
    )
    program.add_argument("--iterations", type=int, default=25, metavar="N", help="at most (default 25)")
    program.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of the draw that they begin with (default 1)"
    )
    program.add_argument("--device", metavar="NAME", help="cpu or cuda (default: cuda where there is one)")
    return program


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    """Sample, fit, write. `ConfigError` says what is wrong with the options or the data."""
    for name in ("clusters", "sample", "iterations"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name} should be at least 1, got {value}")
    files = list_inputs(arguments.input)
    n_rows = sum(_count(file) for file in files)
    # Assigning costs rows x k products and comparing rows^2 / k: least together where both are equal.
    k = arguments.clusters or max(math.isqrt(n_rows), 1)
    wanted = arguments.sample or k * PER_CENTROID
    vectors = sample(files, arguments.column, min(wanted / max(n_rows, 1), 1.0))
    if len(vectors) < k:
        raise ConfigError(
            f"{len(vectors)} sampled rows are too few for {k} centroids: lower --clusters or raise --sample"
        )
    found = kmeans.fit(vectors, k, arguments.seed, arguments.iterations, arguments.device)
    data = io.BytesIO()
    np.save(data, found.centroids, allow_pickle=False)
    folder, name = posixpath.split(arguments.output)
    Folder(folder or ".").put(name, data.getvalue())
    return {
        "output": arguments.output,
        "sha256": hashlib.sha256(data.getvalue()).hexdigest(),
        "rows": n_rows,
        "sampled": len(vectors),
        "clusters": k,
        "dimensions": vectors.shape[1],
        "iterations": found.iterations,
        "mean_similarity": round(found.similarity, 6),
    }


def sample(files: list[InputFile] | tuple[InputFile, ...], column: str, share: float) -> Floats:
    """About `share` of the embeddings, scaled to length 1, in the order of a hash of their ids."""
    limit = np.uint64(2**64 - 1 if share >= 1 else int(share * 2**64))
    hashes, vectors, size = [], [], None
    for file in files:
        for ids, embeddings in _read(file, column):
            hashed = np.array([xxhash.xxh3_64_intdigest(id_.encode(), seed=1) for id_ in ids], np.uint64)
            chosen = (hashed <= limit) & embeddings.is_valid().to_numpy()
            some = embeddings.filter(pa.array(chosen))
            if size is None and len(some):
                size = len(some[0])
            if size is not None and len(some):
                found, good = unit(matrix(some, size)[0])
                hashes.append(hashed[chosen][good])
                vectors.append(found[good])
    if not vectors:
        raise ConfigError(f"no row of the sample has a vector in {column!r}")
    values = np.concatenate(vectors)
    # Rows of one id have one hash: what is in them decides, so that the order of files does not.
    order = np.lexsort((*values.T[:4], np.concatenate(hashes)))
    return np.ascontiguousarray(values[order])


def _read(file: InputFile, column: str) -> Iterator[tuple[list[str], pa.ChunkedArray]]:
    """(ids, embeddings) of the rows of a file, some at a time; ids as `ReadParquet` gives them."""
    with open_input(file.uri) as opened:
        parquet = pq.ParquetFile(opened)
        schema = parquet.schema_arrow
        if column not in schema.names:
            raise ConfigError(f"{file.uri}: no column {column!r}{nearest(column, schema.names)}; give --column")
        if not is_vector(schema.field(column).type):
            raise ConfigError(f"{file.uri}: {column!r} is {schema.field(column).type}, expected a list of numbers")
        names = [name for name in (c.ID.name, column) if name in schema.names]
        row = 0
        for batch in parquet.iter_batches(BATCH_ROWS, columns=names):
            given = batch.column(c.ID.name).to_pylist() if c.ID.name in names else [None] * batch.num_rows
            ids = [id_of(source_of(file.uri, row + i)) if id_ is None else str(id_) for i, id_ in enumerate(given)]
            yield ids, pa.chunked_array([batch.column(column)])
            row += batch.num_rows


def _count(file: InputFile) -> int:
    with open_input(file.uri) as opened:
        try:
            return int(pq.ParquetFile(opened).metadata.num_rows)
        except pa.ArrowInvalid as error:
            raise ConfigError(f"{file.uri}: no Parquet file: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
