"""The texts of the sample, written for it: `== slug or language | host | title`, then paragraphs."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Article:
    """A text and where it stands."""

    slug: str
    host: str
    title: str
    paragraphs: tuple[str, ...]
    lang: str = "en"


def english() -> list[Article]:
    """Long articles, about 300 words each."""
    return _read("en.txt")


def short() -> list[Article]:
    """Letters, notices and forum threads, 80 to 160 words each."""
    return _read("short.txt")


def junk() -> list[Article]:
    """Texts with a fault; `{thing}` and `{town}` are blanks."""
    return _read("junk.txt")


def other() -> list[Article]:
    """Articles in other languages; the slug counts the articles of the language."""
    articles: list[Article] = []
    for a in _read("other.txt"):
        number = 1 + sum(b.lang == a.slug for b in articles)
        articles.append(Article(f"{a.slug}-{number}", a.host, a.title, a.paragraphs, a.slug))
    return articles


def _read(name: str) -> list[Article]:
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    articles = []
    for part in text.split("== ")[1:]:
        head, body = part.split("\n", 1)
        slug, host, title = head.split(" | ")
        articles.append(Article(slug, host, title, tuple(body.strip().split("\n\n"))))
    return articles
