"""Of the rows with one hash the one with the smallest id, or the best, stays, wherever it was read."""

import random
from pathlib import Path

import pyarrow as pa
import pytest

from cluster.barrier import Particular, Shuffle
from cluster.errors import ConfigError
from cluster.recipe import Recipe, Step
from schemas import columns as c
from stages.drop_duplicates import DropDuplicates
from stages.keep_first import KeepFirst
from stages.read_parquet import ReadParquet
from tests.fakes import ReadLines
from tests.runs import plan_over, write

ROWS = pa.schema([c.ID, c.CONTENT_HASH, pa.field("shard", pa.string()), pa.field("row", pa.int64())])
A, B, C = (letter * 16 for letter in (b"a", b"b", b"c"))


def reduce(*rows: tuple[str, bytes, str, int]) -> list[dict[str, object]]:
    table = pa.Table.from_pylist([dict(zip(ROWS.names, row, strict=True)) for row in rows], ROWS)
    verdicts: list[dict[str, object]] = KeepFirst().reduce(table).to_pylist()
    return verdicts


def test_first_row_stays_and_the_others_name_it() -> None:
    assert reduce(("1", A, "s", 0), ("2", B, "s", 1), ("3", A, "s", 2), ("4", A, "t", 0)) == [
        {"shard": "s", "row": 0, "duplicate_of": None, "cluster_id": "1", "cluster_size": 3},
        {"shard": "s", "row": 2, "duplicate_of": "1", "cluster_id": "1", "cluster_size": 3},
        {"shard": "t", "row": 0, "duplicate_of": "1", "cluster_id": "1", "cluster_size": 3},
    ]


def test_smallest_id_stays_wherever_its_row_is() -> None:
    assert reduce(("3", A, "s", 0), ("1", A, "t", 0), ("2", A, "t", 7)) == [
        {"shard": "s", "row": 0, "duplicate_of": "1", "cluster_id": "1", "cluster_size": 3},
        {"shard": "t", "row": 0, "duplicate_of": None, "cluster_id": "1", "cluster_size": 3},
        {"shard": "t", "row": 7, "duplicate_of": "1", "cluster_id": "1", "cluster_size": 3},
    ]


def test_of_rows_with_one_id_the_first_stays() -> None:
    verdicts = reduce(("2", A, "s", 0), ("1", A, "s", 1), ("1", A, "t", 0), ("1", B, "t", 1), ("1", B, "t", 2))
    assert [(v["shard"], v["row"], v["duplicate_of"]) for v in verdicts] == [
        ("s", 0, "1"), ("s", 1, None), ("t", 0, "1"), ("t", 1, None), ("t", 2, "1"),
    ]  # fmt: skip


def test_rows_that_are_alone_get_no_verdict() -> None:
    assert reduce(("1", A, "s", 0), ("2", B, "s", 1)) == []


def test_clusters_do_not_mix() -> None:
    verdicts = reduce(("1", A, "s", 0), ("2", B, "s", 1), ("3", B, "s", 2), ("4", A, "s", 3), ("5", C, "s", 4))
    assert [(v["row"], v["duplicate_of"], v["cluster_size"]) for v in verdicts] == [
        (0, None, 2), (1, None, 2), (2, "2", 2), (3, "1", 2),
    ]  # fmt: skip


def test_partition_without_rows() -> None:
    assert reduce() == []


def test_verdicts_have_the_declared_types() -> None:
    table = pa.Table.from_pylist([{"id": i, "content_hash": A, "shard": "s", "row": int(i)} for i in "12"], ROWS)
    verdicts = KeepFirst().reduce(table).select(KeepFirst.adds.names)
    assert verdicts.cast(KeepFirst.adds).column("cluster_size").to_pylist() == [2, 2]


def test_row_that_is_alone_is_a_cluster_of_one() -> None:
    assert KeepFirst.alone == {"cluster_size": 1}


