"""What the refiner learns from: windows of labelled lines as prompts, and the program that is right for each.

A window is a run of lines of a document, as many as fit a number of tokens. It comes from one of the `Mix` of sources:
documents that people labelled, pages labelled by their reference text, and clean text with generated boilerplate. Real
windows are varied too: without their blank lines, with lines of boilerplate of another document, and counted from
anywhere, since a chunk's numbers go on over the whole document.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from stages.models.refiner.tokenizer import AFTER, FIRST, KEEP, LINE, NEXT, REMOVE
from stages.refine import noise
from stages.refine.labels import Document, is_whole
from stages.refine.lines import numbered
from stages.refine.prompt_format import chunk_prompt

NUMBERS = 1000
GENERATED = "generated"
TAUGHT = "taught"  # how sources begin that a teacher alone has labelled
OTHER = 0.3  # the weight of a source that `Mix` does not name
WRONG = 0.5
HALF = 0.5
STOPS = tuple('.!?"”“»\u3002\uff01\uff1f\u2026')


@dataclass(frozen=True)
class Mix:
    """How windows are drawn: weights of the sources by the first part of their name, and chances of each variation."""

    weights: tuple[tuple[str, float], ...] = (
        ("people", 0.2),
        ("pages/main", 0.16),
        ("pages/recall", 0.08),
        ("pages/all", 0.16),
        ("agreed/main", 0.06),
        ("agreed/recall", 0.02),
        ("agreed/all", 0.06),
        ("taught/text", 0.12),
        ("taught/main", 0.05),
        ("taught/recall", 0.02),
        ("taught/all", 0.04),
        (GENERATED, 0.26),
    )
    begin: float = 0.5  # a window starts where its document does
    shift: float = 0.2  # ... is counted from anywhere
    no_blanks: float = 0.6
    transplant: float = 0.2  # ... gets noise lines of another document
    thinned: float = 0.3  # ... loses some of its lines (in training only, `vary`)
    blurred: float = 0.5  # ... has some of its words replaced


class Window(NamedTuple):
    """Numbered lines from `first` on, with the labels of each: how likely it is noise."""

    first: int
    lines: tuple[str, ...]
    noise: tuple[float, ...]


class Example(NamedTuple):
    """Tokens of prompt and answer, where the answer begins, and what should stand in its place.

    Of each line: where its number is, where it ends, how likely it is noise, what shape it has (`shapes`), where the
    answer has just named it, and what stands there if the line stays; what stands there if it goes is `goes`.
    """

    ids: list[int]
    answer: int
    numbers: list[int]
    ends: list[int]
    noise: list[float]
    shapes: list[list[float]]
    decisions: list[int]
    stays: list[int]
    goes: int
    targets: list[int]


def prompt(first: int, lines: Sequence[str]) -> str:
    """The prompt that the stage makes of these lines, without a wrapper."""
    return chunk_prompt("\n".join(numbered("\n".join(lines), first=first)), "plain")


def program(first: int, lines: Sequence[str], keep: Sequence[bool]) -> str:
    """The program that removes the noise lines: it names every line in a comment, then says whether it goes.

    So each decision is made where the line's number has just been read, and the next number is the next line's. To name
    the runs of noise lines alone is shorter, but asks for a search in every number: at equal cost a model of this size
    learnt to classify lines and not to name them.
    """
    return written(first, noise_lines(lines, keep))


def written(first: int, gone: Sequence[bool]) -> str:
    said = []
    for number, goes in enumerate(gone, first):
        said.append(f"# {number:03d}")
        if goes:
            said.append(f"remove_lines(line_start={number:03d}, line_end={number:03d})")
    return "\n".join(said if any(gone) else [*said, "keep_all()"])


def noise_lines(lines: Sequence[str], keep: Sequence[bool]) -> list[bool]:
    """Which lines go; a blank line does when the nearest lines with text on both sides of it do."""
    return [noise > HALF for noise in noise_odds(lines, [float(not kept) for kept in keep])]


def noise_odds(lines: Sequence[str], noise: Sequence[float]) -> list[float]:
    """How likely each line goes: a blank one as likely as the less likely of the nearest ones with text around it."""
    found = list(noise)
    last = 0.0
    for i, line in enumerate(lines):
        last = noise[i] if line else last
        found[i] = last
    last = 0.0
    for i in range(len(lines) - 1, -1, -1):
        last = noise[i] if lines[i] else last
        found[i] = min(last, found[i])
    return found


def shapes(lines: Sequence[str]) -> list[list[float]]:
    """Of each line, up to about 1: its length, that of the five up to it, its words, and if a sentence ends it."""
    sizes = [math.log1p(len(line)) / 6 for line in lines]
    return [
        [
            sizes[i],
            sum(sizes[max(0, i - 4) : i + 1]) / min(i + 1, 5),
            math.log1p(len(line.split())) / 5,
            float(line.endswith(STOPS)),
        ]
        for i, line in enumerate(lines)
    ]


def example(window: Window, tokenizer: Any, rng: Random | None = None, gone: Sequence[bool] | None = None) -> Example:
    """A window as the model sees it, followed by a program, and what it should write at each place.

    With `rng` some decisions in the program are wrong, up to half of them; the targets are right all the same. Noise
    comes in blocks, and a model that learns from right programs alone goes on as it has begun, whatever the lines say.
    `gone` are the decisions in the program, where they are not drawn.
    """
    ids = tokenizer.encode(prompt(window.first, window.lines))
    noise = noise_odds(window.lines, window.noise)
    share = rng.uniform(0, WRONG) if rng else 0.0
    right = [n > HALF for n in noise]
    gone = gone or [r ^ (rng is not None and rng.random() < share) for r in right]
    line, after, remove, keep = tokenizer.convert_tokens_to_ids([LINE, NEXT, REMOVE, KEEP])
    marks = [i for i, token in enumerate(ids) if token == line]
    whole = [*ids, *tokenizer.encode(written(window.first, gone)), tokenizer.eos_token_id]
    decisions = _decisions(whole, len(ids), tokenizer)
    last = tokenizer.eos_token_id if any(gone[:-1]) else keep
    stays = [after] * (len(gone) - 1) + [last]
    targets = whole[len(ids) :]
    for place, removed, stay in zip(decisions, right, stays, strict=True):
        targets[place + 1 - len(ids)] = remove if removed else stay
    numbers, ends = [mark + 1 for mark in marks], [*marks[1:], len(ids) - 1]
    return Example(whole, len(ids), numbers, ends, noise, shapes(window.lines), decisions, stays, remove, targets)


def _decisions(ids: list[int], answer: int, tokenizer: Any) -> list[int]:
    """Where a line's number in a comment ends: what follows says whether the line goes."""
    naming = set(tokenizer.convert_tokens_to_ids([FIRST, NEXT, AFTER]))
    calling = set(tokenizer.convert_tokens_to_ids([REMOVE, KEEP]))
    following = {*naming, *calling, tokenizer.eos_token_id}
    named, found = False, []
    for place in range(answer, len(ids) - 1):
        named = ids[place] in naming or (named and ids[place] not in calling)
        if named and ids[place] not in naming and ids[place + 1] in following:
            found.append(place)
    return found


