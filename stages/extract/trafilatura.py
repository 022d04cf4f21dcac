"""trafilatura, as FineWeb uses it (methods 4.3): precise, without comments, without repeated segments."""

from trafilatura import extract as trafilatura_extract
from trafilatura.deduplication import LRUCache
from trafilatura.settings import LRU_SIZE

from stages.extract import Settings


def extract(html: bytes, settings: Settings) -> str:
    """The main text of a page.

    With `deduplicate=True` trafilatura remembers segments across pages, so that a page's text would depend on the
    pages before it. Each page gets a memory of its own here.
    """
    text = trafilatura_extract(
        html.decode(),
        favor_precision=settings.favor_precision,
        favor_recall=settings.favor_recall,
        include_comments=settings.include_comments,
        deduplicate=LRUCache(maxsize=LRU_SIZE),
    )
    return text or ""
