"""Whether a rewrite is in the language of its source, by the model that the stage `Language` uses."""

from collections.abc import Sequence
from functools import lru_cache

import pyarrow as pa

from schemas import columns as c
from stages.language import Language
from stages.stage import Transform

Label = tuple[str | None, float]


def checksum_of(model: str, sha256: str | None) -> str:
    """The SHA-256 of the model's file; `ValueError` where there is no such file."""
    return Language((), 0.0, model, sha256).model_checksum


def labels(texts: Sequence[str], model: str, checksum: str) -> list[Label]:
    """The most probable language of each text, and its probability."""
    table = _opened(model, checksum)(pa.table({c.BODY.name: pa.array(texts, c.TEXT)}))
    found = zip(*(table.column(name).to_pylist() for name in (c.LANG.name, c.LANG_SCORE.name)), strict=True)
    return [(label, score or 0.0) for label, score in found]


@lru_cache(maxsize=4)
def _opened(model: str, checksum: str) -> Transform:
    return Language((), 0.0, model, checksum).open()
