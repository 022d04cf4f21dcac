"""The recipe `decontaminate` and what its report counts: exact, over kept and removed rows."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from pipelines.report import write_report

BAKER = "A baker makes twelve loaves of bread each morning and sells nine of them to the school."
MILL = "The mill stands at the mouth of the <b>creek</b> and has not turned for one hundred years."
NEVER = "Nobody wrote this question into any of the documents that are read by the test of reports."


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Fourteen documents, twelve with the baker and one of them with the mill; items of two benchmarks."""
    texts = [f"Document {n}. {BAKER}" for n in range(12)] + [f"{MILL} {BAKER}", "Nothing in it."]
    table = pa.table({"id": [f"d{n}" for n in range(14)], "text": texts})
    pq.write_table(table, tmp_path / "docs.parquet")
    items = [("math", 0, BAKER), ("math", 1, NEVER), ("math", 2, "Too short."), ("reading", "m", MILL)]
    rows = [{"benchmark": b, "item": i, "question": q} for b, i, q in items]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def decontaminated(files: Path, output: str, *settings: str) -> int:
    sets = [f"Decontaminate.benchmarks={files / 'items.jsonl'}", *settings]
    arguments = [argument for setting in sets for argument in ("--set", setting)]
    input_ = str(files / "docs.parquet")
    return main(["run", "decontaminate", "--input", input_, "--output", str(files / output), "--json", *arguments])


def ids(files: Path, part: str) -> list[str]:
    return sorted(id_ for f in (files / part).glob("*.parquet") for id_ in pq.read_table(f).column("id").to_pylist())


def test_report_counts_benchmarks_and_items(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert decontaminated(files, "out", "Decontaminate.n=13") == 0
    assert ids(files, "out/decontaminate/data") == ["d13"]
    write_report(str(files / "out"))
    found = json.loads((files / "out" / "contamination.json").read_text())
    assert found["documents"] == 13
    fields = ("name", "items", "findable", "n", "found", "documents", "share", "flagged")
    assert [tuple(b[f] for f in fields) for b in found["benchmarks"]] == [
        ("reading", 1, 1, 13, 1, 1, 1.0, True),
        ("math", 3, 2, 13, 1, 13, 1 / 3, True),
    ]
    assert pq.read_table(files / "out" / "contamination.parquet").to_pylist() == [
        {
            "benchmark": "math", "item": "0", "documents": 13, "score": 1.0, "id": "d0",
            "ngram": "a baker makes twelve loaves of bread each morning and sells nine of",
        },
        {
            "benchmark": "reading", "item": "m", "documents": 1, "score": 1.0, "id": "d12",
            "ngram": "the mill stands at the mouth of the bcreekb and has not turned",
        },
    ]  # fmt: skip
    page = (files / "out" / "report.html").read_text()
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))
    assert "by rule gpt3: 13 documents, counted over all rows" in text
    assert "math flagged 13 3 2 1 33.3 % 13" in text
    assert '<a href="#contamination">' in page
    capsys.readouterr()


def test_ngrams_of_more_than_ten_documents_are_no_evidence_in_a_second_run(files: Path) -> None:
    decontaminated(files, "first", "Decontaminate.n=13", "Decontaminate.action=mark")
    assert len(ids(files, "first/decontaminate/data")) == 14
    write_report(str(files / "first"))
    common = (files / "first" / "common-ngrams.txt").read_text().splitlines()
    assert common == [
        "a baker makes twelve loaves of bread each morning and sells nine of",
        "baker makes twelve loaves of bread each morning and sells nine of them",
        "loaves of bread each morning and sells nine of them to the school",
        "makes twelve loaves of bread each morning and sells nine of them to",
        "twelve loaves of bread each morning and sells nine of them to the",
    ]
    ignore = f"Decontaminate.ignore={files / 'first' / 'common-ngrams.txt'}"
    decontaminated(files, "second", "Decontaminate.n=13", ignore)
    assert ids(files, "second/decontaminate/removed") == ["d12"]


def test_report_without_the_items_counts_what_the_rows_have(files: Path) -> None:
    decontaminated(files, "out", "Decontaminate.n=13")
    (files / "items.jsonl").unlink()
    write_report(str(files / "out"))
    found = json.loads((files / "out" / "contamination.json").read_text())
    assert [(b["name"], b["items"], b["found"], b["flagged"]) for b in found["benchmarks"]] == [
        ("math", None, 1, False),
        ("reading", None, 1, False),
    ]
    assert not (files / "out" / "common-ngrams.txt").exists()


def test_a_run_without_benchmarks_says_what_to_set(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    input_ = str(files / "docs.parquet")
    assert main(["run", "decontaminate", "--input", input_, "--output", str(files / "out")]) == 1
    assert "set Decontaminate.benchmarks to a file of test items" in capsys.readouterr().err
