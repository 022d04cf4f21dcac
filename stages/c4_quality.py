"""Lines and pages that are not prose: C4 (arXiv 1910.10683, 2.2), as datatrove's `C4QualityFilter` in FineWeb."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas import columns as c
from stages.edits import Edit, append_edits
from stages.stage import Resources, Rows, Transform, set_columns
from stages.text.words import Splitter, check_language, splitter
from stages.verdict import reasons

CITATIONS = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
END_PUNCTUATION = (".", "?", "!", '"', "'")
ELLIPSIS = "..."
PAGE_FAULTS = ("lorem_ipsum", "curly_bracket")
POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")


class Cleaned(NamedTuple):
    """Why a text is dropped or None, and the change if there is one, with the text that comes of it."""

    text: str
    reason: str | None
    edits: list[Edit]


@dataclass(frozen=True)
class C4Quality:
    """Drops lines by their words, then pages with too few sentences left, with lorem ipsum or with a curly bracket.

    A line falls to the first of: a word too long, no terminal punctuation, too few words, javascript, the phrase of a
    policy. Citations such as `[1]` and `[edit]` are cut out of it, but count as words. Lorem ipsum is looked for before
    javascript, a bracket before a policy: one in a line that fell earlier does not drop the page.
    FineWeb leaves the rule of terminal punctuation out: `filter_no_terminal_punct` is False here, True in datatrove.
    -1 switches a number off. With `split_paragraph` False sentences take the place of lines.

    Reasons: `lorem_ipsum`, `curly_bracket`, `too_few_sentences`. A kept page's text is its kept lines; if that changed
    it, `edits` gets an entry whose rule names what did: `citation`, the dropped lines' `too_long_word`,
    `no_terminal_punc`, `too_few_words`, `javascript`, `policy`, joined by `+`, or `white_space`.
    """

    split_paragraph: bool = True
    remove_citations: bool = True
    filter_no_terminal_punct: bool = False
    min_num_sentences: int = 5
    min_words_per_line: int = 3
    max_word_length: int = 1000
    filter_lorem_ipsum: bool = True
    filter_javascript: bool = True
    filter_curly_bracket: bool = True
    filter_policy: bool = True
    language: str = "en"

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.BODY, c.N_CHARS, c.EDITS, c.DROP_REASON])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        check_language(self.language)

    def open(self) -> Transform:
        judge = self._judge()

        def transform(table: pa.Table) -> pa.Table:
            arrays, results = [], []
            for array in table.column(c.BODY.name).chunks:
                verdicts = judge(array)
                arrays.append(_replaced(array, {i: v.text for i, v in enumerate(verdicts) if v.edits}))
                results += verdicts
            text = pa.chunked_array(arrays, c.BODY.type)
            table = append_edits(table, type(self).__name__, [v.edits for v in results])
            return set_columns(
                table,
                text=text,
                n_chars=pc.utf8_length(text).cast(pa.int64()),
                drop_reason=reasons([v.reason for v in results]),
            )

        return transform

    def _judge(self) -> Callable[[pa.Array], list[Cleaned]]:
        """Cleans the texts of an array. Lines are the kernel's, but for texts with citations."""
        split = splitter(self.language)
        if not self.split_paragraph:
            return lambda array: [self.clean(text or "", split) for text in array.to_pylist()]
        from stages.kernels.chunks import chunk_table  # noqa: PLC0415 - numba takes 0.4 s to import
        from stages.kernels.lines import Rules, keep_lines  # noqa: PLC0415

        chunks, rules = chunk_table(self.language), Rules(*(getattr(self, name) for name in Rules._fields))

        def judge(array: pa.Array) -> list[Cleaned]:
            kept, left = keep_lines(chunks, array, rules)
            results = [
                Cleaned("", reason, [])
                if text is None
                else Cleaned(text, None, [Edit("+".join(sorted(fired)) or "white_space", before, len(text))])
                for reason, text, fired, before in kept
            ]
            for row in left:
                results[row] = self.clean(array[row].as_py() or "", split)
            return results

        return judge

    def clean(self, text: str, split: Splitter) -> Cleaned:
        """What the rules make of `text`."""
        kept: list[str] = []
        fired: set[str] = set()
        n_sentences = 0
        for line in text.splitlines() if self.split_paragraph else split.sentences(text):
            stripped = line.strip()
            cleaned = CITATIONS.sub("", stripped) if self.remove_citations and "[" in stripped else stripped
            if cleaned != stripped:
                fired.add("citation")
            fault = self._shape_fault(stripped, cleaned) or self._content_fault(cleaned)
            if fault in PAGE_FAULTS:
                return Cleaned(text, fault, [])
            if fault:
                fired.add(fault)
                continue
            if n_sentences < self.min_num_sentences:
                missing = self.min_num_sentences - n_sentences
                n_sentences += split.count_sentences(cleaned, missing) if self.split_paragraph else 1
            kept.append(cleaned)
        if n_sentences < self.min_num_sentences:
            return Cleaned(text, "too_few_sentences", [])
        result = ("\n" if self.split_paragraph else " ").join(kept).strip()
        rule = "+".join(sorted(fired)) or "white_space"
        return Cleaned(result, None, [Edit(rule, len(text), len(result))] if result != text else [])

    def _shape_fault(self, line: str, cleaned: str) -> str | None:
        words = line.split()
        if self.max_word_length != -1 and any(len(word) > self.max_word_length for word in words):
            return "too_long_word"
        if self.filter_no_terminal_punct and (not cleaned.endswith(END_PUNCTUATION) or cleaned.endswith(ELLIPSIS)):
            return "no_terminal_punc"
        return "too_few_words" if len(words) < self.min_words_per_line else None

    def _content_fault(self, line: str) -> str | None:
        lower = line.lower()
        if self.filter_lorem_ipsum and "lorem ipsum" in lower:
            return "lorem_ipsum"
        if self.filter_javascript and "javascript" in lower:
            return "javascript"
        if self.filter_curly_bracket and "{" in line:
            return "curly_bracket"
        return "policy" if self.filter_policy and any(policy in lower for policy in POLICIES) else None


def _replaced(array: pa.Array, texts: dict[int, str]) -> pa.Array:
    """`array` with some of its texts replaced."""
    if not texts:
        return array
    mask = np.zeros(len(array), np.bool_)
    mask[list(texts)] = True
    return pc.replace_with_mask(array, pa.array(mask), pa.array(list(texts.values()), c.BODY.type))
