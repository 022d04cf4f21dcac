"""The refiner that headrace brings, on documents held back from its training, beside its rivals. One JSON line.

    python benchmarks/refiner.py [--model FOLDER]

Documents are those of ../shared/data whose site (document, where the site is unknown) is held back, labelled by people
(quality-lines-dev) or by their reference text (pages-dev, extracted in three lenient ways); and clean text of theirs
with generated boilerplate of families that were, and were not, in the training. Each goes the whole way: numbered
chunks, greedy generation, parsing, removal. Rivals: to keep all, the best rule of one number fitted to the source
alone, and one such rule for all sources, which the refiner is too; fitted to the sites that it was trained on. How the
bundled model was made is in its training.json and its card (stages/refine/refiner/README.md).
"""

import argparse
import json
import time
from pathlib import Path

from record import record

from pipelines.labelled import read_documents
from pipelines.train import split
from stages.models.refiner import evaluate, folder, judge

SHARED = Path("../shared/data")
BUNDLED = Path("stages/refine/refiner")


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUNDLED, help="folder of the refiner")
    parser.add_argument("--documents", type=int, default=None, help="at most so many of a source")
    arguments = parser.parse_args()
    import torch  # noqa: PLC0415 - after --help

    torch.set_num_threads(1)
    documents, _ = read_documents(
        [str(SHARED / "quality-lines-dev.parquet")],
        [str(SHARED / "pages-dev.warc.gz")],
        str(SHARED / "pages-dev.truth.parquet"),
    )
    model, tokenizer = folder.load(arguments.model)
    learnt, _, held = split(documents)
    chunk_tokens = json.loads((arguments.model / folder.PROFILE).read_text())["chunk_tokens"]
    begun = time.process_time()
    found = judge.judge(
        learnt,
        held,
        evaluate.generator(model, tokenizer),
        evaluate.token_cost(tokenizer),
        chunk_tokens,
        most=arguments.documents,
    )
    training = json.loads((arguments.model / folder.TRAINING).read_text())
    files = sum(path.stat().st_size for path in arguments.model.iterdir())
    record(
        "refiner",
        {
            "parameters": sum(p.numel() for p in model.parameters()),
            "bytes": files,
            "trained_cpu_seconds": training["cpu_seconds"],
            "judged_cpu_seconds": round(time.process_time() - begun, 1),
            "held_back": found,
        },
    )


if __name__ == "__main__":
    main()
