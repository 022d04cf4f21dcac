"""The site of an address: its host, and the domain that was registered."""

from functools import lru_cache

from tldextract import TLDExtract

from stages.dedup.url_canonical import canonical
from stages.url_filter import RESERVED


def host_in(url: str) -> str:
    """The canonical host of `url`, with its port if that is an unusual one; "" where it has none."""
    return canonical(url).partition("://")[2].partition("/")[0].partition("?")[0]


def site_of(url: str) -> str:
    """The registered domain of `url`, such as example.co.uk; its host where there is none (an IP, a bare name)."""
    return _domain_of(host_in(url))


@lru_cache(maxsize=1 << 16)
def _domain_of(host: str) -> str:
    return _extractor()(host).top_domain_under_public_suffix or host


@lru_cache(maxsize=1)
def _extractor() -> TLDExtract:
    return TLDExtract(suffix_list_urls=(), cache_dir=None, extra_suffixes=RESERVED)  # the snapshot; no network
