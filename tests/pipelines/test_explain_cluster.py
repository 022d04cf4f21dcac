"""The cluster of a row: from the one that stayed and from one that was removed."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from pipelines.explain import as_text, explain

WORDS = [f"w{a}{b}" for a in "abcdefghij" for b in "abcdefghij"]
NEAR = " ".join("new" if i == 50 else word for i, word in enumerate(WORDS))  # 91 of 101 shingles
OTHER = " ".join(f"v{word}" for word in WORDS)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Twenty-three copies of one page, one that is like it, and one that is alone."""
    ids = [*(f"copy{n:02}" for n in range(23)), "near", "other"]
    table = pa.table(
        {
            "id": ids,
            "url": [None if id_ == "near" else f"https://mill.example/{id_}" for id_ in ids],
            "text": pa.array([*[" ".join(WORDS)] * 23, NEAR, OTHER], pa.large_string()),
        }
    )
    pq.write_table(table, tmp_path / "docs.parquet")
    words = ["run", "dedup", "--input", str(tmp_path / "docs.parquet"), "--output", str(tmp_path / "out"), "--json"]
    assert main(words) == 0
    return tmp_path / "out"


def test_a_row_that_stays_names_the_others(out: Path) -> None:
    cluster = explain(str(out), "copy00")["cluster"]
    assert {key: cluster[key] for key in ("step", "id", "size", "stays", "more")} == {
        "step": "dedup", "id": "copy00", "size": 24, "stays": "copy00", "more": 3,
    }  # fmt: skip
    assert cluster["others"] == [
        {
            "id": f"copy{n:02}",
            "url": f"https://mill.example/copy{n:02}",
            "duplicate_of": "copy00",
            "jaccard_score": 1.0,
        }
        for n in range(1, 21)
    ]


def test_a_row_that_was_removed_names_the_one_that_stays_first(out: Path) -> None:
    found = explain(str(out), "near")
    cluster = found["cluster"]
    assert (cluster["size"], cluster["stays"], cluster["more"]) == (24, "copy00", 3)
    assert cluster["others"][0] == {
        "id": "copy00", "url": "https://mill.example/copy00", "duplicate_of": None, "jaccard_score": None,
    }  # fmt: skip
    assert [other["id"] for other in cluster["others"][1:]] == [f"copy{n:02}" for n in range(1, 20)]
    assert json.loads(json.dumps(found["cluster"])) == cluster


def test_text_for_a_person(out: Path) -> None:
    lines = as_text(explain(str(out), "near")).splitlines()
    at = lines.index("cluster copy00 of step dedup: 24 rows; copy00 stays instead of this one")
    assert lines[at + 1 : at + 3] == [
        "  stays          copy00  https://mill.example/copy00",
        "  removed 1.000  copy01  https://mill.example/copy01",
    ]
    assert lines[-2:] == ["  and 3 more", "duplicate of copy00, which stays"]
    lines = as_text(explain(str(out), "copy00")).splitlines()
    assert "cluster copy00 of step dedup: 24 rows; this one stays" in lines
    lines = as_text(explain(str(out), "copy22")).splitlines()
    assert "  stays          copy00  https://mill.example/copy00" in lines


def test_of_a_chain_several_rows_stay(tmp_path: Path) -> None:
    """b is like a, c like b but not like a: c stays, and d, which is c once more, goes for it."""

    def changed(*places: int) -> str:
        return " ".join(f"x{word}" if i in places else word for i, word in enumerate(WORDS))

    texts = [changed(), changed(20, 40), changed(20, 40, 60, 80), changed(20, 40, 60, 80)]  # 86 / 106 and 76 / 116
    pq.write_table(pa.table({"id": list("abcd"), "text": pa.array(texts, pa.large_string())}), tmp_path / "d.parquet")
    assert main(["run", "dedup", "--input", str(tmp_path / "d.parquet"), "--output", str(tmp_path / "out")]) == 0
    lines = as_text(explain(str(tmp_path / "out"), "a")).splitlines()
    at = lines.index("cluster a of step dedup: 4 rows; this one stays")
    assert lines[at + 1 : at + 4] == ["  stays          c", "  removed 1.000  d  as c", "  removed 0.811  b"]


def test_the_cluster_of_an_earlier_run_is_not_one_of_this_run(out: Path) -> None:
    assert main(["run", "dedup", "--input", str(out / "dedup/data"), "--output", str(out.parent / "again")]) == 0
    found = explain(str(out.parent / "again"), "copy00")
    assert [step["step"] for step in found["steps"]] == ["bands", "dedup"]
    assert "cluster" not in found


def test_a_row_that_is_alone_has_no_cluster(out: Path) -> None:
    found = explain(str(out), "other")
    assert "cluster" not in found
    assert "cluster other" not in as_text(found)
