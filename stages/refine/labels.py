"""Lines with labels, to teach and to judge a refiner by: what people marked, or a raw extraction against its reference.

Two sources. Rows that carry `lines` and `keep` are labels by people and are taken as they are. A page with a reference
text (what people, or a publisher's own parser, say its main text is) is extracted leniently, and each raw line is
looked up in the reference:

- a line of three words or more is main text when more than half of its runs of three words stand in the reference;
- a shorter one (a heading, a menu entry) when its words stand in the reference between the main lines around it;
- of lines that stand on the page more often than in the reference, those among most main lines are the main text.

Words are lower case; scripts without spaces go by character. A blank line has no label of its own.

Sites, or documents where the site is unknown, are held back by a hash of their name: `is_held_back`. On half of those
the trained refiner's line is drawn, `draws_the_line`, and it is judged by the other half.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from stages.extract import Settings, load

HELD_BACK = 5  # one site in five
RUN = 3
AGREED = 0.5  # Barbaresi 2021 and the extraction benchmarks count a segment as found the same way
NEAR = 5  # lines around a repeated line that vote for it
SLACK = 12  # words by which a short line may stand outside the main lines around it
MIN_RECALL = 0.5  # of the reference's runs in the lines found: below it, page and reference are not of one text
IDEOGRAPHS = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
WORD = re.compile(f"[{IDEOGRAPHS}]|[^\\W{IDEOGRAPHS}]+")


class Document(NamedTuple):
    """Lines of one document; `keep` is true where a line is main text. `site` decides the side of the split.

    `noise`: how likely noise each line is, where a teacher has said so; empty where `keep` is all that is known.
    """

    name: str
    site: str
    lang: str
    source: str
    lines: tuple[str, ...]
    keep: tuple[bool, ...]
    noise: tuple[float, ...] = ()


def is_held_back(site: str) -> bool:
    """One site in five, by SHA-256 of its name: never trained on."""
    return int(hashlib.sha256(site.encode()).hexdigest(), 16) % HELD_BACK == 0


def draws_the_line(site: str) -> bool:
    """Of the sites held back, every other one: how much a removal weighs is set on these, and they judge nothing."""
    digest = int(hashlib.sha256(site.encode()).hexdigest(), 16)
    return digest % HELD_BACK == 0 and digest // HELD_BACK % 2 == 0


def words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def labelled_rows(rows: Iterable[dict[str, Any]], source: str) -> Iterator[Document]:
    """Of rows with `lines` and `keep`, and `doc`, `site`, `lang` where they have them. `ValueError` names the row."""
    for number, row in enumerate(rows):
        lines, keep = row["lines"], row["keep"]
        name = str(row.get("doc") or row.get("id") or number)
        for column, value, kind in (("lines", lines, str), ("keep", keep, bool)):
            if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
                what = "texts" if kind is str else "true and false"
                raise ValueError(f"row {number} ({name}): {column!r} should be a list of {what}, found {value!r:.80}")
        if len(lines) != len(keep):
            raise ValueError(
                f"row {number} ({name}): {len(lines)} lines and {len(keep)} keep flags; there should be one a line"
            )
        clean = tuple(" ".join(line.split()) for line in lines)
        site = str(row.get("site") or name)
        yield Document(name, site, str(row.get("lang") or "un"), source, clean, tuple(keep))


def from_reference(name: str, site: str, lang: str, source: str, raw: str, reference: str) -> Document | None:
    """The lines of `raw` labelled by `reference`; None where the two are not of one text."""
    lines = [" ".join(line.split()) for line in raw.split("\n")]
    keep = align(lines, reference)
    truth, found = _runs(words(reference)), _runs(words("\n".join(l for l, k in zip(lines, keep, strict=True) if k)))
    if not truth or not any(lines) or len(set(truth) & set(found)) < MIN_RECALL * len(set(truth)):
        return None
    return Document(name, site, lang, source, tuple(lines), tuple(keep))


def align(lines: list[str], reference: str) -> list[bool]:
    """Which of `lines` the reference holds."""
    tokens = words(reference)
    places: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, run in enumerate(_runs(tokens)):
        places[run].append(place)
    split = [words(line) for line in lines]
    spans = [_span(line, places) for line in split]
    spans = _drop_repeated(split, spans, Counter(tuple(words(line)) for line in reference.split("\n")), places)
    keep = [span is not None for span in spans]
    before = 0
    after = _next_starts(spans, len(tokens))
    for i, line in enumerate(split):
        span = spans[i]
        if span is not None:
            before = span[1]
        elif 0 < len(line) < RUN and any(keep):
            window = tokens[max(0, before - SLACK) : after[i] + SLACK] if after[i] >= before else []
            keep[i] = _holds(window, line)
    return [k and bool(line) for k, line in zip(keep, split, strict=True)]


def _runs(tokens: list[str]) -> list[tuple[str, ...]]:
    return list(zip(*(tokens[i:] for i in range(RUN)), strict=False))


def _span(line: list[str], places: dict[tuple[str, ...], list[int]]) -> tuple[int, int] | None:
    """Where in the reference the line stands, the first time; None where it does not."""
    runs = _runs(line)
    hits = [run for run in runs if run in places]
    if not runs or len(hits) <= AGREED * len(runs):
        return None
    return places[hits[0]][0], places[hits[-1]][-1] + RUN


def _drop_repeated(
    split: list[list[str]],
    spans: list[tuple[int, int] | None],
    whole: Counter[tuple[str, ...]],
    places: dict[tuple[str, ...], list[int]],
) -> list[tuple[int, int] | None]:
    """Of equal lines keep as many as the reference has: those with most other main lines near."""
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i, line in enumerate(split):
        if spans[i] is not None:
            groups[tuple(line)].append(i)
    for text, indices in groups.items():
        allowed = max(1, whole[text], min(len(places.get(run, ())) for run in _runs(list(text))))
        if len(indices) > allowed:
            ranked = sorted(indices, key=lambda i: (-_main_near(i, split, spans, groups), i))
            for i in ranked[allowed:]:
                spans[i] = None
    return spans


def _main_near(
    i: int, split: list[list[str]], spans: list[tuple[int, int] | None], groups: dict[tuple[str, ...], list[int]]
) -> int:
    """Words of the main lines near line `i` that stand on the page once."""
    near = range(max(0, i - NEAR), min(len(spans), i + NEAR + 1))
    return sum(len(split[j]) for j in near if spans[j] is not None and len(groups[tuple(split[j])]) == 1)


def _next_starts(spans: list[tuple[int, int] | None], end: int) -> list[int]:
    """For each line where the next main line begins in the reference."""
    starts, following = [], end
    for span in reversed(spans):
        starts.append(following)
        if span is not None:
            following = span[0]
    return starts[::-1]


def _holds(window: list[str], line: list[str]) -> bool:
    return any(window[i : i + len(line)] == line for i in range(len(window) - len(line) + 1))


def from_page(name: str, site: str, lang: str, html: str, reference: str, kind: str = "pages") -> Iterator[Document]:
    """A page extracted in each lenient way there is, labelled by its reference text; `kind` says what sort that is."""
    for way, raw in raw_texts(html):
        document = from_reference(name, site, lang, f"{kind}/{way}", raw, reference)
        if document is not None:
            yield document


def unlabelled(name: str, site: str, lang: str, source: str, text: str) -> Document:
    """A text of whose lines nothing is known."""
    lines = tuple(" ".join(line.split()) for line in text.split("\n"))
    return Document(name, site, lang, source, lines, (True,) * len(lines))


def is_whole(document: Document) -> bool:
    """True of a page of which extraction has left out nothing."""
    return document.source.endswith("/all")


def raw_texts(html: str) -> Iterator[tuple[str, str]]:
    """What extraction leaves of a page: all of its text, and what two engines take for main text when in doubt."""
    from resiliparse.extract.html2text import extract_plain_text  # noqa: PLC0415 - labels from rows need no parser
    from resiliparse.parse.html import HTMLTree  # noqa: PLC0415

    tree = HTMLTree.parse(html)
    yield "all", extract_plain_text(tree, main_content=False)
    yield "main", extract_plain_text(tree, main_content=True, comments=True)
    yield "recall", load("headrace")(html.encode(errors="replace"), Settings(favor_precision=False, favor_recall=True))
