import dataclasses
import gzip
import pickle
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tldextract
from datatrove.data import Document
from datatrove.pipeline.filters import URLFilter
from datatrove.utils._import_utils import ASSETS_PATH

from schemas import columns as c
from stages.stage import Stage, check, identity
from stages.url_filter import DEFAULTS, LISTS, UrlFilter, read_list

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def verdicts(stage: UrlFilter, *urls: str | None) -> list[str | None]:
    table = pa.table({"id": [str(i) for i in range(len(urls))], "url": pa.array(urls, pa.string())})
    return stage.open()(table).column("drop_reason").to_pylist()


@pytest.fixture
def small(tmp_path):
    """A filter with lists of a few entries each."""
    lists = {
        "domains": "# a comment\nbad.com\n\n sub.fine.co.uk \nUPPER.org\n",
        "urls": "http://fine.com/Page?x=1\n",
        "hard_words": "hard\n#soft\n",
        "soft_words": "one\ntwo\nthree\n",
        "subwords": "badword\nTwo Words\n",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
    return UrlFilter(**{name: str(tmp_path / name) for name in lists})


def test_is_a_stage():
    check((UrlFilter(),), pa.schema([c.ID, c.URL]))
    assert isinstance(UrlFilter(), Stage)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://bad.com/", "domain"),
        ("https://www.BAD.com:8080/path", "domain"),
        ("http://upper.org", "domain"),
        ("http://notbad.com/", None),
        ("http://bad.com.fine.org/", None),
        ("http://sub.fine.co.uk/x", "subdomain"),
        ("http://deep.sub.fine.co.uk/x", None),
        ("http://fine.com/Page?x=1", "url"),
        ("http://fine.com/page?x=1", None),
        ("http://fine.com/so-hard.html", "hard_blacklisted"),
        ("http://fine.com/so-Hard.html", None),
        ("http://fine.com/harder", None),
        ("http://fine.com/soft", None),
        ("http://fine.com/one-x-two", "soft_blacklisted"),
        ("http://fine.com/one-x-one", None),
        ("http://fine.com/my-bad-word", "blacklisted_subword"),
        ("http://fine.com/TWO_wordS", "blacklisted_subword"),
        ("http://bad.com/hard/one/two/badword", "domain"),
        ("http://fine.com/one/two/badword/hard", "hard_blacklisted"),
        ("http://127.0.0.1/x", None),
        ("not an address", None),
        ("", None),
        (None, None),
    ],
)
def test_reason(small, url, reason):
    assert verdicts(small, url) == [reason]


def test_soft_word_threshold(small):
    urls = ("http://fine.com/one-two", "http://fine.com/one-two-three")
    assert verdicts(dataclasses.replace(small, soft_word_threshold=3), *urls) == [None, "soft_blacklisted"]
    assert verdicts(dataclasses.replace(small, soft_word_threshold=1), "http://fine.com/one") == ["soft_blacklisted"]


def test_own_lists_drop_reserved_examples_and_spare_others():
    urls = {
        "https://www.casino.example/about": "domain",
        "https://casino.example.com/": "subdomain",
        "https://example.com/blocked": "url",
        "https://example.com/free-porn-here": "hard_blacklisted",
        "https://example.com/casino-bonus": "soft_blacklisted",
        "https://example.com/OnlinePoker": "blacklisted_subword",
        "https://example.com/middlesex-essex-sextant": None,
        "https://news.example/casino-royale-film-review": None,
        "https://milford.example/cumberland-cockpit-scunthorpe": None,
    }
    assert verdicts(UrlFilter(), *urls) == list(urls.values())


def test_own_lists_are_clean():
    for name in LISTS:
        entries = list(read_list(DEFAULTS / f"{name}.txt"))
        assert len(entries) == len(set(entries)) > 0
        if "words" in name:
            assert all(re.fullmatch("[a-z0-9]+", entry) for entry in entries)


def test_gzipped_list_and_empty_list(tmp_path):
    (tmp_path / "list.gz").write_bytes(gzip.compress(b"# zipped\nbad.com\n"))
    (tmp_path / "none").write_text("")
    none = str(tmp_path / "none")
    stage = UrlFilter(str(tmp_path / "list.gz"), none, none, none, none)
    assert verdicts(stage, "http://bad.com", "http://porn.example/porn") == ["domain", None]


def test_content_of_the_lists_is_the_identity(small, tmp_path):
    before = identity(small)
    assert pickle.loads(pickle.dumps(small)) == small
    (tmp_path / "domains").write_text("other.com\n")
    with pytest.raises(ValueError, match=r"UrlFilter: the lists here have SHA-256 .*, those of the run"):
        small.open()
    assert identity(dataclasses.replace(small)) != before


def test_missing_list_is_told():
    with pytest.raises(ValueError, match="UrlFilter: no list of hard_words at '/nowhere/words'"):
        UrlFilter(hard_words="/nowhere/words")


def test_empty_and_chunked_tables(small):
    assert verdicts(small) == []
    table = pa.table({"id": ["1", "2"], "url": pa.chunked_array([["http://bad.com"], [None]])})
    assert small.open()(table).column("drop_reason").to_pylist() == ["domain", None]


@pytest.mark.filterwarnings("ignore:The 'registered_domain' property:DeprecationWarning")
@pytest.mark.skipif(not DATA.exists(), reason="needs the shared data")
def test_decisions_on_real_addresses_are_datatroves(tmp_path):
    urls = pq.read_table(DATA / "pages-dev.truth.parquet", columns=["url"]).column("url").to_pylist()
    urls = [url for url in urls if ".invalid/" not in url]  # a reserved name has no registered domain for datatrove
    urls += [f"http://example.org/{word}" for word in ("big-tits/lesbian", "one-ass", "horny-sexy-girls", "xxx", "Xxx")]
    lists = {
        "domains": "\n".join(re.split("[/:]+", url)[1] for url in urls[::9]) + "\nblogspot.com\n",
        "urls": "\n".join(urls[::7]) + "\n",
        "hard_words": (Path(ASSETS_PATH) / "banned_words.txt").read_text() + "\nnews\n",
        "soft_words": (Path(ASSETS_PATH) / "soft_banned_words.txt").read_text() + "\nwww\nhtml\n2019\n",
        "subwords": (Path(ASSETS_PATH) / "banned_subwords.txt").read_text() + "\nlife\n",
    }
    lists = {name: "".join(f"{line}\n" for line in text.splitlines() if line) for name, text in lists.items()}
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
    lines = {name: text.splitlines() for name, text in lists.items()}
    theirs = URLFilter(
        extra_domains=lines["domains"],
        extra_urls=lines["urls"],
        banned_words=lines["hard_words"],
        soft_banned_words=lines["soft_words"],
        banned_subwords=lines["subwords"],
        use_integrated_lists=False,
    )
    theirs.tldextractor = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    expected = []
    for url in urls:
        result = theirs.filter(Document(text="", id="", metadata={"url": url}))
        expected.append(None if result is True else result[1])
    assert verdicts(UrlFilter(**{name: str(tmp_path / name) for name in lists}), *urls) == expected
    assert set(expected) == {
        None, "domain", "subdomain", "url", "hard_blacklisted", "soft_blacklisted", "blacklisted_subword"
    }  # fmt: skip
