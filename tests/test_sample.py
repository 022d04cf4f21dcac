"""The sample archive is what its script makes, and holds what the demo is meant to show."""

import re
import zlib
from collections import Counter

import pytest

from tests import make_sample
from tests.sample_pages import crawl, texts


@pytest.mark.skipif("ng" in zlib.ZLIB_RUNTIME_VERSION, reason="zlib-ng compresses to other bytes")
def test_sample_is_what_the_script_makes() -> None:
    assert make_sample.SAMPLE.read_bytes() == make_sample.archive(), "run python -m tests.make_sample"


def test_sample_is_small() -> None:
    assert make_sample.SAMPLE.stat().st_size < 1_500_000


def test_pages_every_address_once() -> None:
    counted = Counter(page.url for page in crawl.pages())
    assert 200 <= len(counted) <= 300
    assert counted.most_common(1)[0][1] == 1


def test_pages_only_reserved_hosts() -> None:
    hosts = {page.url.split("/")[2] for page in crawl.pages()}
    assert [h for h in hosts if not re.search(r"(^|\.)example(\.(com|net|org))?$", h)] == []


def test_texts_are_different_and_long() -> None:
    articles = texts.english()
    assert len(articles) >= 40
    assert min(sum(len(p.split()) for p in a.paragraphs) for a in articles) >= 250
    sentences = Counter(s for a in articles for p in a.paragraphs for s in re.split(r"(?<=[.!?]) ", p))
    assert sentences.most_common(1)[0][1] == 1


def test_hanging_page_compresses_to_little() -> None:
    assert len(zlib.compress(crawl.hanging().body)) < 10_000
