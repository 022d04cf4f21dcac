"""Boilerplate put into clean text, line by line: endless labelled chunks to teach and to judge a refiner.

`noise.txt` holds the families: what cookie banners, share bars, menus, related stories, ... say, in up to fourteen
languages, with slots for names, dates, numbers, words and headlines. Words and headlines come from the clean text of
other documents, so that a list of related stories reads like the site it stands on. A family is `seen` or `unseen`: a
model is trained on the seen ones only, and how it fares on the unseen ones says whether it knows boilerplate.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import NamedTuple

from stages.refine.labels import Document

FILE = Path(__file__).with_name("noise.txt")
ANY = "xx"  # lines that fit every language
SLOT = re.compile(r"\{(\w+)\}")
SPACELESS = ("zh", "ja", "th")
BETWEEN = (" | ", " | ", " · ", " ", " / ", "  ", " - ", " • ", ", ")  # how a list stands on one line
BEFORE = ("", "", "", "", "", "• ", "- ", "» ", "* ", "> ", "+ ", "\u203a ", "\u2013 ")
AFTER = ("", "", "", "", "", "", "", " »", " >", ":", " →", " ...")


class Family(NamedTuple):
    """One kind of boilerplate: where it stands, how many lines of it, and what it says in each language."""

    name: str
    seen: bool
    place: str
    least: int
    most: int
    lines: dict[str, tuple[str, ...]]


class Chunk(NamedTuple):
    """Lines with labels, and the families that the noise among them comes from."""

    lines: tuple[str, ...]
    keep: tuple[bool, ...]
    families: tuple[str, ...]


class Material(NamedTuple):
    """What slots are filled with: capitalised words and headlines of each language."""

    words: dict[str, list[str]]
    titles: dict[str, list[str]]


@cache
def pools() -> dict[str, tuple[str, ...]]:
    """The words of `noise.txt` that slots are filled with, by the slot's name."""
    found: dict[str, tuple[str, ...]] = {}
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("@ "):
            name, _, words = line[2:].partition(" | ")
            found[name] = (*found.get(name, ()), *words.split())
    return found


@cache
def families(seen: bool | None = None) -> tuple[Family, ...]:
    """Of `noise.txt`: all, or those that are (not) to be trained on."""
    found: list[Family] = []
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            name, side, place, span = line[3:].split()
            least, _, most = span.partition("-")
            found.append(Family(name, side == "seen", place, int(least), int(most), {}))
        elif " | " in line and not line.startswith(("#", "@")):
            lang, _, text = line.partition(" | ")
            found[-1].lines[lang] = (*found[-1].lines.get(lang, ()), text)
    return tuple(family for family in found if seen is None or family.seen == seen)


def material(documents: Iterable[Document]) -> Material:
    """Words and headlines from the main text of `documents`."""
    found: dict[str, set[str]] = defaultdict(set)
    titles: dict[str, list[str]] = defaultdict(list)
    for document in documents:
        for line, keep in zip(document.lines, document.keep, strict=True):
            if not keep:
                continue
            if document.lang in SPACELESS:
                found[document.lang].add(line[:4])
                titles[document.lang].append(line[:20])
                continue
            parts = line.split()
            found[document.lang].update(p for p in parts[1:] if p.isalpha() and p[0].isupper() and 3 <= len(p) <= 14)
            if len(parts) >= 8:
                titles[document.lang].append(" ".join(parts[:13]))
    return Material({lang: sorted(words) for lang, words in found.items()}, dict(titles))


def block(rng: Random, family: Family, lang: str, stuff: Material) -> list[str]:
    """Lines of one family as they may stand together on a page."""
    spoken = lang if lang in family.lines and rng.random() < 0.85 else "en"
    own, general = family.lines.get(spoken, ()), family.lines.get(ANY, ())
    want = rng.randint(family.least, family.most)
    parts: list[str] = []
    for _ in range(4 * want):
        if len(parts) >= want:
            break
        source = general if general and (not own or rng.random() < 0.45) else own
        entries = [_fill(rng, entry, lang, spoken, stuff) for entry in rng.choice(source).split(" / ")]
        if len(entries) > 2 and rng.random() < 0.6:
            rng.shuffle(entries)
        entries = entries[: rng.randint(1, len(entries))] if rng.random() < 0.4 else entries
        one_line = len(entries) > 1 and rng.random() < (0.35 if family.most > 3 else 0.7)
        more = [rng.choice(BETWEEN).join(entries)] if one_line else entries
        parts += more if not set(more) & set(parts) or rng.random() < 0.2 else []
    return _dress(rng, parts[: max(want, 1)])


