"""How true a synthetic text is to the document it was made from: what it takes over, and what it adds.

AgoraBench (arXiv 2412.03679) rates synthetic data by intrinsic measures; these are the ones that need no model. A name
is a run of words with capitals that does not merely begin a sentence; it is the document's if its words stand there
one after the other, whatever their case and the signs between them. Numbers are compared by value, as the guards of
rewriting do. Scripts without capitals have no names here.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import pyarrow as pa

from schemas import columns as c
from stages.guards.numbers import NUMBER, novel_numbers
from stages.stage import Resources, Rows, Transform, set_columns
from stages.synthesize.relations import folded

JOINING = r"(?:of|the|de|la|van|von|der|and|für|du|del)"
CASED = range(0x590)  # Latin, Greek, Cyrillic and Armenian
LETTERS = "".join(chr(code) for code in CASED if unicodedata.category(chr(code)) in ("Lu", "Lt"))
CAPITAL = rf"[{LETTERS}][\w'\u2019-]*"
RUN = re.compile(rf"\b{CAPITAL}(?:\s(?:{JOINING}\s)?{CAPITAL})*")
SENTENCE_END = re.compile(r"(?<=[.!?:;])\s+")
WORDS = re.compile(r"\w+")
OPENING = re.compile(r"^\W+")  # quotes, bullets, stars before a sentence
NO_NAMES = re.compile(r"I(?:['\u2019]\w+)?")  # the pronoun


@dataclass(frozen=True)
class Faithfulness:
    """Three rates of a synthetic row against its document, and thresholds that drop by them (null: none).

    `entity_coverage`: of the names that the row was asked to relate (`entities`), those that its text has.
    `novel_entity_rate`: of the names in its text, those that the document lacks; a reason `novel_entities` above the
    threshold. `novel_number_rate`: of the numbers in its text, those that the document lacks; `novel_numbers`. A rate
    of nothing is null. It stands behind the stage that makes the rows: the document's text is not written.
    """

    max_novel_entities: float | None = None
    max_novel_numbers: float | None = None

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY, c.PARENT_TEXT, c.ENTITIES])
    adds: ClassVar[pa.Schema] = pa.schema([c.ENTITY_COVERAGE, c.NOVEL_ENTITY_RATE, c.NOVEL_NUMBER_RATE, c.DROP_REASON])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        for name in ("max_novel_entities", "max_novel_numbers"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"Faithfulness.{name} should be from 0 to 1, got {value}")

    def open(self) -> Transform:
        return self._rate

    def _rate(self, table: pa.Table) -> pa.Table:
        texts = [text or "" for text in table.column(c.BODY.name).to_pylist()]
        asked = [names or () for names in table.column(c.ENTITIES.name).to_pylist()]
        entities: list[float | None] = []
        figures: list[float | None] = []
        for text, source in zip(texts, _sources(table), strict=True):
            entities.append(None if source is None else novel_rate(names_in(text), source.words))
            figures.append(None if source is None else number_rate(text, source.text))
        return set_columns(
            table,
            entity_coverage=pa.array(map(coverage, asked, texts), c.ENTITY_COVERAGE.type),
            novel_entity_rate=pa.array(entities, c.NOVEL_ENTITY_RATE.type),
            novel_number_rate=pa.array(figures, c.NOVEL_NUMBER_RATE.type),
            drop_reason=pa.array(map(self._reason, entities, figures), c.DROP_REASON.type),
        )

    def _reason(self, entities: float | None, figures: float | None) -> str | None:
        limits = (
            ("novel_entities", entities, self.max_novel_entities),
            ("novel_numbers", figures, self.max_novel_numbers),
        )
        return next((r for r, rate, most in limits if rate is not None and most is not None and rate > most), None)


class Source(NamedTuple):
    """A document's text, and the same to look names up in."""

    text: str
    words: str


def _sources(table: pa.Table) -> Iterator[Source | None]:
    """The document of each row; each is made ready once."""
    for chunk in table.column(c.PARENT_TEXT.name).chunks:
        ready = [Source(text or "", words_of(text or "")) for text in chunk.dictionary.to_pylist()]
        yield from (None if place is None else ready[place] for place in chunk.indices.to_pylist())


def names_in(text: str) -> list[str]:
    """Names in `text`, each once: runs of capitalised words, one alone only inside a sentence."""
    found: dict[str, None] = {}
    for line in text.split("\n"):
        if line.startswith("#"):  # a heading has capitals for other reasons
            continue
        for sentence in SENTENCE_END.split(line.strip()):
            for match in RUN.finditer(OPENING.sub("", sentence)):
                words = match[0].split()
                if match.start() == 0:  # the sentence's own capital
                    words = words[1:]
                    while words and not words[0][0].isupper():
                        words = words[1:]
                if words and not NO_NAMES.fullmatch(" ".join(words)):
                    found.setdefault(" ".join(words))
    return list(found)


def words_of(text: str) -> str:
    """Its words alone, whatever their case, each between blanks: names are whole words of it."""
    return f" {' '.join(WORDS.findall(text.casefold()))} "


def novel_rate(names: Sequence[str], source: str) -> float | None:
    """Of `names`, those that `source` (as `words_of` gives it) lacks; the 's of a genitive does not count."""
    if not names:
        return None
    bare = (name.removesuffix("'s").removesuffix("\u2019s") for name in names)
    return sum(words_of(name) not in source for name in bare) / len(names)


def number_rate(text: str, source: str) -> float | None:
    """Of the numbers in `text`, those that `source` lacks."""
    there = set(NUMBER.findall(text))
    return len(set(novel_numbers(source, text))) / len(there) if there else None


def coverage(asked: Sequence[str], text: str) -> float | None:
    """Of the names `asked` for, those that `text` has."""
    if not asked:
        return None
    whole = folded(text)
    return sum(folded(name) in whole for name in asked) / len(asked)
