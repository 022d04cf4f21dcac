"""The report over a small output made by hand: exact counts, escaped texts, nothing from the network."""

import json
import re
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.errors import ConfigError
from cluster.storage import Folder
from pipelines.report import charts, write_report
from schemas import columns as c
from schemas import document
from schemas.check import conform
from schemas.manifest import Counts, File, Manifest, StageCost

SCHEMA = pa.schema(
    [c.ID, c.URL, c.SOURCE, c.BODY, c.N_CHARS, c.LANG, c.N_WORDS, c.EDITS, c.DUPLICATE_OF, c.CLUSTER_SIZE]
)
STAGES = {"filter": ("ReadWarc", "ExtractText", "Language"), "dedup": ("ReadParquet", "DropDuplicates")}
HOSTILE = "<script>alert('kept')</script> & <img src=x onerror=alert(1)>"


def row(n: int, **values: Any) -> dict[str, Any]:
    return {
        "id": f"id{n}",
        "url": f"https://www.site{n % 2}.example/{n}",
        "source": f"file#{n}",
        "lang": "en",
        **values,
    }


def put_rows(folder: Folder, name: str, rows: list[dict[str, Any]], schema: pa.Schema) -> File:
    names = {key for r in rows for key in r}
    fields = pa.schema([f for f in schema if f.name in names])
    with folder.writing(name) as file:
        pq.write_table(conform(pa.Table.from_pylist(rows, fields), schema), file)
    return File(name, len(rows), folder.size(name))


def put_step(
    output: str,
    name: str,
    counts: Counts,
    kept: list[dict[str, Any]],
    removed: list[dict[str, Any]],
    dead: list[dict[str, Any]],
    costs: dict[str, StageCost],
    unreadable: tuple[tuple[int, str], ...] = (),
) -> None:
    folder = Folder(f"{output}/{name}")
    source, *stages = STAGES[name]
    files = [put_rows(folder, "data/s0.parquet", kept, document.written(SCHEMA))]
    if removed:
        files.append(put_rows(folder, "removed/s0.parquet", removed, document.removed(SCHEMA)))
    if dead:
        files.append(put_rows(folder, "dead/s0.parquet", dead, document.dead(SCHEMA)))
    about = {
        "version": 1,
        "recipe": "web",
        "upstream": None if name == "filter" else "filter",
        "fingerprint": "0123456789abcdef",
        "identity": {
            "source": {"stage": f"stages.x.{source}", "version": 1, "settings": {}},
            "stages": [{"stage": f"stages.x.{s}", "version": 1, "settings": {"limit": 5}} for s in stages],
        },
        "stages": stages,
        "versions": {"headrace": "0.1.0"},
        "inputs": [{"uri": "s3://bucket/a.warc.gz", "size": 2048, "etag": "e"}] if name == "filter" else [],
    }
    folder.put("step.json", json.dumps(about).encode())
    manifest = Manifest(
        name, "s0", "f", {"uri": "s3://bucket/a.warc.gz"}, tuple(files), counts, unreadable, costs, 3.0, 2.5
    )
    folder.put("manifests/s0.json", manifest.to_json().encode())


def put_output(output: str) -> None:
    """Twelve records: two dropped by the source, one dead, three in German, one a copy; five kept."""
    text = "The mill stands at the mouth of the creek. "
    edits = [{"stage": "Pii", "rule": "email", "n_chars_before": 100, "n_chars_after": 90}]
    kept = [row(n, text=text * 3, n_chars=129, n_words=27, edits=[]) for n in range(4)]
    kept.append(row(4, text=HOSTILE, n_chars=61, n_words=10, edits=edits))
    removed = [
        {"drop_stage": "ReadWarc", "drop_reason": "http_status", **row(5, lang=None)},
        {"drop_stage": "ReadWarc", "drop_reason": "http_status", **row(6, lang=None)},
        *(
            {"drop_stage": "Language", "drop_reason": "language", **row(n, lang="de", text=f"Wasser {HOSTILE}" * 20)}
            for n in (7, 8, 9)
        ),
    ]
    dead = [{"stage": "ExtractText", "error": "ValueError: <b>bad</b>", "traceback": "t", "attempt": 1, **row(10)}]
    copy = {"drop_stage": "DropDuplicates", "drop_reason": "duplicate", **row(11, duplicate_of="id0", text=text)}
    put_step(
        output,
        "filter",
        Counts(rows_in=12, out=6, dropped={"ReadWarc.http_status": 2, "Language.language": 3}, dead=1, unreadable=1),
        [*kept, row(11)],
        removed,
        dead,
        {"ExtractText": StageCost(10, 9, 2.0, 1.5), "Language": StageCost(9, 6, 0.5, 0.25)},
        ((4711, "gzip member damaged <i>here</i>"),),
    )
    first = {**kept[0], "cluster_size": 2}
    put_step(
        output,
        "dedup",
        Counts(rows_in=6, out=5, dropped={"DropDuplicates.duplicate": 1}),
        [first, *({**k, "cluster_size": 1} for k in kept[1:])],
        [copy],
        [],
        {"DropDuplicates": StageCost(6, 5, 0.1, 0.1)},
    )
    steps = [{"name": "filter", "seconds": 3.5}, {"name": "dedup", "seconds": 0.5}]
    result = {"recipe": "web", "status": "done", "seconds": 4.0, "steps": steps}
    Folder(output).put("run.json", json.dumps(result).encode())


