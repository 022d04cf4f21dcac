"""Documents that share n-grams with the test items of benchmarks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas import columns as c
from schemas.check import nearest
from stages.decontamination.cut import Limits, cut
from stages.decontamination.index import Found, Index, Rule
from stages.decontamination.items import read_items
from stages.decontamination.words import SYMBOLS
from stages.edits import Edit, append_edits
from stages.model_file import checksum, locate
from stages.stage import Resources, Rows, StageError, Transform, at_least, set_columns

Action = Literal["drop", "cut", "mark"]
REASON = "contaminated"
CLEAN = Found([], [])


@dataclass(frozen=True)
class Decontaminate:
    """Find documents that have a test item of a benchmark in them, or a part of it.

    `benchmarks`: a Parquet or JSON lines file of items, as a path, or an http(s) URL with `benchmarks_sha256`. A row
    has `benchmark`, `item`, and the item's fields or all of them as JSON in `json`. Which of these are looked for is in
    stages/decontamination/items.py; `fields` ({benchmark: [field, ...]}) says it for others or instead.

    `rule`, each as published (stages/decontamination/index.py has them in full; `n` and `threshold` change them):

    - `gpt3`: one n-gram of prompt and answer, n from 8 to 13 by benchmark. N-grams of more than `too_common` items (10)
      say nothing, nor do those in the file `ignore`, one a line.
    - `tulu3`: more than half of the words of the prompt are in 8-grams of this document.
    - `datatrove`: one 12-gram of the answer or across its border, as `NGramsDecontFilter`.
    - `cosmopedia`: one 10-gram, and difflib finds more than half of the prompt.

    `contaminated_by` names the items whose score is above the threshold, whatever `action` is. `mark` does no more.
    `drop` drops the documents: reason `contaminated`. `cut`, for `gpt3` alone, takes the n-grams out with `window` code
    points on either side, leaves pieces under `min_piece` out, joins the others by an empty line, and drops (the same
    reason) what would be in more than `max_pieces` or has none.

    Every text passes a kernel that finds all n-grams by their letters; only those it stops are split into words and
    compared, so that no hash decides.
    """

    benchmarks: str = ""
    benchmarks_sha256: str | None = None
    rule: Rule = "gpt3"
    action: Action = "drop"
    n: int | None = None
    threshold: float | None = None
    too_common: int | None = None
    ignore: str | None = None
    fields: dict[str, list[str]] = field(default_factory=dict, hash=False)
    window: int = 200
    min_piece: int = 200
    max_pieces: int = 10
    files_sha256: tuple[str, ...] = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.BODY, c.N_CHARS, c.EDITS, c.CONTAMINATED_BY, c.DROP_REASON])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        for name, kind in (("rule", Rule), ("action", Action)):
            value, known = getattr(self, name), list(get_args(kind))
            if value not in known:
                raise ValueError(f"{name} should be one of {', '.join(known)}, got {value!r}{nearest(value, known)}")
        at_least(self, n=1)
        if self.action == "cut" and self.rule != "gpt3":
            raise ValueError(f"action 'cut' is of rule 'gpt3'; {self.rule!r} takes 'drop' or 'mark'")
        object.__setattr__(self, "files_sha256", self._checksums())

    def open(self) -> Transform:
        from stages.kernels.ngrams import may_contain, screen_for  # noqa: PLC0415 - numba takes 0.4 s to import

        index = self.index()
        exact = self.rule == "datatrove"  # its tokens may begin within a word, and its numbers are 0
        screen = screen_for([*index.postings], SYMBOLS[self.rule], anywhere=exact, numbers=exact)

        def find(array: pa.LargeStringArray) -> list[Found]:
            found = [CLEAN] * len(array)
            for row in np.flatnonzero(may_contain(array, screen)).tolist():
                found[row] = index.find(array[row].as_py())
            return found

        return self._transform(index, find)

    def index(self) -> Index:
        """The index of the items. `StageError` when there is nothing to look for."""
        if not self.benchmarks:
            raise StageError("Decontaminate has no benchmarks: set Decontaminate.benchmarks to a file of test items")
        found = self._checksums()
        if found != self.files_sha256:
            raise StageError(f"Decontaminate: the files have SHA-256 {found}, those of the run {self.files_sha256}")
        items = read_items(locate(self.benchmarks, self.files_sha256[0], "Decontaminate"), self.fields)
        ignored = Path(self.ignore).expanduser().read_text(encoding="utf-8").splitlines() if self.ignore else []
        index = Index(items, self.rule, self.n, self.threshold, self.too_common, frozenset(ignored))
        if not index.postings:
            raise StageError(f"Decontaminate: none of {len(items)} items in {self.benchmarks} has an n-gram to find")
        return index

    def _transform(self, index: Index, find: Callable[[pa.LargeStringArray], list[Found]]) -> Transform:
        limits = Limits(self.window, self.min_piece, self.max_pieces)

        def transform(table: pa.Table) -> pa.Table:
            texts = table.column(c.BODY.name).cast(c.BODY.type)
            found = [one for chunk in texts.chunks for one in find(chunk)]
            reasons: list[str | None] = [REASON if one.hits and self.action == "drop" else None for one in found]
            edits: list[list[Edit]] = [[] for _ in found]
            if self.action == "cut" and any(one.hits for one in found):
                values = texts.to_pylist()
                for row in [row for row, one in enumerate(found) if one.hits]:
                    pieces = cut(values[row], found[row].spans, limits)
                    if pieces is None:
                        reasons[row] = REASON
                        continue
                    text = "\n\n".join(pieces)
                    edits[row] = [Edit(REASON, len(values[row]), len(text))]
                    values[row] = text
                texts = pa.chunked_array([values], c.BODY.type)
            table = append_edits(table, type(self).__name__, edits)
            return set_columns(
                table,
                text=texts,
                n_chars=pc.utf8_length(texts).cast(c.N_CHARS.type),
                contaminated_by=pa.array([_named(index, one) for one in found], c.CONTAMINATED_BY.type),
                drop_reason=pa.array(reasons, c.DROP_REASON.type),
            )

        return transform

    def _checksums(self) -> tuple[str, ...]:
        """SHA-256 of the items' file, and of the list of n-grams to ignore if there is one."""
        if not self.benchmarks:
            return ()
        lists = [checksum(self.ignore, None, "Decontaminate")] if self.ignore else []
        return (checksum(self.benchmarks, self.benchmarks_sha256, "Decontaminate"), *lists)


def _named(index: Index, found: Found) -> list[dict[str, Any]] | None:
    """The items of `found`, as `contaminated_by` has them."""
    return [
        {
            "benchmark": index.items[hit.item].benchmark,
            "item": index.items[hit.item].item,
            "score": hit.score,
            "ngram": hit.ngram,
            "places": hit.places,
        }
        for hit in found.hits
    ] or None
