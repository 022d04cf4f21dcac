"""Resiliparse's main-content rules on the lexbor parser: a tenth of trafilatura's time, more boilerplate kept."""

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from stages.extract import Settings


def extract(html: bytes, settings: Settings) -> str:
    """The main text of a page. Author lines and what images are said to show stay out when precision is favoured."""
    return extract_plain_text(
        HTMLTree.parse(html.decode()),
        main_content=True,
        comments=settings.include_comments,
        alt_texts=not settings.favor_precision,
        post_meta=not settings.favor_precision,
    )
