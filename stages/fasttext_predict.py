"""A fastText classifier over columns of text: in the kernel where it can be, else text by text by fastText itself."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from fasttext.FastText import _FastText

from stages.fasttext_model import LABEL, Arrays, read_model
from stages.text.buffers import text_buffers

Predict = Callable[[str, int, float, str], list[tuple[float, str]]]
Found = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Classifier:
    """A model file, opened: its labels without fastText's prefix. Without `arrays` the library predicts."""

    path: Path
    labels: tuple[str, ...]
    arrays: Arrays | None

    @cached_property
    def library(self) -> Predict:
        """The low-level `predict` of fastText, which works in every build and with every NumPy; loaded when asked."""
        model: Any = _FastText(str(self.path))
        predict: Predict = model.f.predict
        return predict

    def best(self, texts: pa.LargeStringArray) -> Found:
        """For each text the number of the most probable label (-1: null, or nothing in it is known) and its score."""
        labels, scores = np.full(len(texts), -1, np.int32), np.zeros(len(texts), np.float32)
        if self.arrays is not None:
            from stages.kernels.fasttext import predict_all  # noqa: PLC0415 - numba takes 0.4 s to import

            data, offsets = text_buffers(texts)
            predict_all(data, offsets, np.asarray(texts.is_valid()), *self.arrays, labels, scores)
        else:
            numbers = {label: number for number, label in enumerate(self.labels)}
            for row, text in enumerate(texts.to_pylist()):
                found = [] if text is None else self.library(one_line(text), 1, 0.0, "strict")
                for score, label in found:
                    labels[row], scores[row] = numbers[label.removeprefix(LABEL)], score
        return labels, np.minimum(scores, np.float32(1))

    def above(self, text: str, threshold: float) -> dict[str, float]:
        """Every label of at least `threshold` and its score."""
        return {label.removeprefix(LABEL): s for s, label in self.library(one_line(text), -1, threshold, "strict")}


def open_classifier(path: Path, *, kernel: bool = True) -> Classifier:
    """The classifier in the file `path`; without `kernel` by fastText's own library in any case."""
    model = read_model(path)
    return Classifier(path, model.labels, model.arrays if kernel else None)


def one_line(text: str) -> str:
    """A text as fastText wants it: newlines as spaces, and one at the end."""
    return text.replace("\n", " ") + "\n"
