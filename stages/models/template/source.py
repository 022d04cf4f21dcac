"""What the template engine finds in a text: sentences, names, the words it turns on, and gaps to be filled."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

SENTENCE = re.compile(r"[^\n]*?(?:[.!?\u3002\uff01\uff1f]+[\"'\u201d\u2019)\]]*(?=\s|$)|[\u3002\uff01\uff1f]|\n|$)")
CLAUSE = re.compile(r"(?<=[,;:])\s+")
WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
FIRST = re.compile(r"[^\W_]")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
LONGEST_NAME, LONGEST_WORD = 100, 40  # characters
KEY = 5  # letters that a word has at least that a text turns on
GAP = "\u2026"
JOINING = ("of", "the", "de", "la", "van", "von", "der", "du", "del")
ENGLISH = 0.15  # share of common words from which a text is taken for English


class Cloze(NamedTuple):
    """A sentence with a gap, and what belongs there."""

    question: str
    answer: str


@cache
def words() -> dict[str, Any]:
    """What is in words.yaml."""
    data: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("words.yaml").read_text(encoding="utf-8"))
    return data


@cache
def common() -> frozenset[str]:
    """English words that tell nothing of a subject."""
    return frozenset(words()["common"].split())


@dataclass(frozen=True)
class Source:
    """A text that prompts are about."""

    text: str

    @cached_property
    def sentences(self) -> list[str]:
        """Runs up to a full stop or the end of a line, without white space around them."""
        return [bare for match in SENTENCE.finditer(self.text) if any(map(str.isalnum, bare := match[0].strip()))]

    @cached_property
    def parts(self) -> list[str]:
        """The sentences; the clauses of the one, where there is one alone."""
        if len(self.sentences) != 1:
            return self.sentences
        return [part for part in CLAUSE.split(self.sentences[0]) if any(map(str.isalnum, part))]

    @cached_property
    def names(self) -> list[str]:
        """Runs of words with capitals, each once, in order; a word that merely begins a sentence is none."""
        runs = [run for sentence in self.sentences for run in _runs(sentence)]
        inside = {name for name, begins in runs if not begins}
        found: dict[str, str] = {}
        for name, begins in runs:
            if len(name) <= LONGEST_NAME and (name in inside or not begins or " " in name):
                found.setdefault(name.casefold(), name)
        return list(found.values())

    @cached_property
    def keys(self) -> list[str]:
        """Longer words that are no names, the most frequent first."""
        named = {word for name in self.names for word in name.casefold().split()}
        counts = Counter(word for match in WORD.finditer(self.text) if _is_key(word := match[0].lower()))
        return [word for word, _ in counts.most_common() if word not in named and word in self.text]

    @cached_property
    def english(self) -> bool:
        """Whether it has as many common English words as English has."""
        found = [match[0].lower() for match in WORD.finditer(self.text[:5000])]
        return sum(word in common() for word in found) >= ENGLISH * len(found) > 0

    def topics(self, sentences: list[str] | None = None) -> list[str]:
        """One for each sentence: a name or a long word of it, another each time as far as it goes."""
        used: set[str] = set()
        topics = []
        for sentence in self.sentences if sentences is None else sentences:
            there = candidates(sentence, tuple(self.names))
            topic = next((one for one in there if one.casefold() not in used), None)
            topics.append(topic or " ".join(sentence.split()[:5])[:LONGEST_NAME].rstrip(".,;:!?"))
            used.add(topics[-1].casefold())
        return topics


@lru_cache(maxsize=64)
def source(text: str) -> Source:
    """The same text is asked about again and again."""
    return Source(text)


def candidates(sentence: str, names: tuple[str, ...]) -> list[str]:
    """What a sentence may be said to be about: names in it as they come, then its long words, the longest first."""
    there = sorted((name for name in names if name in sentence), key=sentence.index)
    keys = sorted({m[0] for m in WORD.finditer(sentence) if _is_key(m[0].lower())}, key=lambda w: (-len(w), w))
    return [*there, *(key for key in keys if not any(key in name for name in there))]


def cloze(sentence: str, names: tuple[str, ...]) -> Cloze | None:
    """`sentence` as a question: a name, a number or its longest word is left out."""
    numbers = [match[0] for match in NUMBER.finditer(sentence)]
    there = candidates(sentence, names)
    answer = next(iter(there), None) if not numbers or (there and there[0] in names) else numbers[-1]
    if answer is None:
        return None
    before, _, after = sentence.partition(answer)
    return Cloze(f"{before}{GAP}{after}".rstrip(" .!?:;\u3002\uff01\uff1f") + "?", answer)


def _runs(sentence: str) -> Iterator[tuple[str, bool]]:
    """(name, whether it begins the sentence) of every run of words with capitals."""
    run: list[re.Match[str]] = []
    first = FIRST.search(sentence)
    start = first.start() if first else 0
    for match in WORD.finditer(sentence):
        capital = match[0][0].isupper() and len(match[0]) > 1
        beside = bool(run) and sentence[run[-1].end() : match.start()] == " "
        if run and not (beside and (capital or match[0] in JOINING)):
            yield from _named(run, sentence, start)
            run = []
        if capital or run:
            run.append(match)
    yield from _named(run, sentence, start)


def _named(run: list["re.Match[str]"], sentence: str, start: int) -> Iterator[tuple[str, bool]]:
    begins = bool(run) and run[0].start() == start
    while run and run[-1][0] in JOINING:
        run = run[:-1]
    while begins and run and run[0][0].lower() in common():
        run, begins = run[1:], False
        while run and run[0][0] in JOINING:
            run = run[1:]
    if run and not (len(run) == 1 and run[0][0].lower() in common()):
        yield sentence[run[0].start() : run[-1].end()], begins


def _is_key(word: str) -> bool:
    return KEY <= len(word) <= LONGEST_WORD and word not in common()
