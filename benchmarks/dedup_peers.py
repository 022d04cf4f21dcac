"""The other sides of benchmarks/dedup.py: one fuzzy dedup of a folder of Parquet (id, text), in this process.

    python benchmarks/dedup_peers.py datatrove|text-dedup INPUT OUTPUT

datatrove: its four stages (signature, buckets, cluster, filter) with sha1 as FineWeb, kept and removed rows as Parquet,
and the number of the cluster with each. text-dedup: its script `minhash`, one process. Both with shingles of 5 words
and 14 bands of 8. OUTPUT/clusters.json: the ids of each cluster of two or more, the one that stays first.
"""

import argparse
import importlib.util
import json
import pickle
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

N_GRAMS, BANDS, ROWS = 5, 14, 8


def datatroves_minhash() -> Any:
    """Its module alone: the package around it does not import without the tokenizers that other blocks need."""
    import datatrove  # noqa: PLC0415 - text-dedup's environment need not have it

    path = Path(datatrove.__file__).parent / "pipeline" / "dedup" / "minhash.py"
    spec = importlib.util.spec_from_file_location("datatrove_minhash", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def by_datatrove(source: Path, output: Path) -> list[list[str]]:
    """One task a file, one worker: nothing is started beside this process."""
    from datatrove.executor import LocalPipelineExecutor  # noqa: PLC0415
    from datatrove.pipeline.readers.parquet import ParquetReader  # noqa: PLC0415
    from datatrove.pipeline.writers.parquet import ParquetWriter  # noqa: PLC0415
    from datatrove.utils.hashing import HashConfig  # noqa: PLC0415

    minhash = datatroves_minhash()
    config = minhash.MinhashConfig(N_GRAMS, BANDS, ROWS, hash_config=HashConfig(hash_fc="sha1", precision=64))
    files = len([*source.glob("*.parquet")])
    made = {name: str(output / name) for name in ("signatures", "buckets", "remove", "data", "removed")}
    reader = ParquetReader(str(source), glob_pattern="*.parquet")
    stages = [
        ([reader, minhash.MinhashDedupSignature(made["signatures"], config)], files),
        ([minhash.MinhashDedupBuckets(made["signatures"], made["buckets"], config=config)], BANDS),
        ([minhash.MinhashDedupCluster(made["buckets"], made["remove"], config, save_cluster_id=True)], 1),
        (
            [
                reader,
                minhash.MinhashDedupFilter(made["remove"], ParquetWriter(made["removed"]), load_cluster_ids=True),
                ParquetWriter(made["data"]),
            ],
            files,
        ),
    ]
    for number, (pipeline, tasks) in enumerate(stages):
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=str(output / f"logs-{number}")).run()
    clusters: dict[int, list[str]] = defaultdict(list)
    for part in ("data", "removed"):
        for file in sorted(Path(made[part]).glob("**/*.parquet")):
            for row in pq.read_table(file, columns=["id", "metadata"]).to_pylist():
                if (number := row["metadata"]["minhash_cluster_id"]) != -1:
                    clusters[number].append(row["id"])
    return [*clusters.values()]


def by_text_dedup(source: Path, output: Path) -> list[list[str]]:
    """Its command line; `--debug` makes it tell its union-find, by the number of the row."""
    from text_dedup.minhash import main  # noqa: PLC0415

    files = sorted(source.glob("*.parquet"))
    options = {
        "path": "parquet",
        "data_files": str(source / "*.parquet"),
        "split": "train",
        "cache_dir": str(output / "cache"),
        "output": str(output / "data"),
        "column": "text",
        "ngram": N_GRAMS,
        "num_perm": BANDS * ROWS,
        "b": BANDS,
        "r": ROWS,
        "num_proc": 1,
    }
    command = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    main.main([*command, "--debug"], standalone_mode=False)
    ids = [id_ for file in files for id_ in pq.read_table(file, columns=["id"])["id"].to_pylist()]
    with (output / "data" / "uf.pkl").open("rb") as file:
        found = pickle.load(file)  # written by the line above
    clusters: dict[int, list[str]] = defaultdict(list)
    for row in sorted(found.parent):
        clusters[found.find(row)].append(ids[row])
    return [ids_ for ids_ in clusters.values() if len(ids_) > 1]


SIDES = {"datatrove": by_datatrove, "text-dedup": by_text_dedup}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    clusters = SIDES[arguments.side](arguments.input.resolve(), arguments.output.resolve())
    (arguments.output / "clusters.json").write_text(json.dumps(clusters))


if __name__ == "__main__":
    main()