def _dress(rng: Random, lines: list[str]) -> list[str]:
    """With the bullets, arrows and capitals that pages have."""
    before, after, style = rng.choice(BEFORE), rng.choice(AFTER), rng.random()
    if style < 0.08:
        lines = [line.upper() for line in lines]
    elif style < 0.12:
        lines = [line.lower() for line in lines]
    return [f"{before}{line}{after}" for line in lines]


def _fill(rng: Random, text: str, lang: str, spoken: str, stuff: Material) -> str:
    return SLOT.sub(lambda slot: _slot(rng, slot[1], lang, spoken, stuff), text)


def _slot(rng: Random, name: str, lang: str, spoken: str, stuff: Material) -> str:
    pool = pools()
    words = stuff.words.get(lang) or stuff.words.get("en") or pool["place"]
    if name in ("place", "word"):
        return rng.choice(pool["place"] if name == "place" else words)
    if name == "name":
        return f"{rng.choice(pool['first'])} {rng.choice(pool['last'])}"
    if name == "two":
        return ("" if lang in SPACELESS else " ").join(rng.choice(words) for _ in range(rng.randint(1, 3)))
    if name == "title":
        return _title(rng, lang, stuff)
    if name == "site":
        stem = rng.choice(words)
        stem = stem.lower() + rng.choice(pool["site"]) if rng.random() < 0.7 else stem
        return stem + rng.choice((".com", ".org", ".net", "", f".{spoken}"))
    return _figure(rng, name, rng.choice(pool.get(f"month.{spoken}", pool["month.en"])))


def _figure(rng: Random, name: str, month: str) -> str:
    if name == "n":
        return str(int(10 ** rng.uniform(0, 4)))
    if name == "year":
        return str(rng.randint(1998, 2026))
    if name == "time":
        return f"{rng.randint(0, 23):02}{rng.choice('::.')}{rng.randint(0, 59):02}"
    if name == "price":
        amount = f"{rng.randint(1, 999)}{rng.choice(('', '.99', ',00', '.50'))}"
        return rng.choice(("${}", "£{}", "{} €", "€ {}", "{} kr", "{} EUR")).format(amount)
    if name in ("date", "month"):
        return _date(rng, month) if name == "date" else month
    raise ValueError(f"noise.txt: no slot is called {name!r}")


def _date(rng: Random, month: str) -> str:
    day, number, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1998, 2026)
    forms = (
        f"{day} {month} {year}",
        f"{day}. {month} {year}",
        f"{month} {day}, {year}",
        f"{day:02}.{number:02}.{year}",
        f"{year}-{number:02}-{day:02}",
        f"{number}/{day}/{year}",
        f"{day:02}/{number:02}/{year % 100:02}",
        f"{day} {month}",
    )
    return rng.choice(forms)


def _title(rng: Random, lang: str, stuff: Material) -> str:
    """The beginning of a sentence of another document, as a headline."""
    titles = stuff.titles.get(lang) or stuff.titles.get("en")
    if not titles:
        return _slot(rng, "two", lang, lang, stuff)
    title = rng.choice(titles)
    if lang in SPACELESS:
        return title[: rng.randint(6, 20)]
    title = " ".join(title.split()[: rng.randint(3, 13)]).rstrip(".,;:")
    return title.title() if lang == "en" and rng.random() < 0.35 else title


def chunk(rng: Random, clean: Sequence[str], lang: str, kinds: Sequence[Family], stuff: Material) -> Chunk:
    """`clean` lines with boilerplate of some of `kinds` around and between them; one in twelve has none."""
    lines: list[tuple[str, bool, str]] = [(line, True, "") for line in clean]
    if rng.random() >= 1 / 12:
        heavy = rng.random() < 0.2
        if heavy:
            first = rng.randrange(len(lines)) if lines else 0
            lines = lines[first : first + rng.randint(0, 4)]
        for _ in range(rng.randint(3, 9) if heavy else rng.randint(1, 5)):
            family = rng.choice(kinds)
            at = _place(rng, family, len(lines))
            while 0 < at < len(lines) and lines[at][2] and lines[at][2] == lines[at - 1][2]:
                at += 1  # a block is not cut in two
            lines[at:at] = [(line, False, family.name) for line in block(rng, family, lang, stuff)]
    used = tuple(sorted({name for _, _, name in lines if name}))
    return Chunk(tuple(line for line, _, _ in lines), tuple(keep for _, keep, _ in lines), used)


def _place(rng: Random, family: Family, n: int) -> int:
    """Where in `n` lines a block of the family goes: mostly where pages have it."""
    if rng.random() < 0.25 or family.place == "any":
        return rng.randint(0, n)
    if family.place == "edge":
        return rng.choice((0, n))
    return 0 if family.place == "top" else n
