import dataclasses
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.filters import C4QualityFilter, GopherQualityFilter, GopherRepetitionFilter, URLFilter
from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter

from schemas import columns as c
from stages.content_hash import ContentHash
from stages.datatrove import DatatroveBlock, as_datatrove
from stages.drop_duplicates import DropDuplicates
from stages.extract_text import ExtractText
from stages.language import Language
from stages.pii import Pii
from stages.stage import Stage, check, fingerprint, identity
from stages.url_filter import UrlFilter

DATA = Path(__file__).parents[2].parent / "shared" / "data"
FILTERS = "datatrove.pipeline.filters"
FORMATTERS = "datatrove.pipeline.formatters"
ENGLISH = "The mill stands by the river, and the wheel turns all day long while the miller sleeps."
GERMAN = "Die Mühle steht am Fluss, und das Rad dreht sich den ganzen Tag, während der Müller schläft."


def rows(*texts: str | None) -> pa.Table:
    return pa.table({"id": [str(i) for i in range(len(texts))], "text": pa.array(texts, c.TEXT)})


def documents(*texts: str, **metadata: list) -> list[Document]:
    keys = [dict(zip(metadata, values, strict=True)) for values in zip(*metadata.values(), strict=True)]
    return [Document(text=t, id=str(i), metadata=keys[i] if keys else {}) for i, t in enumerate(texts)]


def real_texts(n: int) -> list[str]:
    column = pq.read_table(DATA / "webtext-dev.parquet", columns=["text", "lang"]).filter(
        pa.compute.field("lang") == "en"
    )
    return column.column("text").to_pylist()[:n]


class Written:
    """Where datatrove writes dropped documents."""

    def __init__(self) -> None:
        self.reasons = {}

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, document: Document, rank: int) -> None:
        self.reasons[document.id] = document.metadata.get("filter_reason")


class Doubler(PipelineStep):
    type = name = "test"

    def run(self, data, rank=0, world_size=1):
        for document in data:
            yield document
            yield Document(text=document.text, id=document.id + "b")


class Third(PipelineStep):
    """Keeps every third document, without a reason, and notes it."""

    type = name = "test"

    def run(self, data, rank=0, world_size=1):
        for i, document in enumerate(data):
            if i % 3 == 0:
                document.metadata["place"] = {"number": i}
                yield document


def test_is_a_stage_whose_settings_are_its_identity():
    block = DatatroveBlock(f"{FILTERS}.GopherQualityFilter", {"min_doc_words": 10, "stop_words": ["the", "a"]})
    check((block,), pa.schema([c.ID, c.BODY]))
    assert isinstance(block, Stage)
    same = DatatroveBlock(block.block, {"stop_words": ["the", "a"], "min_doc_words": 10})
    assert (same, hash(same), pickle.loads(pickle.dumps(same))) == (block, hash(block), block)
    again = DatatroveBlock(**identity(block)["settings"])
    assert fingerprint(identity(again)) == fingerprint(identity(block))
    assert dataclasses.replace(block, settings={}) != block


@pytest.mark.parametrize(
    ("block", "settings", "error"),
    [
        (
            f"{FILTERS}.GopherQualtyFilter",
            {},
            "no block 'GopherQualtyFilter' in .*; did you mean 'GopherQualityFilter'",
        ),
        ("datatrove.filters.X", {}, "cannot import 'datatrove.filters'"),
        ("GopherQualityFilter", {}, "cannot import ''"),
        ("pathlib.Path", {}, "no block 'Path' in pathlib"),
        (f"{FILTERS}.GopherQualityFilter", {"min_words": 1}, "does not take .*unexpected keyword argument 'min_words'"),
        (f"{FILTERS}.LambdaFilter", {"filter_function": len}, "should be plain data"),
        (f"{FILTERS}.GopherQualityFilter", "[1]", "should be names and values"),
    ],
)
def test_bad_settings_are_told(block, settings, error):
    with pytest.raises(ValueError, match=f"DatatroveBlock: .*{error}"):
        DatatroveBlock(block, settings)


@pytest.mark.skipif(not DATA.exists(), reason="needs the shared data")
@pytest.mark.parametrize("cls", [GopherQualityFilter, GopherRepetitionFilter, C4QualityFilter])
def test_filter_decides_as_it_does_in_datatrove(cls):
    texts = real_texts(120)
    written = Written()
    kept = {d.id: d.text for d in cls(exclusion_writer=written).run(iter(documents(*texts)))}
    table = pa.concat_tables([rows(*texts[:50]), rows(*texts).slice(50)])
    result = DatatroveBlock(f"{FILTERS}.{cls.__name__}").open()(table).to_pylist()
    assert {row["id"]: row["text"] for row in result if row["drop_reason"] is None} == kept
    assert {row["id"]: row["drop_reason"] for row in result if row["drop_reason"]} == written.reasons
    assert kept and written.reasons
    changed = {row["id"] for row in result if row["edits"]}
    assert changed == {id_ for id_, text in kept.items() if text != texts[int(id_)]}


def test_changed_text_is_an_edit_and_null_is_not_shown():
    result = DatatroveBlock(f"{FORMATTERS}.PIIFormatter", {"email_replacement": "x@y.z"}).open()(
        rows("mail me: a.b@c.org", None, "nothing")
    )
    assert result.column("text").to_pylist() == ["mail me: x@y.z", None, "nothing"]
    assert result.column("n_chars").to_pylist() == [14, None, 7]
    edit = {"stage": "DatatroveBlock", "rule": "PIIFormatter", "n_chars_before": 18, "n_chars_after": 14}
    assert result.column("edits").to_pylist() == [[edit], None, None]
    assert result.column("drop_reason").null_count == 3


