"""Cheap tests of a page before its text is extracted: only what may come through the filters is worth extracting."""

import re
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas import columns as c
from stages.gopher_quality import STOP_WORDS
from stages.language import BUNDLED, Language
from stages.stage import Resources, Rows, Transform, set_columns

WORDS_A_RUN = 3  # the most words that spaCy's English makes of a run of letters: shouldntve is should, nt, ve
SURELY = 4  # different stop words in a sample that is not asked for its language
LETTERS = re.compile(r"[A-Za-z\u00c0-\u07ff]+")  # a word of other characters is not looked for
LANGUAGE, SHORT_DOC, FEW_STOP_WORDS = 1, 2, 3
UNKNOWN = pa.schema([c.LANG, c.LANG_SCORE]).empty_table()
REASONS = pa.array([None, "screen_language", "screen_short_doc", "screen_stop_words"], pa.string())


@dataclass(frozen=True)
class Screen:
    """Drop pages that cannot come through the filters behind extraction, by their HTML without its markup.

    Its place is before extraction, which is dearer, with the settings of the filters behind it: `--set` of those sets
    these (pipelines/config.py), a recipe of your own has to say them. Rows without `html` (WET records) pass. None
    switches a test off. Reasons, in the order in which they are tested:

    `screen_language`: the first `sample_bytes` of prose (stretches of `segment_bytes` or more between tags that begin
    a line) are in none of `languages`, with a score above `language_bound`. The bound is measured, not proved: no page
    that the recipe `web` keeps is lost (benchmarks/screen.py). A sample with 4 stop words is not asked for its
    language if `min_stop_words` is set.

    `screen_short_doc`: so few runs of letters or of digits in the whole page, scripts and styles left out, that they
    are less than `min_words` words however they are split (`GopherQuality.min_doc_words`).

    `screen_stop_words`: less than `min_stop_words` different `stop_words` in the whole page, case and all (those of
    `GopherQuality`; one that is not of letters alone counts as found). These two are bounds, since extraction returns
    part of the page. What they do not see is text in attributes, and words that tags cut in two.

    `lang` and `lang_score`, of rows that are dropped for their language, are those of the sample.
    """

    languages: tuple[str, ...] = ("en",)
    language_bound: float | None = 0.8
    min_words: int | None = 50
    min_stop_words: int | None = 2
    stop_words: tuple[str, ...] = STOP_WORDS
    sample_bytes: int = 1000
    segment_bytes: int = 40
    model: str = BUNDLED
    model_sha256: str | None = None
    model_checksum: str = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.HTML])
    adds: ClassVar[pa.Schema] = pa.schema([c.LANG, c.LANG_SCORE, c.DROP_REASON])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        for name in ("languages", "stop_words"):
            given: Any = getattr(self, name)
            if isinstance(given, str):
                raise ValueError(f"{name} should be a tuple, such as ({given!r},), got {given!r}")
            object.__setattr__(self, name, tuple(given))
        for name in ("sample_bytes", "segment_bytes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} should be above 0, got {getattr(self, name)}")
        if self.language_bound is not None and not 0 <= self.language_bound <= 1:
            raise ValueError(f"language_bound should be between 0 and 1, or null, got {self.language_bound}")
        tested = self._tests_language
        object.__setattr__(self, "model_checksum", self._language().model_checksum if tested else "")

    def open(self) -> Transform:
        identify = self._language().open() if self._tests_language else None
        if not (identify or self.min_words or self.min_stop_words):
            return lambda table: set_columns(
                _with_languages(table, [False] * len(table), UNKNOWN), drop_reason=pa.nulls(len(table), pa.string())
            )
        from stages.kernels.sift import Limits, forms_of, sift  # noqa: PLC0415 - numba takes 0.4 s to import

        forms = forms_of(self.stop_words)
        unseen = sum(LETTERS.fullmatch(word) is None for word in set(self.stop_words))
        runs = -(-(self.min_words or 0) // WORDS_A_RUN)
        words = max((self.min_stop_words or 0) - unseen, 0)
        # Most pages need not be read to their end: the sample has words enough, or tells of another language.
        sampled = Limits(self.sample_bytes, self.segment_bytes, runs=0, words=0)
        whole = Limits(sample=0, segment=1, runs=runs, words=words)

        def transform(table: pa.Table) -> pa.Table:
            pages = _one_array(table.column(c.HTML.name).cast(c.TEXT))
            verdicts, left = np.zeros(len(pages), np.int64), np.flatnonzero(pages.is_valid())
            found = UNKNOWN
            if identify is not None:
                sifted = sift(pages, forms, sampled)
                if words:  # else they say nothing of `languages`
                    left = left[(sifted.runs[left] < runs) | (sifted.words[left] < max(words, SURELY))]
                found = identify(pa.table({c.BODY.name: sifted.sample.take(pa.array(left))}))
                foreign = self._foreign(found)
                verdicts[left[foreign]] = LANGUAGE
                found, left = found.filter(pa.array(foreign)), left[~foreign]
            table = _with_languages(table, verdicts == LANGUAGE, found)
            sifted = sift(pages.take(pa.array(left)), forms, whole)
            verdicts[left[sifted.words < words]] = FEW_STOP_WORDS
            verdicts[left[sifted.runs < runs]] = SHORT_DOC
            return set_columns(table, drop_reason=REASONS.take(pa.array(verdicts)))

        return transform

    @property
    def _tests_language(self) -> bool:
        return bool(self.languages) and self.language_bound is not None

    def _language(self) -> Language:
        return Language(self.languages, model=self.model, model_sha256=self.model_sha256)

    def _foreign(self, found: pa.Table) -> npt.NDArray[np.bool_]:
        """Which samples, with what `Language` says of them, are surely in none of the languages."""
        other = pc.equal(found.column(c.DROP_REASON.name), "language")
        surely = pc.greater(found.column(c.LANG_SCORE.name), pa.scalar(self.language_bound, pa.float32()))
        there = pc.greater(pc.binary_length(found.column(c.BODY.name)), 0)
        return np.asarray(pc.fill_null(pc.and_(pc.and_(other, surely), there), False))


def _with_languages(table: pa.Table, rows: Any, found: pa.Table) -> pa.Table:
    """`table` with the languages found for `rows`; those of other rows stay, null where none is known."""
    for column in (c.LANG, c.LANG_SCORE):
        there = column.name in table.column_names
        before = table.column(column.name) if there else pa.chunked_array([pa.nulls(len(table), column.type)])
        values = found.column(column.name).combine_chunks()
        after = pc.replace_with_mask(before.combine_chunks(), pa.array(rows), values)
        table = set_columns(table, **{column.name: after})
    return table


def _one_array(column: pa.ChunkedArray) -> pa.LargeStringArray:
    """A column as one array; without a copy where it is one."""
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays([pa.array([], c.TEXT), *column.chunks])
