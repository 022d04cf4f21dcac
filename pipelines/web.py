"""Recipe `web`: Common Crawl to clean, deduplicated, PII-masked text.

The chain and every threshold are FineWeb's (Penedo et al. 2024, arXiv 2406.17557; datatrove examples/fineweb.py), in
its order: URL filter, extraction, language, Gopher repetition, Gopher quality, C4 quality without the rule on terminal
punctuation, FineWeb's own rules; then dedup, and PII masking last. Dedup here is exact, over the whole run. `Screen`
before extraction is ours: it drops early what a later filter would drop.
"""

from cluster.recipe import Recipe, Step
from stages.c4_quality import C4Quality
from stages.content_hash import ContentHash
from stages.drop_duplicates import DropDuplicates
from stages.extract_text import ExtractText
from stages.fineweb_quality import FineWebQuality
from stages.gopher_quality import GopherQuality
from stages.gopher_repetition import GopherRepetition
from stages.keep_first import KeepFirst
from stages.language import Language
from stages.pii import Pii
from stages.read_parquet import ReadParquet
from stages.read_warc import ReadWarc
from stages.screen import Screen
from stages.url_filter import UrlFilter


def web() -> Recipe:
    """WARC or WET files in; one dataset of documents out."""
    return Recipe(
        name="web",
        about="Common Crawl to clean text, as FineWeb does it (arXiv 2406.17557)",
        steps=(
            Step(
                name="filter",
                source=ReadWarc(),
                stages=(
                    UrlFilter(),
                    # Ours: most pages that no filter below would keep are known by their HTML without its markup, for
                    # less than extraction takes (benchmarks/screen.py). What is set of Language and GopherQuality is
                    # set of it too. Off: its three tests null.
                    Screen(),
                    ExtractText(),
                    Language(),
                    GopherRepetition(),
                    GopherQuality(),
                    C4Quality(),
                    FineWebQuality(),
                    ContentHash(),
                ),
            ),
            Step(
                name="dedup",
                after="filter",
                source=ReadParquet(),
                shuffle=KeepFirst(),
                stages=(DropDuplicates(), Pii()),
            ),
        ),
    )
