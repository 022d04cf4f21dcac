"""What the sampled rows say: languages, lengths, sites, edits and deaths, counted with Polars."""

from dataclasses import dataclass

import polars as pl

from pipelines.report.sample import Rows, Sample

TOP = 12
WORD_EDGES = (0, 25, 50, 100, 200, 400, 800, 1_600, 3_200, 6_400)
CHAR_EDGES = (0, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000)
HOST = r"^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?(?:www\.)?([^/:?#]+)"
LANGUAGES = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish",
    "de": "German", "el": "Greek", "en": "English", "eo": "Esperanto", "es": "Spanish", "et": "Estonian",
    "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French", "gl": "Galician", "he": "Hebrew", "hi": "Hindi",
    "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ka": "Georgian",
    "ko": "Korean", "la": "Latin", "lt": "Lithuanian", "lv": "Latvian", "mk": "Macedonian", "ms": "Malay",
    "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sk": "Slovak", "sl": "Slovene", "sq": "Albanian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili",
    "ta": "Tamil", "te": "Telugu", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese",
    "zh": "Chinese",
}  # fmt: skip


@dataclass(frozen=True)
class Bin:
    """A bar of a histogram: rows whose value is at least `start` and below the next bin's."""

    start: int
    kept: int
    removed: int
    open: bool  # the last one, without an upper end


@dataclass(frozen=True)
class Site:
    """A host and what became of its rows."""

    host: str
    kept: int
    removed: int


@dataclass(frozen=True)
class Edit:
    """A rule that changed texts: in how many rows, and their length in code points before and after."""

    stage: str
    rule: str
    rows: int
    before: int
    after: int


@dataclass(frozen=True)
class Figures:
    """Everything on the page that is counted in the sample."""

    sample: Sample
    languages_kept: list[tuple[str, str, int]]  # code, name, rows
    languages_dropped: list[tuple[str, str, int]]
    words: list[Bin]
    chars: list[Bin]
    sites_kept: list[Site]
    sites_removed: list[Site]
    edits: list[Edit]
    deaths: list[tuple[str, str, int, str]]  # stage, kind of error, rows, an example

    @property
    def open_reason(self) -> str:
        """The reason whose texts are shown unfolded."""
        return next((reason for reason, texts in self.sample.removed_texts.items() if texts[0].text), "")


def draw(sample: Sample) -> Figures:
    """Count what the page shows."""
    kept, removed = sample.kept.table, sample.removed.table
    sites = _sites(kept, removed)
    return Figures(
        sample=sample,
        languages_kept=_languages(kept),
        languages_dropped=_languages(removed.filter(pl.col("drop_stage") == "Language")),
        words=_bins(kept, removed, "n_words", WORD_EDGES),
        chars=_bins(kept, removed, "n_chars", CHAR_EDGES),
        sites_kept=sorted((s for s in sites if s.kept), key=lambda s: (-s.kept, s.host))[:TOP],
        sites_removed=sorted((s for s in sites if s.removed), key=lambda s: (-s.removed, s.host))[:TOP],
        edits=_edits(kept),
        deaths=_deaths(sample.dead),
    )


def _languages(rows: pl.DataFrame) -> list[tuple[str, str, int]]:
    counted = rows["lang"].drop_nulls().value_counts(sort=True).sort("count", "lang", descending=[True, False]).rows()
    top = [(code, LANGUAGES.get(code, ""), n) for code, n in counted[:TOP]]
    rest = sum(n for _, n in counted[TOP:])
    return [*top, ("", f"{len(counted) - TOP} others", rest)] if rest else top


def _bins(kept: pl.DataFrame, removed: pl.DataFrame, name: str, edges: tuple[int, ...]) -> list[Bin]:
    """Counts between `edges`, up to the last that is not empty."""

    def counts(rows: pl.DataFrame) -> list[int]:
        values = rows[name].drop_nulls()
        at_least = [int((values >= edge).sum()) for edge in edges]
        return [a - b for a, b in zip(at_least, [*at_least[1:], 0], strict=True)]

    bins = [
        Bin(start, here, gone, start == edges[-1])
        for start, here, gone in zip(edges, counts(kept), counts(removed), strict=True)
    ]
    while bins and not bins[-1].kept + bins[-1].removed:
        bins.pop()
    return bins


def _sites(kept: pl.DataFrame, removed: pl.DataFrame) -> list[Site]:
    def hosts(rows: pl.DataFrame) -> dict[str, int]:
        found = rows["url"].str.extract(HOST, 1).str.to_lowercase().drop_nulls()
        return dict(found.value_counts().rows())

    ours, theirs = hosts(kept), hosts(removed)
    return [Site(host, ours.get(host, 0), theirs.get(host, 0)) for host in {*ours, *theirs}]


def _edits(kept: pl.DataFrame) -> list[Edit]:
    each = kept.select("edits").explode("edits").drop_nulls().unnest("edits")
    program = pl.col("rule").str.contains(r"\(")  # of a refiner: nearly every row has one of its own
    each = each.with_columns(rule=pl.when(program).then(pl.lit("program")).otherwise("rule"))
    rules = each.group_by("stage", "rule").agg(
        pl.len().alias("rows"), pl.col("n_chars_before").sum(), pl.col("n_chars_after").sum()
    )
    return [Edit(*row) for row in rules.sort("rows", "stage", "rule", descending=[True, False, False]).rows()]


def _deaths(dead: Rows) -> list[tuple[str, str, int, str]]:
    kinds = dead.table.with_columns(kind=pl.col("error").str.extract(r"^([^:]*)", 1))
    counted = kinds.group_by("stage", "kind").agg(pl.len().alias("rows"), pl.col("error").first())
    return counted.sort("rows", "stage", "kind", descending=[True, False, False]).rows()
