"""A fastText classifier from labelled documents, for `FastTextClassifier`:

    headrace train fasttext --input labelled.parquet --label COLUMN --output model.bin

Trained on all documents but a share held back, on which it is measured. Which those are is by a hash of the text, so
that copies of one text are on one side, and the same whatever files the texts are in. All texts are in memory.
"""

import hashlib
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from cluster.errors import ConfigError
from cluster.shards import InputFile, list_inputs
from cluster.storage import Folder, open_input
from schemas.check import nearest
from stages.fasttext_predict import open_classifier
from stages.rate.fasttext_training import Options, train

BATCH_ROWS = 4096


class Labelled(NamedTuple):
    """A text and the label that it should get."""

    text: str
    label: str


def train_fasttext(
    inputs: Sequence[str],
    label: str,
    output: str,
    text: str = "text",
    held_back: float = 0.1,
    options: Options | None = None,
) -> dict[str, Any]:
    """Train, measure and write; what came of it as plain data. `ConfigError` says what is wrong with the data.

    `label` is a column of text, numbers or truth values; rows without a label or a text are left out.
    """
    if not 0 <= held_back < 1:
        raise ConfigError(f"--held-back should be from 0 to 1, 1 left out, got {held_back}")
    options = options or Options()
    rows = [row for file in list_inputs(list(inputs)) for row in _read(file, text, label)]
    # The order of training counts: by a hash, files and their order do not.
    rows.sort(key=lambda row: (xxhash.xxh3_64_intdigest(row.text.encode(), seed=1), row.text, row.label))
    limit = int(held_back * 2**64)
    held = [xxhash.xxh3_64_intdigest(row.text.encode(), seed=2) < limit for row in rows]
    learnt = [row for row, away in zip(rows, held, strict=True) if not away]
    tested = [row for row, away in zip(rows, held, strict=True) if away]
    try:
        trained = train([row.text for row in learnt], [row.label for row in learnt], options)
    except ValueError as error:
        raise ConfigError(f"column {label!r}: {error}") from error
    folder, name = posixpath.split(output)
    Folder(folder or ".").put(name, trained.data)
    return {
        "output": output,
        "sha256": hashlib.sha256(trained.data).hexdigest(),
        "labels": list(trained.labels),
        "texts": len(learnt),
        "words": trained.words,
        "loss": round(trained.loss, 6),
        "options": asdict(options),
        "held_back": measure(trained.data, tested),
    }


def as_text(found: dict[str, Any]) -> str:
    """What came of a training, for a person."""
    held = found["held_back"]
    lines = [f"{found['output']}: {found['texts']:,} texts, {found['words']:,} words, SHA-256 {found['sha256']}"]
    if not held["texts"]:
        return "\n".join([*lines, "measured on nothing: --held-back is 0, or the data is too little"])
    lines.append(
        f"accuracy {held['accuracy']:.4f} on {held['texts']:,} texts held back; "
        f"the commonest label alone has {held['commonest']:.4f}"
    )
    for label, one in held["by_label"].items():
        shares = [
            f"{name} {'-' if one[name] is None else format(one[name], '.4f')}" for name in ("precision", "recall")
        ]
        lines.append(f"  {label}: {', '.join(shares)}, {one['texts']:,} texts")
    return "\n".join(lines)


def measure(model: bytes, rows: Sequence[Labelled]) -> dict[str, Any]:
    """How well the model in these bytes does on `rows`: accuracy, that of the commonest label, and by label."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.bin"
        path.write_bytes(model)
        classifier = open_classifier(path)
        numbers, _ = classifier.best(pa.array([row.text for row in rows], pa.large_string()))
    found = [classifier.labels[number] if number >= 0 else None for number in numbers]
    right = Counter(row.label for row, guess in zip(rows, found, strict=True) if guess == row.label)
    wanted, guessed = Counter(row.label for row in rows), Counter(found)
    return {
        "texts": len(rows),
        "accuracy": _share(sum(right.values()), len(rows)),
        "commonest": _share(max(wanted.values(), default=0), len(rows)),
        "by_label": {
            label: {
                "texts": wanted[label],
                "precision": _share(right[label], guessed[label]),
                "recall": _share(right[label], wanted[label]),
            }
            for label in classifier.labels
        },
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _read(file: InputFile, text: str, label: str) -> Iterator[Labelled]:
    """The labelled texts of a file."""
    with open_input(file.uri) as opened:
        try:
            parquet = pq.ParquetFile(opened)
        except pa.ArrowInvalid as error:
            raise ConfigError(f"{file.uri}: no Parquet file: {error}") from error
        schema = parquet.schema_arrow
        for name, option in ((text, "--text"), (label, "--label")):
            if name not in schema.names:
                hint = nearest(name, schema.names)
                raise ConfigError(f"{file.uri}: no column {name!r}{hint} (there: {', '.join(schema.names)}); {option}")
        for batch in parquet.iter_batches(BATCH_ROWS, columns=list(dict.fromkeys((text, label)))):
            table = pa.Table.from_batches([batch])
            try:
                given = pc.cast(table.column(label), pa.string())
            except pa.ArrowNotImplementedError as error:
                raise ConfigError(f"{file.uri}: {label!r} is {schema.field(label).type}, expected one label") from error
            texts = table.column(text).to_pylist()
            yield from (
                Labelled(t, one) for t, one in zip(texts, given.to_pylist(), strict=True) if t is not None and one
            )
