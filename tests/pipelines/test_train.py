"""`headrace train refiner`: labelled rows and pages in, a folder that `refine` can use out."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")

import torch

from cluster.errors import ConfigError
from pipelines.labelled import read_documents, read_texts, read_unread
from pipelines.train import Labels, as_text, fingerprint, train_refiner
from stages.models.refiner.train import Phase, Settings, Shape
from stages.refine import agreed
from stages.refine.labels import draws_the_line, is_held_back

SIDES = ("seen", "unseen")  # of a training: families of boilerplate
TINY = Settings(
    steps=12,
    shape=Shape(vocabulary=1450, hidden=32, intermediate=48, layers=2, heads=2),
    windows=(Phase(1.0, 40, 80, 200),),
)
PARAGRAPH = (
    "The mill of {} stands at the mouth of the creek, and it has two clocks on its wall for the tide and the village."
)


def rows(n: int) -> list[dict[str, Any]]:
    return [
        {
            "doc": f"d{i}",
            "lang": "en",
            "lines": ["Home", "News", PARAGRAPH.format(i), PARAGRAPH.format(i + 1), PARAGRAPH.format(i + 2), "Tags"],
            "keep": [False, False, True, True, True, False],
            "licence": "CC0",
        }
        for i in range(n)
    ]


def warc(path: Path, pages: dict[str, str]) -> str:
    with path.open("wb") as file:
        for url, html in pages.items():
            body = html.encode()
            http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + body
            head = (
                f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
                f"WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-{abs(hash(url)) % 10**12:012d}>\r\n"
                f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
            )
            file.write(head.encode() + http + b"\r\n\r\n")
    return str(path)


def parquet(path: Path, rows: list[dict[str, Any]]) -> str:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


def test_a_folder_comes_out_with_its_training(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    given = parquet(tmp_path / "labels.parquet", rows(30))
    told: list[str] = []
    report = train_refiner(
        str(tmp_path / "model"), Labels([given]), settings=TINY, tell=told.append, generated=2, judged=2
    )
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "generation_config.json", "headrace.json"} <= names
    written = json.loads((tmp_path / "model" / "training.json").read_text())
    assert written["settings"]["steps"] == 12
    assert written["sources"] == [{"file": "labels.parquet", "rows": 30, "licences": {"CC0": 30}}]
    line = sum(draws_the_line(f"d{i}") for i in range(30))
    held = sum(is_held_back(f"d{i}") for i in range(30)) - line
    assert line and held
    counts = {"learnt": {"people": 30 - held - line}, "line": {"people": line}, "held_back": {"people": held}}
    assert written["documents"] == counts
    generated = {f"{text}, families {kind}" for text in ("generated", "generated in paragraphs") for kind in SIDES}
    assert set(written["held_back"]) == {"people", *generated}
    people = written["held_back"]["people"]
    assert people["keep all"]["keep_f1"] == 0.6667  # half of the lines are noise
    assert people["best rule"]["f1"] == people["one rule"]["macro_f1"] == 1.0  # short lines
    assert f"{line} to draw the line by, {held} to judge by" in told[0]
    assert "best rule (characters < " in as_text(report)


def test_pages_are_labelled_by_their_references(tmp_path: Path) -> None:
    text = " ".join(PARAGRAPH.format(i) for i in range(3))
    html = f"<html><body><ul><li><a href='/'>Home</a></li></ul><article><p>{text}</p></article></body></html>"
    pages = warc(tmp_path / "pages.warc", {"http://a.example/": html, "http://b.example/": html})
    truth = parquet(
        tmp_path / "truth.parquet",
        [
            {"url": "http://a.example/", "site": "a.example", "lang": "en", "text": text, "truth_kind": None},
            {"url": "http://b.example/", "site": "b.example", "lang": "en", "text": text, "truth_kind": "prefix of it"},
            {"url": "http://c.example/", "site": "c.example", "lang": "en", "text": None, "truth_kind": None},
        ],
    )
    documents, _ = read_documents([], [pages], truth)
    assert {d.site for d in documents} == {"a.example"}
    assert [d.source for d in documents] == ["pages/all", "pages/main", "pages/recall"]
    assert fingerprint(documents) != fingerprint(documents[:2])


def page(text: str, aside: str = "") -> str:
    """A page with a menu, an article and a footer."""
    return (
        f"<html><body><ul><li><a href='/'>Home</a></li><li><a href='/shop'>Shop</a></li></ul><article>{text}</article>"
        f"{aside}<div class='footer'>Terms and conditions</div></body></html>"
    )


def test_pages_that_nobody_has_read_are_labelled_by_what_two_extractors_agree_on(tmp_path: Path) -> None:
    text = "".join(f"<p>{PARAGRAPH.format(i)}</p>" for i in range(6))
    pages = warc(
        tmp_path / "pages.warc",
        {
            "http://news.a.example/1": page(text),
            "http://c.example/": page("<p>Too short to agree on.</p>"),
            "http://d.example/read": page(text),
            "http://e.example/": page(text),
        },
    )
    rows = [
        {"url": "http://a.example/", "site": "a.example", "lang": "en", "text": text, "truth_kind": None},
        {"url": "http://d.example/read", "site": "d.example", "lang": "en", "text": text, "truth_kind": None},
    ]
    documents, others, (source,) = read_unread([pages], parquet(tmp_path / "truth.parquet", rows), rest=True)
    assert {(d.site, d.source) for d in others} == {("c.example", f"taught/{way}") for way in ("all", "main", "recall")}
    assert {d.site for d in documents} == {"a.example", "e.example"}
    assert {d.source for d in documents} == {"agreed/all", "agreed/main", "agreed/recall"}
    assert source == {"file": "pages.warc", "unread": 4, "agreed": 2, "broken": 0, "taught": 1}
    whole = next(d for d in documents if d.source == "agreed/all")
    kept = dict(zip(whole.lines, whole.keep, strict=True))
    assert kept[PARAGRAPH.format(0)]
    assert not any(keep for line, keep in kept.items() if "Home" in line or "Terms" in line)


def test_pages_that_break_an_extractor_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking(html: str) -> None:
        raise ValueError("the tree has no root")

    monkeypatch.setattr(agreed, "agreed_reference", breaking)
    pages = warc(tmp_path / "pages.warc", {"http://a.example/": page(PARAGRAPH)})
    documents, others, (source,) = read_unread([pages], None)
    assert (documents, others, source) == ([], [], {"file": "pages.warc", "unread": 1, "agreed": 0, "broken": 1})


@pytest.mark.parametrize(
    ("inputs", "pages", "truth", "message"),
    [
        ([], [], None, "nothing to learn from"),
        ([], ["x.warc"], None, "--pages and --truth go together"),
        (["few"], [], None, "3 labelled documents are too few"),
        (["wrong"], [], None, r"no column 'keep'; did you mean 'kept'\? \(there: lines, kept\), given by --input"),
    ],
)
def test_what_is_wrong_is_said(
    inputs: list[str], pages: list[str], truth: str | None, message: str, tmp_path: Path
) -> None:
    parquet(tmp_path / "few", rows(3))
    parquet(tmp_path / "wrong", [{"lines": ["a"], "kept": [True]}])
    labels = Labels([str(tmp_path / name) for name in inputs], pages, truth)
    with pytest.raises(ConfigError, match=message):
        train_refiner(str(tmp_path / "m"), labels, TINY)


def test_a_teacher_labels_texts_that_nobody_has_read(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    labelled = [row | {"lines": row["lines"] * 3, "keep": row["keep"] * 3} for row in rows(30)]
    held = next(f"d{i}" for i in range(30) if is_held_back(f"d{i}"))
    texts = [
        {"id": "t1", "text": f"Home\nSport\n{PARAGRAPH.format('Ann')}\nTerms"},
        {"id": "t2", "text": "short"},
        {"id": "t4", "text": None},
        {"id": "t3", "text": f"A copy of one that judges:\n{PARAGRAPH.format(int(held[1:]))}"},
    ]
    labels = Labels(
        [parquet(tmp_path / "labels.parquet", labelled)], texts=[parquet(tmp_path / "texts.parquet", texts)]
    )
    told: list[str] = []
    report = train_refiner(
        str(tmp_path / "model"), labels, replace(TINY, teacher=True), generated=2, judged=2, tell=told.append
    )
    learnt = report["documents"]["learnt"]
    assert learnt["taught/text"] == 1
    assert report["sources"][-1] == {
        "file": "texts.parquet", "rows": 4, "licences": {"unknown": 4}, "taught": 2,
    }  # fmt: skip
    assert f"the teacher learns from {learnt['people']} documents and labels 1 more" in told
    assert report["settings"]["teacher"] is True


def test_a_text_is_of_the_site_that_its_host_belongs_to(tmp_path: Path) -> None:
    truth = parquet(
        tmp_path / "truth.parquet",
        [
            {"url": "http://a.example/1", "site": "a.example", "text": "x"},
            {"url": "http://b/", "site": "b", "text": "x"},
        ],
    )
    rows = [{"id": "1", "url": "http://www.a.example/2"}, {"id": "2", "url": "http://c.example/"}, {"id": "3"}]
    texts = parquet(tmp_path / "texts.parquet", [{"url": None, **row, "text": PARAGRAPH} for row in rows])
    documents, _ = read_texts([texts], truth)
    assert [document.site for document in documents] == ["a.example", "c.example", "3"]


def test_a_teacher_wants_more_than_a_few_sites(tmp_path: Path) -> None:
    given = parquet(tmp_path / "labels.parquet", [row | {"site": f"s{i % 3}"} for i, row in enumerate(rows(60))])
    with pytest.raises(ConfigError, match=r"--teacher needs labels of both kinds and of 5 sites or more, found [123]"):
        train_refiner(str(tmp_path / "m"), Labels([given]), replace(TINY, teacher=True), tell=lambda _: None)


def test_a_refiner_is_gone_on_from(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    given = parquet(tmp_path / "labels.parquet", rows(30))
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    train_refiner(first, Labels([given]), settings=TINY, tell=lambda _: None, generated=2, judged=2)
    again = replace(TINY, steps=1, start=f"transformers:{first}")
    train_refiner(second, Labels([given]), settings=again, tell=lambda _: None, generated=2, judged=2)
    before, after = (json.loads((Path(where) / "training.json").read_text()) for where in (first, second))
    assert after["start"] == {name: before[name] for name in ("cpu_seconds", "data_sha256", "settings", "losses")}
    assert "start" not in before
    assert after["settings"]["start"] is None  # where it lay is nobody's business
    assert (tmp_path / "first/tokenizer.json").read_bytes() == (tmp_path / "second/tokenizer.json").read_bytes()
    assert (tmp_path / "first/model.safetensors").read_bytes() != (tmp_path / "second/model.safetensors").read_bytes()


def test_a_start_that_is_no_refiner_is_refused(tmp_path: Path) -> None:
    given = parquet(tmp_path / "labels.parquet", rows(30))
    (tmp_path / "other").mkdir()
    (tmp_path / "other/config.json").write_text("{}")
    start = replace(TINY, start=f"transformers:{tmp_path / 'other'}")
    with pytest.raises(ConfigError, match=r"--start transformers:.*/other: no refiner of `headrace train refiner`"):
        train_refiner(str(tmp_path / "model"), Labels([given]), settings=start, tell=lambda _: None)
