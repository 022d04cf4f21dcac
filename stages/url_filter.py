"""Addresses that are not worth fetching a text from: block lists by domain, address and word."""

import gzip
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import ahocorasick
import pyarrow as pa
from tldextract import TLDExtract

from schemas import columns as c
from stages.model_file import sha256_of
from stages.stage import Resources, Rows, Transform, set_columns

DEFAULTS = Path(__file__).parent / "data" / "url_filter"
LISTS = ("domains", "urls", "hard_words", "soft_words", "subwords")
NOT_ALNUM = re.compile(r"[^a-zA-Z0-9]+")
RESERVED = ("example", "invalid", "localhost", "test")  # RFC 2606: no registry has them, so no suffix list does
GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class UrlFilter:
    """Drop documents by their address (FineWeb's first filter: methods 4.2).

    Reasons, in the order in which they are tested: `domain`, `subdomain`, `url`, `hard_blacklisted`,
    `soft_blacklisted` (at least `soft_word_threshold` soft words), `blacklisted_subword`. A row without an address is
    kept: nothing is known against it.

    The lists are text files (`stages/data/url_filter/README.md`): a path, or None for the small one of our own. They
    are read once per worker; `lists_sha256` stands for their content in the stage's identity.
    """

    domains: str | None = None
    urls: str | None = None
    hard_words: str | None = None
    soft_words: str | None = None
    subwords: str | None = None
    soft_word_threshold: int = 2
    lists_sha256: str = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.URL])
    adds: ClassVar[pa.Schema] = pa.schema([c.DROP_REASON])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def __post_init__(self) -> None:
        object.__setattr__(self, "lists_sha256", self._checksum())

    def open(self) -> Transform:
        found = self._checksum()
        if found != self.lists_sha256:
            raise ValueError(f"UrlFilter: the lists here have SHA-256 {found}, those of the run {self.lists_sha256}")
        rules = Rules(
            domains={entry.lower() for entry in read_list(self._path("domains"))},
            urls=set(read_list(self._path("urls"))),
            hard_words={_letters(entry) for entry in read_list(self._path("hard_words"))} - {""},
            soft_words={_letters(entry) for entry in read_list(self._path("soft_words"))} - {""},
            soft_word_threshold=self.soft_word_threshold,
            subwords=_automaton({_letters(entry) for entry in read_list(self._path("subwords"))} - {""}),
        )
        extract = TLDExtract(suffix_list_urls=(), cache_dir=None, extra_suffixes=RESERVED)  # the snapshot; no network
        extract("")  # loads it
        return lambda table: set_columns(
            table,
            drop_reason=pa.array(
                [rules.reason(url, extract) if url else None for url in table.column(c.URL.name).to_pylist()],
                pa.string(),
            ),
        )

    def _path(self, name: str) -> Path:
        given: str | None = getattr(self, name)
        return DEFAULTS / f"{name}.txt" if given is None else Path(given).expanduser()

    def _checksum(self) -> str:
        lines = []
        for name in LISTS:
            path = self._path(name)
            if not path.exists():
                raise ValueError(f"UrlFilter: no list of {name} at {str(path)!r}")
            lines.append(f"{name} {sha256_of(path)}\n")
        return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class Rules:
    """The lists, ready for look-up."""

    domains: set[str]
    urls: set[str]
    hard_words: set[str]
    soft_words: set[str]
    soft_word_threshold: int
    subwords: ahocorasick.Automaton | None

    def reason(self, url: str, extract: TLDExtract) -> str | None:  # noqa: PLR0911 - one return per rule
        """Why this address is dropped, or None."""
        host = extract(url.lower())
        if host.top_domain_under_public_suffix in self.domains:
            return "domain"
        if host.fqdn in self.domains:
            return "subdomain"
        if url in self.urls:
            return "url"
        words = set(NOT_ALNUM.split(url))
        if not words.isdisjoint(self.hard_words):
            return "hard_blacklisted"
        if len(words & self.soft_words) >= self.soft_word_threshold:
            return "soft_blacklisted"
        if self.subwords is not None and next(self.subwords.iter(_letters(url)), None) is not None:
            return "blacklisted_subword"
        return None


def read_list(path: Path) -> Iterator[str]:
    """The entries of a list file, gzipped or not."""
    with path.open("rb") as file:
        zipped = file.read(len(GZIP)) == GZIP
    with gzip.open(path, "rt", encoding="utf-8") if zipped else path.open(encoding="utf-8") as lines:
        for line in lines:
            entry = line.strip()
            if entry and not entry.startswith("#"):
                yield entry


def _letters(text: str) -> str:
    return NOT_ALNUM.sub("", text).lower()


def _automaton(words: set[str]) -> ahocorasick.Automaton | None:
    if not words:
        return None
    automaton = ahocorasick.Automaton(ahocorasick.STORE_LENGTH)
    for word in sorted(words):
        automaton.add_word(word)
    automaton.make_automaton()
    return automaton
