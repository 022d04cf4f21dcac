"""A document's quality, or whatever else a fastText classifier was trained to tell apart."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas import columns as c
from schemas.check import nearest
from stages.fasttext_model import read_labels
from stages.fasttext_predict import Classifier, open_classifier
from stages.model_file import checksum, is_url, locate
from stages.rate.rater import DECIMALS
from stages.stage import Resources, Rows, StageError, Transform, set_columns
from stages.verdict import reasons

Keep = Literal["above", "below"]
REASON = "fasttext_score"
FLOOR = np.float32(1e-5)  # what fastText adds to a probability before its logarithm


class Found(NamedTuple):
    """By text: the number of the likeliest label (-1: nothing in it is known), and the score of the wanted one."""

    best: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]


@dataclass(frozen=True)
class FastTextClassifier:
    """Adds `fasttext_label`, the most probable label, and `fasttext_score`, the probability of `label`.

    `model` is any supervised fastText model (.bin or .ftz), as a path, or an http(s) URL with `model_sha256`: that of
    DCLM, of perplexity correlations (label `include`), or one that `headrace train fasttext` made. `label` is one of
    its labels without `__label__`. A text is given whole, newlines as spaces, with its case as it is.

    `keep` says on which side of `threshold` documents stay: `above` it (quality), or `below` (toxicity, spam). The
    others are dropped (reason `fasttext_score`); null keeps all. A text in which the model knows nothing has neither
    label nor score, and is dropped where `above` is asked for.

    Models of two labels with softmax, n-grams of characters and none of words are evaluated by a kernel over Arrow's
    bytes; others by fastText itself, text by text.
    """

    model: str = ""
    model_sha256: str | None = None
    label: str = ""
    threshold: float | None = 0.5
    keep: Keep = "above"
    model_checksum: str | None = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.FASTTEXT_LABEL, c.FASTTEXT_SCORE, c.DROP_REASON])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f"FastTextClassifier.threshold should be from 0 to 1, or null, got {self.threshold}")
        if self.keep not in get_args(Keep):
            raise ValueError(f"FastTextClassifier.keep should be above or below, got {self.keep!r}")
        found = checksum(self.model, self.model_sha256, "FastTextClassifier") if self.model else None
        object.__setattr__(self, "model_checksum", found)
        if found is not None and not is_url(self.model):
            self._number(_labels(self.model, found))

    def open(self) -> Transform:
        if self.model_checksum is None:
            raise StageError(
                "FastTextClassifier has no model: train one with `headrace train fasttext --input DATA --label COLUMN "
                "--output model.bin`, then set FastTextClassifier.model=model.bin and FastTextClassifier.label"
            )
        classifier = open_classifier(locate(self.model, self.model_checksum, "FastTextClassifier"))
        find = finder(classifier, self._number(classifier.labels))
        names = pa.array(classifier.labels, pa.string())
        return lambda table: self._judge(table, find, names)

    def _judge(self, table: pa.Table, find: Callable[[pa.LargeStringArray], Found], names: pa.Array) -> pa.Table:
        found = [find(chunk) for chunk in table.column(c.BODY.name).cast(pa.large_string()).chunks]
        best = np.concatenate([one.best for one in found] or [np.zeros(0, np.int32)])
        score = np.concatenate([one.score for one in found] or [np.zeros(0, np.float32)])
        unknown = best < 0
        drop: list[str | None] = [None] * len(best)
        if self.threshold is not None:
            stays = ~unknown & (score > self.threshold) if self.keep == "above" else unknown | (score < self.threshold)
            drop = [None if one else REASON for one in stays]
        return set_columns(
            table,
            fasttext_label=names.take(pa.array(best, mask=unknown)),
            fasttext_score=pa.array(score, pa.float32(), mask=unknown),
            drop_reason=reasons(drop),
        )

    def _number(self, labels: tuple[str, ...]) -> int:
        if self.label not in labels:
            there = ", ".join(labels[:10])
            hint = nearest(self.label, list(labels))
            raise ValueError(f"FastTextClassifier.label: {self.model} has no label {self.label!r}{hint} ({there})")
        return labels.index(self.label)


def finder(classifier: Classifier, wanted: int) -> Callable[[pa.LargeStringArray], Found]:
    """What finds the likeliest label of each text and the score of label number `wanted`, in the cheapest way."""

    def of_two(texts: pa.LargeStringArray) -> Found:
        best, score = classifier.best(texts)
        other = (best >= 0) & (best != wanted)
        score[other] = np.float32(1) + 2 * FLOOR - score[other]  # both of fastText's scores have the floor in them
        return Found(best, rounded(score))

    def of_many(texts: pa.LargeStringArray) -> Found:
        best, score = np.full(len(texts), -1, np.int32), np.zeros(len(texts), np.float32)
        numbers = {label: number for number, label in enumerate(classifier.labels)}
        for row, text in enumerate(texts.to_pylist()):
            shares = {} if text is None else classifier.above(text, 0.0)
            if shares:
                best[row] = numbers[max(shares, key=shares.__getitem__)]
                score[row] = shares.get(classifier.labels[wanted], 0.0)
        return Found(best, rounded(score))

    return of_two if len(classifier.labels) == 2 and classifier.arrays is not None else of_many


def rounded(score: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Scores as probabilities: fastText's may be a little above 1."""
    return np.clip(score.astype(np.float64).round(DECIMALS), 0, 1).astype(np.float32)


@lru_cache(maxsize=8)
def _labels(path: str, _checksum: str) -> tuple[str, ...]:
    return read_labels(Path(path).expanduser())
