"""The report's section on duplicates: counts by hand, pairs with their difference, pages that stay text."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.storage import Folder
from pipelines.cli import main
from pipelines.report import write_report
from pipelines.report.account import read_account
from pipelines.report.duplicates import Cluster, Duplicates, Site, Sizes, read_duplicates

WORDS = [f"w{a}{b}" for a in "abcdefghij" for b in "abcdefghij"]  # 100 words, 96 shingles
TEXT = " ".join(WORDS)
NEAR = " ".join("<script>alert(1)</script>" if i == 2 else word for i, word in enumerate(WORDS))
OTHER = " ".join(f"v{word}" for word in WORDS)
DOCUMENTS = [
    ("a1", "https://mill.example/1", TEXT),
    ("a2", "https://www.mill.example/<b>2", TEXT),
    ("a3", "https://copy.example/a", NEAR),
    ("b1", "https://mill.example/3", OTHER),
    ("b2", "https://copy.example/b", OTHER),
    ("c1", None, "alone " * 3 + " ".join(f"u{word}" for word in WORDS)),
]


def deduplicated(tmp_path: Path, *options: str) -> Path:
    ids, urls, texts = zip(*DOCUMENTS, strict=True)
    table = pa.table({"id": ids, "url": pa.array(urls, pa.string()), "text": pa.array(texts, pa.large_string())})
    pq.write_table(table, tmp_path / "docs.parquet")
    words = ["run", "dedup", "--input", str(tmp_path / "docs.parquet"), "--output", str(tmp_path / "out"), "--json"]
    assert main([*words, *options]) == 0
    return tmp_path / "out"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return deduplicated(tmp_path)


def read(out: Path) -> Duplicates:
    folder = Folder(str(out))
    (found,) = read_duplicates(folder, read_account(folder))
    return found


def page_of(out: Path) -> str:
    write_report(str(out))
    return (out / "report.html").read_text()


def test_figures_are_those_of_the_rows(out: Path) -> None:
    found = read(out)
    assert (found.step, found.dropped, found.rows, found.of_rows) == ("dedup", 3, 6, 6)
    assert found.sizes == (Sizes("2", 1, 1), Sizes("3", 1, 2))
    assert found.clusters == (
        Cluster("https://mill.example/1", 3, 2, ("https://www.mill.example/<b>2", "https://copy.example/a")),
        Cluster("https://mill.example/3", 2, 1, ("https://copy.example/b",)),
    )
    assert found.sites == (Site("copy.example", 2, 0, 0), Site("mill.example", 1, 1, 2))
    assert [(round(start, 2), n) for start, n in found.scores] == [(0.9, 1), (0.95, 2)]  # 93 / 102 and twice 1
    assert found.measure == "Jaccard"
    assert (found.unscored, found.max_cluster, found.verify) == (0, 100_000, 0.7)


def test_a_component_that_the_guard_cut_up_is_an_alarm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = deduplicated(tmp_path, "--set=NearDuplicates.max_cluster=2")
    assert read(out).largest_component == 3
    assert "<strong>Alarm: 3 rows hung together,</strong> more than 2" in page_of(out)
    assert "dedup: 3 rows hang together, more than NearDuplicates.max_cluster 2: they are" in capsys.readouterr().err


def test_pairs_are_side_by_side_with_their_difference(out: Path) -> None:
    near, exact = read(out).pairs
    assert (near.kept, near.removed) == ("https://mill.example/1", "https://copy.example/a")
    assert near.score == pytest.approx(93 / 102)  # a tag is three words more
    assert [part.text.strip() for part in near.left if part.kind == "only"] == ["wac"]
    assert [part.text.strip() for part in near.right if part.kind == "only"] == ["<script>alert(1)</script>"]
    assert [part.kind for part in near.left] == ["same", "only", "same", "fold"]
    assert (exact.score, {part.kind for part in exact.left}) == (1.0, {"same"})


def test_page_shows_it_and_pages_stay_text(out: Path) -> None:
    page = page_of(out)
    assert '<mark class="dropped">&lt;script&gt;alert(1)&lt;/script&gt; </mark>' in page
    assert "https://www.mill.example/&lt;b&gt;2" in page
    assert "<script" not in page
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.split("</style>")[1]))
    assert "dedup 3 rows dropped as duplicates, verified at 0.7" in text
    assert "from all 6 rows, kept and removed" in text
    assert "copy.example 2 0 0" in text
    assert "0.95 to 1.00 2" in text
    assert "more than 100,000 rows would be cut up" in text
    assert "Jaccard 0.912" in text


def test_texts_that_were_left_out_are_not_shown(tmp_path: Path) -> None:
    out = deduplicated(tmp_path, "--no-removed-text")
    assert {(pair.left, pair.right) for pair in read(out).pairs} == {((), ())}
    assert "no text" in page_of(out)


def test_without_duplicates_or_a_step_that_drops_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.pipelines.test_report_duplicates.DOCUMENTS", [DOCUMENTS[0], DOCUMENTS[3]])
    out = deduplicated(tmp_path)
    found = read(out)
    assert (found.dropped, found.clusters, found.pairs, found.scores) == (0, (), (), ())
    assert "There were none." in page_of(out)
    (out / "dedup" / "step.json").unlink()
    assert 'id="duplicates"' not in page_of(out)


def test_a_run_without_ids_of_clusters_and_scores(out: Path) -> None:
    """As exact dedup wrote it before it named clusters: the row that stays names the cluster."""
    for part in ("data", "removed"):
        for file in (out / "dedup" / part).glob("*.parquet"):
            table: Any = pq.read_table(file)
            pq.write_table(table.drop_columns(["cluster_id", "cluster_size", "jaccard_score"]), file)
    found = read(out)
    assert found.sizes == (Sizes("2", 1, 1), Sizes("3", 1, 2))
    assert (found.scores, found.unscored, [pair.score for pair in found.pairs]) == ((), 3, [None, None])


def test_columns_of_another_type_are_not_ours(out: Path) -> None:
    for file in (out / "dedup" / "removed").glob("*.parquet"):
        table: Any = pq.read_table(file)
        at = table.column_names.index("jaccard_score")
        pq.write_table(table.set_column(at, "jaccard_score", pa.array(["high"] * table.num_rows)), file)
    assert (read(out).scores, read(out).unscored) == ((), 3)


def test_cosines_are_called_so(out: Path) -> None:
    for file in (out / "dedup" / "removed").glob("*.parquet"):
        table: Any = pq.read_table(file)
        names = [{"jaccard_score": "similarity"}.get(name, name) for name in table.column_names]
        pq.write_table(table.rename_columns(names), file)
    assert read(out).measure == "cosine"
    assert "cosine 0.912" in page_of(out)
