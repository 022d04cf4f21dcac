"""Labels for pages whose text nobody has written down: what two extractors of different make agree on is the reference.

trafilatura (rules by hand, 0.90 F1 on pages that people read) and headrace's own (a trained model) err in different
ways. Where their texts are nearly the same words, the text is most often right; where they are not, the page teaches
nothing and is left out. So a training has half as many pages again, of sites that no reference text has.
"""

from collections import Counter

from stages.extract import Settings, load
from stages.refine.labels import Document, from_page, raw_texts, words

AGREED = 0.85  # F1 of the two texts' words, each as often as it stands there
LEAST = 60  # words; below it both agree on a stub
SOURCE = "agreed"


def agreed_reference(html: str) -> str | None:
    """Trafilatura's text of the page, where headrace's is nearly the same; else None."""
    raw = html.encode(errors="replace")
    texts = [load(engine)(raw, Settings()) for engine in ("trafilatura", "headrace")]
    first, second = (Counter(words(text)) for text in texts)
    if first.total() < LEAST or 2 * (first & second).total() < AGREED * (first.total() + second.total()):
        return None
    return texts[0]


def raw_unread(html: str) -> list[tuple[str, str]] | None:
    """A page extracted in each lenient way there is, for a teacher to label; None if it breaks an extractor."""
    try:
        return list(raw_texts(html))
    except (ValueError, AssertionError, RecursionError):
        return None


def from_unread(name: str, site: str, lang: str, html: str) -> list[Document] | None:
    """A page extracted in each lenient way there is, labelled by what is agreed on; None if it breaks an extractor."""
    try:
        reference = agreed_reference(html)
    except (ValueError, AssertionError, RecursionError):
        return None
    return [] if reference is None else list(from_page(name, site, lang, html, reference, SOURCE))