def test_block_without_reasons_and_its_metadata():
    table = rows("a", "b", "c", "d").append_column(c.META, pa.array([[("k", "v")], None, None, None], c.META.type))
    result = DatatroveBlock(f"{__name__}.Third").open()(table)
    assert result.column("drop_reason").to_pylist() == [None, "Third", "Third", None]
    assert result.column("meta").to_pylist() == [
        [("k", "v"), ("place", '{"number": 0}')], None, None, [("place", '{"number": 3}')]
    ]  # fmt: skip


def test_columns_are_the_blocks_metadata(monkeypatch):
    monkeypatch.setenv("TLDEXTRACT_PUBLIC_SUFFIX_LIST_URLS", "")  # no network
    table = rows("x", "y").append_column(c.URL, pa.array(["http://fine.org/", "http://bad.org/"]))
    settings = {"extra_urls": ["http://bad.org/"], "use_integrated_lists": False}
    with pytest.warns(DeprecationWarning, match="registered_domain"):
        result = DatatroveBlock(f"{FILTERS}.{URLFilter.__name__}", settings).open()(table)
    assert result.column("drop_reason").to_pylist() == [None, "url"]


def test_extractor_sees_html():
    page = f"<html><body><article>{''.join(f'<p>{ENGLISH} {i}</p>' for i in range(9))}</article></body></html>"
    table = rows(None, "kept", None).append_column(c.HTML, pa.array([page, None, "<p></p>"], c.TEXT))
    result = DatatroveBlock("datatrove.pipeline.extractors.Trafilatura", {"timeout": 20}).open()(table)
    assert result.column("text").to_pylist()[0].startswith(ENGLISH)
    assert result.column("text").to_pylist()[1] == "kept"
    assert result.column("drop_reason").to_pylist() == [None, None, "Trafilatura"]
    assert result.column("edits").null_count == 3


def test_block_that_makes_new_documents_is_refused():
    with pytest.raises(ValueError, match="Doubler made new documents, such as '0b'"):
        DatatroveBlock(f"{__name__}.Doubler").open()(rows("a"))


def test_empty_table():
    for block in (f"{FILTERS}.GopherQualityFilter", f"{FORMATTERS}.FTFYFormatter"):
        result = DatatroveBlock(block).open()(rows())
        assert (result.num_rows, result.schema.field("edits").type) == (0, c.EDITS.type)


def test_stage_as_a_block_drops_and_writes_metadata():
    written = Written()
    step = as_datatrove(Language(), batch_size=2, exclusion_writer=written)
    kept = list(step.run(iter(documents(ENGLISH, GERMAN, ENGLISH + " And so on."))))
    assert [d.id for d in kept] == ["0", "2"]
    assert [d.metadata["language"] for d in kept] == ["en", "en"]
    assert kept[0].metadata["language_score"] > 0.9
    assert written.reasons == {"1": "language"}
    assert step.stats["dropped_language"].total == 1


def test_stages_and_blocks_in_one_pipeline(tmp_path):
    blocks = [
        documents(ENGLISH + " a@b.com", GERMAN, ENGLISH, url=["http://x.org/", "http://x.org/", "http://porn.example"]),
        FTFYFormatter(),
        as_datatrove(UrlFilter()),
        as_datatrove(Language()),
        as_datatrove(Pii()),
        as_datatrove(ContentHash()),
    ]
    out = blocks[0]
    for block in blocks[1:]:
        out = block.run(iter(out))
    (document,) = out
    assert "example." in document.text and "a@b.com" not in document.text
    assert [e["rule"] for e in document.metadata["edits"]] == ["email"]
    assert len(document.metadata["content_hash"]) == 16
    assert document.metadata["n_chars"] == len(document.text)


def test_stage_runs_in_datatroves_executor(tmp_path):
    executor = LocalPipelineExecutor(
        [documents(ENGLISH, GERMAN), as_datatrove(Language())], tasks=1, logging_dir=str(tmp_path)
    )
    executor.run()
    stats = (tmp_path / "stats.json").read_text()
    assert '"dropped_language"' in stats
    assert pickle.loads(pickle.dumps(as_datatrove(Language()))).stage == Language()


def test_stage_that_reads_html_gets_the_text():
    page = f"<html><body><article>{''.join(f'<p>{ENGLISH} {i}</p>' for i in range(9))}</article></body></html>"
    written = Written()
    step = as_datatrove(ExtractText(engine="resiliparse"), exclusion_writer=written)
    (document,) = step.run(iter(documents(page, "<p></p>")))
    assert document.text.startswith(ENGLISH)
    assert written.reasons == {"1": "empty"}


def test_missing_metadata_is_told():
    step = as_datatrove(DropDuplicates())
    with pytest.raises(ValueError, match="DropDuplicates reads 'duplicate_of'; document '0' has no 'duplicate_of'"):
        list(step.run(iter(documents("x", duplicate=["y"]))))


def test_both_ways_give_the_same():
    texts = ["a@b.com and 8.8.8.8", "nothing"]
    ours = [d.text for d in as_datatrove(Pii()).run(iter(documents(*texts)))]
    assert ours == Pii().open()(rows(*texts)).column("text").to_pylist()
    theirs = [d.text for d in PIIFormatter().run(iter(documents(*texts)))]
    assert theirs == DatatroveBlock(f"{FORMATTERS}.PIIFormatter").open()(rows(*texts)).column("text").to_pylist()