@pytest.fixture
def page(tmp_path: Any) -> str:
    put_output(str(tmp_path))
    assert write_report(str(tmp_path)) == f"{tmp_path}/report.html"
    return (tmp_path / "report.html").read_text()


def flat(html: str) -> str:
    """The page as one line of text, without tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html.split("</style>")[1]))


def test_report_tells_the_totals(page: str) -> None:
    text = flat(page)
    assert "12 records = 5 kept + 6 dropped + 1 dead. Every row is accounted for." in text
    assert "1 input file, 2.0 KiB: s3://bucket/a.warc.gz" in text
    assert "41.7 % of records" in text


@pytest.mark.parametrize(
    "line",
    [
        "ReadWarc 12 in, -2 16.7 % http_status 2 16.7 %",
        "ExtractText 10 in , 1 dead",
        "Language 9 in, -3 33.3 % language 3 33.3 %",
        "DropDuplicates 6 in, -1 16.7 % duplicate 1 16.7 %",
        "kept 5 41.7 % of records",
    ],
)
def test_report_funnel_has_every_stage(page: str, line: str) -> None:
    assert line.replace(" ", "") in flat(page).replace(" ", "").replace("\N{MINUS SIGN}", "-")


def test_report_counts_rows_of_the_sample(page: str) -> None:
    text = flat(page)
    assert "German de 3 100.0 %" in text
    assert "English en 5 100.0 %" in text
    assert "site0.example 3 2" in text  # kept, removed
    assert "Pii email 1 100 90 -10.00 %" in text
    assert "https://www.site0.example/0 2 copies" in text
    assert "https://www.site1.example/11" in text


def test_report_lists_faults(page: str) -> None:
    assert "ExtractText ValueError 1 ValueError: &lt;b&gt;bad&lt;/b&gt;" in flat(page)
    assert "4,711 gzip member damaged &lt;i&gt;here&lt;/i&gt;" in flat(page)


def test_report_costs_per_row(page: str) -> None:
    assert "ExtractText 10 1.5 s 2.0 s 150.00 60.0 %" in flat(page)
    assert "ReadWarc and the rest 12 750 ms 62.50 30.0 %" in flat(page)


def test_report_text_of_pages_stays_text(page: str) -> None:
    assert "&lt;script&gt;alert(&#39;kept&#39;)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "<img" not in page
    assert "Wasser" in page  # a removed text, cut
    assert page.count("Wasser &lt;script") < 3 * 20


def test_report_asks_the_network_for_nothing(page: str) -> None:
    assert set(re.findall(r'(?:href|src|srcset|action|data)\s*=\s*"([^"#]*)', page)) <= {""}
    assert not re.search(r"url\(|@import|<link|<iframe|<object", page)
    assert "default-src 'none'" in page


def test_report_of_a_run_that_is_not_finished(tmp_path: Any) -> None:
    put_output(str(tmp_path))
    (tmp_path / "run.json").unlink()
    (tmp_path / "dedup" / "manifests" / "s0.json").unlink()
    write_report(str(tmp_path))
    text = flat((tmp_path / "report.html").read_text())
    assert "web unfinished" in text
    assert "6 rows are on their way to a step that has not met them yet." in text


def test_report_on_a_store_other_than_the_disk() -> None:
    put_output("memory://report-test/run")
    write_report("memory://report-test/run")
    assert b"Every row is accounted for" in Folder("memory://report-test/run").get("report.html")


def test_report_without_a_run_says_so(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match="no run of headrace is there"):
        write_report(str(tmp_path))


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(1, 4, "25.0 %"), (0, 4, "0.0 %"), (1, 100_000, "< 0.1 %"), (99_999, 100_000, "> 99.9 %"), (0, 0, "\u2013")],
)
def test_percent(part: int, whole: int, text: str) -> None:
    assert charts.percent(part, whole) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0124, "12 ms"), (59.96, "60.0 s"), (61, "1 min 01 s"), (7260, "2 h 01 min")]
)
def test_seconds(value: float, text: str) -> None:
    assert charts.seconds(value) == text
