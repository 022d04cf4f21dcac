import functools
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import trafilatura
from trafilatura.deduplication import LRU_TEST

from schemas import columns as c
from stages.extract import ENGINES, Settings, load
from stages.extract_text import ExtractText, extract_text
from stages.sandbox import Sandbox
from stages.stage import Stage, check, settings_of
from tests.stages.hostile import behave

DATA = Path(__file__).parents[2].parent / "shared" / "data"
ARTICLE = "<html><body><nav><a href='/'>Home</a></nav><article>{}</article></body></html>".format(
    "".join(f"<p>Sentence {i} of the article is about rivers, mills and the wheel number {i}.</p>" for i in range(20))
)
HANGING = "<div>" * 50_000  # lexbor's tree, then minutes of Resiliparse's rules


@pytest.fixture(scope="module", params=list(ENGINES))
def transform(request):
    return ExtractText(engine=request.param).open()


def pages(*html: str | None, text: list[str | None] | None = None) -> pa.Table:
    columns = {"id": pa.array([str(i) for i in range(len(html))]), "html": pa.array(html, c.TEXT)}
    if text is not None:
        columns["text"] = pa.array(text, c.TEXT)
    return pa.table(columns)


def test_is_a_stage_and_its_schema_holds(transform):
    check((ExtractText(),), pa.schema([c.ID, c.HTML]))
    assert isinstance(ExtractText(), Stage)
    result = transform(pages(ARTICLE, "<p></p>", None))
    assert [result.schema.field(f.name).type for f in ExtractText.adds] == [f.type for f in ExtractText.adds]


def test_main_text_without_navigation(transform):
    row = transform(pages(ARTICLE)).to_pylist()[0]
    assert row["text"].startswith("Sentence 0 of the article is about rivers")
    assert "Home" not in row["text"]
    assert row["n_chars"] == len(row["text"])
    assert (row["drop_reason"], row["error"]) == (None, None)


def test_what_a_page_says_of_itself_is_read_whatever_the_engine(transform):
    head = "<head><title>Mills</title><meta name=date content='2024-03-05'><link rel=canonical href=/mills></head>"
    table = pages(ARTICLE.replace("<body>", head + "<body>"), ARTICLE, None, text=[None, None, "WET"])
    table = table.append_column("url", pa.array(["https://example.org/a"] * 3))
    table = table.append_column("title", pa.array([None, "old", "known"]))
    result = transform(table)
    assert result.column("title").to_pylist() == ["Mills", None, "known"]
    assert result.column("published").to_pylist() == ["2024-03-05", None, None]
    assert result.column("canonical_url").to_pylist() == ["https://example.org/mills", None, None]


def test_page_without_text_is_dropped_as_empty(transform):
    result = transform(pages("", "<html><script>var x = 1</script></html>", "<p> \n </p>"))
    assert result.column("drop_reason").to_pylist() == ["empty"] * 3
    assert result.column("error").null_count == 3


def test_text_that_is_there_passes_where_html_is_not(transform):
    result = transform(pages(None, ARTICLE, None, None, text=["From a WET file.", "old", None, " \n"]))
    assert result.column("text")[0].as_py() == "From a WET file."
    assert result.column("text")[1].as_py() != "old"
    assert result.column("n_chars")[0].as_py() == 16
    assert result.column("drop_reason").to_pylist() == [None, None, "empty", "empty"]


def test_empty_and_chunked_tables(transform):
    assert transform(pages()).num_rows == 0
    table = pa.concat_tables([pages(ARTICLE, text=[None]), pages(None, text=["WET"])])
    assert transform(table).column("text").to_pylist()[1] == "WET"


def test_text_of_a_page_does_not_depend_on_pages_before_it():
    transform = ExtractText().open()
    texts = transform(pages(*[ARTICLE] * 6)).column("text").to_pylist()
    assert len(set(texts)) == 1
    LRU_TEST.clear()
    arguments = {"favor_precision": True, "include_comments": False, "deduplicate": True}
    assert texts[0] == trafilatura.extract(ARTICLE, **arguments)
    again = [trafilatura.extract(ARTICLE, **arguments) for _ in range(3)]
    assert again[-1] != texts[0]  # what the stage guards against


def test_hanging_page_is_dropped_as_timeout_and_the_rest_goes_on():
    result = ExtractText(engine="resiliparse", seconds=0.3).open()(pages(ARTICLE, HANGING, ARTICLE))
    assert result.column("drop_reason").to_pylist() == [None, "timeout", None]
    assert result.column("text").null_count == 1


def test_memory_limit_crash_and_exception_are_told_apart():
    sandbox = Sandbox(behave, seconds=20, memory_mb=128)
    rows = extract_text(pages("python_bomb", "segfault", "fail badly", "fine"), sandbox).to_pylist()
    sandbox.close()
    assert [row["drop_reason"] for row in rows] == ["memory_limit", None, None, None]
    assert [row["error"] for row in rows] == [
        None,
        "SandboxDied: its process died of signal 11 (Segmentation fault)",
        "ValueError: badly",
        None,
    ]
    assert [row["text"] for row in rows] == [None, None, None, "FINE"]


def test_text_that_is_no_unicode_is_mended():
    html = ARTICLE.replace("rivers", "rivers &#xD800; &#0; \x00")
    assert "rivers" in ExtractText().open()(pages(html)).column("text")[0].as_py()


def test_bad_settings_name_the_nearest():
    with pytest.raises(ValueError, match=r"no extraction engine 'trafilatur'; did you mean 'trafilatura'\?"):
        ExtractText(engine="trafilatur")
    with pytest.raises(ValueError, match="favor_recall needs favor_precision=False: both are set"):
        ExtractText(favor_recall=True)
    with pytest.raises(ValueError, match="seconds should be above 0, got 0"):
        ExtractText(seconds=0)


def test_settings_reach_the_engine():
    html = ARTICLE.replace("</article>", "</article><div class='comments'><p>I liked this comment a lot.</p></div>")
    texts = [
        ExtractText(engine="resiliparse", include_comments=on).open()(pages(html)).column("text")[0].as_py()
        for on in (False, True)
    ]
    assert ["I liked this" in text for text in texts] == [False, True]
    assert settings_of(ExtractText())["include_comments"] is False


def test_engines_load_without_arrow():
    """What the sandbox forks stays small."""
    script = "import sys\nfor name in sys.argv[1:]: __import__(name)\nassert 'pyarrow' not in sys.modules"
    subprocess.run([sys.executable, "-c", script, *ENGINES.values()], check=True, cwd=Path(__file__).parents[2])


@functools.cache
def real_pages(n: int) -> list[str]:
    from fastwarc.warc import ArchiveIterator

    found = []
    with (DATA / "crawl-dev.warc.gz").open("rb") as file:
        for record in ArchiveIterator(file):
            if record.http_headers and (record.http_content_type or "").startswith("text/html"):
                found.append(record.reader.read().decode("utf-8", "replace"))
            if len(found) == n:
                break
    return found


@pytest.mark.skipif(not DATA.exists(), reason="needs the shared data")
def test_real_pages_come_out_as_from_the_engine_itself():
    for engine in ENGINES:
        direct = [load(engine)(page.encode(), Settings()) for page in real_pages(25)]
        result = ExtractText(engine=engine).open()(pages(*real_pages(25)))
        assert [text or "" for text in result.column("text").to_pylist()] == direct