SCORED = pa.schema([*ROWS, pa.field("score", pa.float64()), pa.field("from", pa.string())])
WITH_SCORES = [
    {"id": "1", "content_hash": A, "shard": "s", "row": 0, "score": 0.5, "from": "news"},
    {"id": "2", "content_hash": A, "shard": "s", "row": 1, "score": 0.9, "from": "web"},
    {"id": "3", "content_hash": A, "shard": "t", "row": 0, "score": 0.9, "from": "wiki"},
    {"id": "4", "content_hash": B, "shard": "t", "row": 1, "score": 0.1, "from": "web"},
    {"id": "5", "content_hash": B, "shard": "t", "row": 2, "score": None, "from": "wiki"},
    {"id": "6", "content_hash": C, "shard": "t", "row": 3, "score": 1.0, "from": "wiki"},
]


@pytest.mark.parametrize(
    ("keep", "a", "b"),
    [
        ("first", "1", "4"),
        ("highest score", "2", "4"),
        ("lowest score", "1", "4"),
        ("prefer from wiki|news", "3", "5"),
        ("highest score, prefer from wiki", "3", "4"),
    ],
)
def test_the_best_stays_and_the_cluster_has_the_smallest_id(keep: str, a: str, b: str) -> None:
    stage = KeepFirst(keep=keep)
    verdicts = stage.reduce(pa.Table.from_pylist(WITH_SCORES, SCORED)).to_pylist()
    assert [(v["row"], v["cluster_id"], v["cluster_size"]) for v in verdicts] == [
        (0, "1", 3), (1, "1", 3), (0, "1", 3), (1, "4", 2), (2, "4", 2),
    ]  # fmt: skip
    assert [v["duplicate_of"] for v in verdicts] == [
        None if row["id"] in (a, b) else a if row["content_hash"] == A else b for row in WITH_SCORES[:5]
    ]


def test_the_same_stays_whatever_the_order_of_rows() -> None:
    stage, found = KeepFirst(keep="highest score"), set()
    for seed in range(20):
        rows = random.Random(seed).sample(WITH_SCORES, 6)
        verdicts = stage.reduce(pa.Table.from_pylist(rows, SCORED)).to_pylist()
        kept = {(v["shard"], v["row"]) for v in verdicts if v["duplicate_of"] is None}
        found.add(frozenset(row["id"] for row in rows if (row["shard"], row["row"]) in kept))
    assert found == {frozenset({"2", "4"})}


def test_it_reads_its_key_and_what_the_choice_needs() -> None:
    assert KeepFirst().reads.names == ["id", "content_hash"]
    assert KeepFirst(key="url_hash", keep="newest date, highest n_chars").reads == pa.schema(
        [c.ID, c.DATE, c.N_CHARS, c.URL_HASH]
    )
    assert KeepFirst(key="mine", keep="lowest perplexity").reads.names == ["id", "perplexity"]
    assert isinstance(KeepFirst(), Shuffle) and isinstance(KeepFirst(), Particular)


@pytest.mark.parametrize(
    ("shuffle", "fault"),
    [
        (
            KeepFirst(keep="highest surce"),
            "KeepFirst reads 'surce', which no earlier stage adds; did you mean 'source'?",
        ),
        (KeepFirst(keep="highest content_hash, newest date"), "KeepFirst reads 'date', which no earlier stage adds"),
    ],
)
def test_columns_that_are_not_there_are_told_before_the_run(tmp_path: Path, shuffle: KeepFirst, fault: str) -> None:
    step = Step("dedup", ReadParquet(), (DropDuplicates(),), after="filter", shuffle=shuffle)
    with pytest.raises(ConfigError) as caught:
        plan_over(Recipe("r", (Step("filter", ReadLines(), ()), step)), write(tmp_path / "in", {"a.txt": "a\n"}))
    assert fault in str(caught.value)


def test_a_rule_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^keep should be 'first' or a list of 'highest COLUMN'.*; got 'best score'"):
        KeepFirst(keep="best score")