class Corpus:
    """Documents by source, and windows drawn from them."""

    def __init__(self, documents: Sequence[Document], mix: Mix | None = None) -> None:
        self.mix = mix or Mix()
        self.sources: dict[str, list[Document]] = defaultdict(list)
        documents = [document for document in documents if any(document.lines)]
        for document in documents:
            self.sources[document.source].append(document)
        labelled = [d for d in documents if not d.source.startswith(TAUGHT)]  # what is made has to be sure
        self.material = noise.material(labelled)
        self.costs: dict[str, int] = {}
        self.families = noise.families(seen=True)
        self.clean = [d for d in labelled if sum(d.keep) >= 3 and not is_whole(d)]
        present = [(n, w) for n, w in self.mix.weights if n in self.sources or (n == GENERATED and self.clean)]
        known = {n for n, _ in self.mix.weights}
        present += [(name, OTHER) for name in self.sources if name not in known]
        if not present:
            raise ValueError("refiner: no document to learn from; give --input files with labelled lines")
        self.names, self.weights = zip(*present, strict=True)
        # A long document has more windows, but it is one site's: the root keeps it from drowning the others.
        self.odds = {name: [len(d.lines) ** 0.5 for d in found] for name, found in self.sources.items()}

    def window(self, rng: Random, tokens: int, tokenizer: Any) -> Window:
        """One window of about `tokens` tokens, of a source drawn by weight."""
        name = rng.choices(self.names, self.weights)[0]
        drawn = self._generated(rng, tokens) if name == GENERATED else self._real(rng, name)
        lines, noise, first = drawn
        number = first
        if rng.random() < self.mix.shift:
            number = rng.randrange(NUMBERS) if rng.random() < 0.97 else rng.randrange(NUMBERS, 3 * NUMBERS)
        total, n = 0, 0
        for n, line in enumerate(lines):
            if (cost := self.costs.get(line)) is None:
                cost = self.costs[line] = len(tokenizer.encode(f"[000]{line}"))
            total += cost
            if total > tokens and n:
                break
        else:
            n += 1
        return Window(number, tuple(lines[:n]), tuple(noise[:n]))

    def _real(self, rng: Random, name: str) -> tuple[list[str], list[float], int]:
        document = rng.choices(self.sources[name], self.odds[name])[0]
        pairs = list(zip(document.lines, document.noise or (float(not kept) for kept in document.keep), strict=True))
        if rng.random() < self.mix.no_blanks:
            pairs = [pair for pair in pairs if pair[0]]
        if rng.random() < self.mix.transplant:
            pairs = self._transplant(rng, pairs)
        first = 0 if rng.random() < self.mix.begin else rng.randrange(max(len(pairs) - 3, 1))
        return [line for line, _ in pairs[first:]], [noise for _, noise in pairs[first:]], first

    def _transplant(self, rng: Random, pairs: list[tuple[str, float]]) -> list[tuple[str, float]]:
        """`pairs` with a run of noise of another document in it."""
        sure = [n for n in self.names if n != GENERATED and not n.startswith(TAUGHT)]
        other = rng.choice(self.sources[rng.choice(sure or [n for n in self.names if n != GENERATED])])
        places = [i for i, kept in enumerate(other.keep) if not kept and other.lines[i]]
        if not places:
            return pairs
        begin = rng.choice(places)
        run = []
        for line, kept in zip(other.lines[begin : begin + rng.randint(1, 12)], other.keep[begin:], strict=False):
            if kept:
                break
            run.append((line, 1.0))
        at = rng.randint(0, len(pairs))
        return [*pairs[:at], *run, *pairs[at:]]

    def _generated(self, rng: Random, tokens: int) -> tuple[list[str], list[float], int]:
        document = rng.choice(self.clean)
        clean = [line for line, kept in zip(document.lines, document.keep, strict=True) if kept and line]
        begin = rng.randrange(len(clean))
        want = rng.randint(1, max(2, tokens // 50))
        made = noise.chunk(rng, clean[begin : begin + want], document.lang, self.families, self.material)
        if not made.lines:
            return clean[:want], [0.0] * len(clean[:want]), 0
        return list(made.lines), [float(not kept) for kept in made.keep], 0
