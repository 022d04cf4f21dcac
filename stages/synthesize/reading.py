"""Documents as reading comprehension: a text, and behind it exercises that it holds already. No model (AdaptLLM)."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import pyarrow as pa

from schemas import columns as c
from stages.rephrase.segments import TOKENS_A_WORD, WORD
from stages.stage import Resources, Rows, Transform, at_least
from stages.synthesize.lots import Lot
from stages.synthesize.mining import MOST, Mined, mine
from stages.synthesize.reading_templates import templates_hash, write_exercises, write_whole
from stages.synthesize.replace import ADDED, replace_texts
from stages.synthesize.word_to_text import Vocabulary, load_vocabulary, word_to_text
from stages.text.words import splitter

NAME = "ReadingComprehension"
LONGEST_TITLE = 200  # characters; a longer first line is text
ALL = 1 << 30

Title = Literal["line", "column", "none"]


class Reading(NamedTuple):
    """A text with its exercises, and which they are."""

    text: str
    rule: str


@dataclass(frozen=True)
class ReadingComprehension:
    """Puts mined exercises behind each text (Cheng et al. 2024, arXiv 2309.09530); `edits` says which.

    Kinds are those of stages/synthesize/mining.py, at most `most` of each, drawn; templates in reading_templates.yaml.
    The title is summarised from the text, or the text completed, or both, or neither, with the paper's odds. `title`:
    the text's first line, unless it is the only one or has over 200 characters, or the column of that name. The text
    is cut to `max_tokens` (the paper's 2048 - 200) at 1.3 tokens a word; null: it is not. `domain` names the field in
    exercises about it, such as biomedicine. `domain_vocabulary` and `general_vocabulary` are files
    (stages/synthesize/word_to_text.py); without them there is no exercise that makes a text of the domain's words.
    Draws depend on `seed` and id; `language` is that of the sentence rules.
    """

    title: Title = "line"
    max_tokens: int | None = 2048 - 200
    most: int = MOST
    domain: str = ""
    domain_vocabulary: str | None = None
    general_vocabulary: str | None = None
    language: str = "en"
    seed: int = 42
    templates_hash: str = field(init=False, default_factory=templates_hash)
    vocabulary_hash: str = field(init=False, default="")

    adds: ClassVar[pa.Schema] = pa.schema(list(ADDED))
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources(memory_gb=1.0)

    def __post_init__(self) -> None:
        if (self.domain_vocabulary is None) != (self.general_vocabulary is None):
            raise ValueError(f"{NAME}: domain_vocabulary and general_vocabulary go together; one of them is not given")
        at_least(self, max_tokens=1)
        if self.most < 0:
            raise ValueError(f"{NAME}.most should be at least 0, got {self.most}")
        if self._vocabulary() is not None:
            files = [Path(str(path)).read_bytes() for path in (self.domain_vocabulary, self.general_vocabulary)]
            object.__setattr__(self, "vocabulary_hash", hashlib.sha256(b"\n\n".join(files)).hexdigest()[:16])

    @property
    def reads(self) -> pa.Schema:
        return pa.schema([c.ID, c.BODY, *([c.TITLE] if self.title == "column" else [])])

    def open(self) -> Transform:
        vocabulary = self._vocabulary()
        return lambda table: self.convert(table, vocabulary)

    def convert(self, table: pa.Table, vocabulary: Vocabulary | None) -> pa.Table:
        """`table` with exercises behind its texts."""
        texts = table.column(c.BODY.name).to_pylist()
        titles = table.column(c.TITLE.name).to_pylist() if self.title == "column" else [None] * len(texts)
        read = [
            self.read(id_, text, title, vocabulary) if text else Reading(text, "")
            for id_, text, title in zip(table.column(c.ID.name).to_pylist(), texts, titles, strict=True)
        ]
        return replace_texts(table, NAME, [r.text for r in read], [r.rule for r in read])

    def read(self, id_: str, text: str, title: str | None, vocabulary: Vocabulary | None) -> Reading:
        """One text with its exercises."""
        lot, given = Lot(self.seed, id_), text
        if self.title == "line":
            title, text = first_line(text)
        title = (title or "").strip()
        short = cut(text, self.max_tokens) if self.max_tokens is not None else text
        mined = self._drawn(mine(short, ALL), lot)
        sentences = splitter(self.language).sentences(short)
        words = word_to_text(sentences, vocabulary, lot) if vocabulary is not None else []
        exercises = write_exercises(mined, words, self.domain, lot)
        whole, written = write_whole(title, short, sentences, exercises, self.domain, lot)
        if whole == "none" and not exercises and short == text:
            return Reading(given, "")
        kinds = Counter([*(m.kind for m in mined), *("word_to_text" for _ in words)])
        rule = [whole, *(f"{kind} {n}" for kind, n in kinds.items()), *(["cut"] if len(short) < len(text) else [])]
        return Reading(written, ", ".join(rule))

    def _drawn(self, mined: list[Mined], lot: Lot) -> list[Mined]:
        """At most so many of each kind."""
        kinds = dict.fromkeys(m.kind for m in mined)
        return [m for kind in kinds for m in lot.shuffled(kind, [m for m in mined if m.kind == kind])[: self.most]]

    def _vocabulary(self) -> Vocabulary | None:
        if self.domain_vocabulary is None or self.general_vocabulary is None:
            return None
        return load_vocabulary(self.domain_vocabulary, self.general_vocabulary)


def first_line(text: str) -> tuple[str, str]:
    """A text's title, which is its first line, and the rest; no title where there is no rest."""
    title, _, rest = text.strip().partition("\n")
    return (title, rest.strip()) if rest.strip() and len(title) <= LONGEST_TITLE else ("", text)


def cut(text: str, tokens: int) -> str:
    """The beginning of a text, of so many tokens at 1.3 a word."""
    words = int(tokens / TOKENS_A_WORD)
    for number, word in enumerate(WORD.finditer(text), 1):
        if number > words:
            return text[: word.start()].rstrip()
    return text
