"""Recipe `web`: Common Crawl to clean, deduplicated, PII-masked text.

The chain and every threshold are FineWeb's (Penedo et al. 2024, arXiv 2406.17557; datatrove examples/fineweb.py), in
its order: URL filter, extraction, language, Gopher repetition, Gopher quality, C4 quality without the rule on terminal
punctuation, FineWeb's own rules; then MinHash dedup over the whole run, and PII masking last. Two things are ours:
`Screen` before extraction drops early what a later filter would drop, and a row goes as a duplicate only if its true
similarity to one that stays is at least 0.7 (FineWeb's own: `--set NearDuplicates.verify=null`).
"""

from cluster.recipe import Recipe, Step
from stages.c4_quality import C4Quality
from stages.dedup.bands import MinHashBands
from stages.dedup.near import NearDuplicates
from stages.drop_duplicates import DropDuplicates
from stages.extract_text import ExtractText
from stages.fineweb_quality import FineWebQuality
from stages.gopher_quality import GopherQuality
from stages.gopher_repetition import GopherRepetition
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
                    MinHashBands(),
                ),
            ),
            Step(
                name="dedup",
                after="filter",
                source=ReadParquet(),
                shuffle=NearDuplicates(verify=0.7),
                stages=(DropDuplicates(), Pii()),
            ),
        ),
    )
