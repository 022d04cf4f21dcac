"""Pages that a filter should find: texts with a fault of their own, in many copies, and lists without sentences."""

from collections.abc import Iterator
from dataclasses import replace

from tests.sample_pages import texts
from tests.sample_pages.chrome import pick
from tests.sample_pages.texts import Article

THINGS = ("kettle", "lantern", "ladder", "kite", "saddle", "teapot", "barometer", "wheelbarrow", "umbrella", "compass")
TOWNS = ("Ashby", "Barrow", "Corwen", "Dunmore", "Elmstead", "Farleigh", "Glenholm", "Harlow", "Ivybridge", "Kirk")
# How many pages are made of a text of junk.txt that has a blank for a thing or a town; others are used once.
TIMES = {
    "best": 5, "shop": 4, "locksmith": 4, "plumber": 10, "theme": 4, "howto": 4, "harbour": 3, "quote": 4, "runon": 3,
    "happened": 3,
}  # fmt: skip
STAIRS = (
    "Down the stair", "the light comes first,", "then the cat,", "then nobody.", "A door is a question",
    "that the house asks", "of the street.", "We answer it", "with our coats on.", "The clock is slow",
    "and so are we.",
    "Somebody left", "a key in the lock.", "Somebody will be back", "for the key.", "The rain knows",
    "every roof by name", "and says them all.", "Listen: that one", "is ours.",
)  # fmt: skip
PARTS = ("bolt", "nut", "washer", "bracket", "hinge", "screw", "nail", "rivet", "spring", "lever", "pulley", "valve")


def faulty() -> Iterator[Article]:
    """The texts of junk.txt with their blanks filled in."""
    for text in texts.junk():
        for number in range(TIMES.get(text.slug, 1)):
            blanks = {"thing": THINGS[number], "town": TOWNS[number]}
            yield replace(
                text,
                slug=f"{text.slug}-{number}" if text.slug in TIMES else text.slug,
                title=text.title.format(**blanks),
                paragraphs=tuple(p.format(**blanks) for p in text.paragraphs),
            )


def lists() -> Iterator[tuple[Article, str]]:
    """Directories, bullets, verse, timetables, parts, search terms, readings; each with its markup."""
    host = "directory.example.net"
    for number in range(4):
        names = [f"{town} {THINGS[pick(town + str(number), 10)]} society" for town in TOWNS]
        items = "".join(f"<p>{n}, founded {1900 + pick(n, 100)}, {20 + pick(n, 70)} members</p>" for n in names)
        yield Article(f"directory-{number}", host, f"Directory of societies, part {number + 1}", ()), items
    bullets = [f"- {thing.title()} with the name of your town and a date of your choice" for thing in THINGS]
    yield Article("gift-ideas", host, "Gift ideas", ()), "<div>" + "<br>".join(bullets) + "</div>"
    yield Article("stairs", host, "Down the stair", ()), "<p>" + "<br>".join(STAIRS) + "</p>"
    for number, town in enumerate(TOWNS[:3]):
        times = [(f"{6 + h:02d}:{10 * number + 5:02d}", f"{7 + h:02d}:{10 * number + 1:02d}", h + 3) for h in range(16)]
        rows = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in times)
        yield (
            Article(f"timetable-{number}", host, f"Departures {town}", ()),
            f"<p>To Kirk, daily.</p><table>{rows}</table>",
        )
    parts = "".join("<p>" + ", ".join(f"{part} {size} mm" for part in PARTS) + ".</p>" for size in range(3, 9))
    yield Article("parts", host, "Parts in stock", ()), parts
    terms = ". ".join(f"{t.title()} repair {o}, cheap {t} sale {o}, new {t}" for t in THINGS for o in TOWNS[:3])
    yield Article("keywords", host, "Search terms", ()), f"<p>{terms}.</p>"
    figures = [f"{1.5 * n:.1f} {n * n} {1013 - n} {n % 7} {3 * n + 1}.{n} {n}/{n + 3}" for n in range(40)]
    yield Article("readings", host, "Readings", ()), "<pre>" + "\n".join(figures) + "</pre>"
