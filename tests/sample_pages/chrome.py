"""The furniture around a text: what real pages carry and an extractor has to leave behind."""

import html
import zlib
from pathlib import Path
from string import Template

from tests.sample_pages.texts import Article

HERE = Path(__file__).parent
LAYOUTS = {path.stem: Template(path.read_text(encoding="utf-8").rstrip()) for path in (HERE / "layouts").glob("*.html")}
LABELS = ("home", "news", "about", "contact", "also", "cookies", "rights")
FURNITURE = {
    lang: dict(zip(LABELS, labels, strict=True))
    for lang, *labels in (
        line.split(" | ") for line in (HERE / "furniture.txt").read_text(encoding="utf-8").splitlines()
    )
}
COMMENTS = (
    ("Olga", "Lovely piece, thank you!"),
    ("T. R.", "My grandfather used to tell this story, only in his version it rained."),
    ("anonymous_77", "first"),
    ("Piet", "I do not agree with the last paragraph, but it is well put."),
    ("Marguerite", "Does anybody know when it opens on Sundays?"),
    ("walker", "Shared it with my class. They want to know what happened next."),
)
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November")


def pick(key: str, n: int) -> int:
    """A number below `n` that depends on nothing but `key`."""
    return zlib.crc32(key.encode()) % n


def page(article: Article, related: list[Article], layout: str, charset: str = "utf-8") -> str:
    """The article in one of the layouts `news`, `blog`, `table`; with no charset declared where it is empty."""
    body = "\n".join(f"<p>{html.escape(p, quote=False)}</p>" for p in article.paragraphs)
    return around(article, body, related, layout, charset)


def around(article: Article, body: str, related: list[Article], layout: str, charset: str = "utf-8") -> str:
    """The layout around any markup."""
    slug, first = article.slug, pick(article.slug, len(COMMENTS))
    values = {
        **FURNITURE.get(article.lang, FURNITURE["en"]),
        "title": html.escape(article.title),
        "host": article.host,
        "slug": slug,
        "charset": charset,
        "body": body,
        "date": f"{1 + pick(slug + 'd', 28)} {MONTHS[pick(slug + 'm', 11)]} {2021 + pick(slug + 'y', 5)}",
        "related": "".join(f'<li><a href="/{a.slug}">{html.escape(a.title, quote=False)}</a></li>' for a in related),
        "comments": "".join(
            f'<li class="comment"><cite>{who}</cite><p>{what}</p></li>'
            for who, what in (COMMENTS * 2)[first : first + 3]
        ),
    }
    values |= {part: LAYOUTS[part].substitute(values) for part in ("menu", "foot")}
    head = LAYOUTS["head"].substitute(values)
    if not charset:
        head = head.replace('<meta charset="">\n', "")
    content = LAYOUTS[layout].substitute(values)
    return f'<!DOCTYPE html>\n<html lang="{article.lang}">\n{head}\n<body>\n{content}\n</body>\n</html>\n'
