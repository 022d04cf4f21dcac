"""Recipes `dedup-exact` and `dedup-url`: rows of any Parquet dataset that are the same text, or the same address.

Which one of them stays is a setting: `--set "KeepFirst.keep=highest edu_score, newest date"` (stages/dedup/keep.py).
"""

from cluster.recipe import Recipe, Step
from stages.content_hash import ContentHash
from stages.dedup.url_hash import UrlHash
from stages.drop_duplicates import DropDuplicates
from stages.keep_first import KeepFirst
from stages.read_parquet import ReadParquet
from stages.stage import Stage


def dedup_exact() -> Recipe:
    """Parquet in; the same rows without copies of a text out, each with the size of its cluster."""
    return _recipe("dedup-exact", "one row of those with the same text but for white space", ContentHash())


def dedup_url() -> Recipe:
    """Parquet with a column `url` in; one row an address out, each with the size of its cluster."""
    return _recipe("dedup-url", "one row of those with the same URL in its canonical form", UrlHash())


def _recipe(name: str, about: str, hashes: Stage) -> Recipe:
    (key,) = hashes.adds.names
    return Recipe(
        name=name,
        about=about,
        steps=(
            Step("hash", ReadParquet(), (hashes,)),
            Step("dedup", ReadParquet(), (DropDuplicates(),), after="hash", shuffle=KeepFirst(key=key)),
        ),
    )
