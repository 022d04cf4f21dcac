"""Of the rows with one hash the one with the smallest id stays, wherever it was read."""

import pyarrow as pa

from schemas import columns as c
from stages.keep_first import KeepFirst

ROWS = pa.schema([c.ID, c.CONTENT_HASH, pa.field("shard", pa.string()), pa.field("row", pa.int64())])
A, B, C = (letter * 16 for letter in (b"a", b"b", b"c"))


def reduce(*rows: tuple[str, bytes, str, int]) -> list[dict[str, object]]:
    table = pa.Table.from_pylist([dict(zip(ROWS.names, row, strict=True)) for row in rows], ROWS)
    verdicts: list[dict[str, object]] = KeepFirst().reduce(table).to_pylist()
    return verdicts


def test_first_row_stays_and_the_others_name_it() -> None:
    assert reduce(("1", A, "s", 0), ("2", B, "s", 1), ("3", A, "s", 2), ("4", A, "t", 0)) == [
        {"shard": "s", "row": 0, "duplicate_of": None, "cluster_size": 3},
        {"shard": "s", "row": 2, "duplicate_of": "1", "cluster_size": 3},
        {"shard": "t", "row": 0, "duplicate_of": "1", "cluster_size": 3},
    ]


def test_smallest_id_stays_wherever_its_row_is() -> None:
    assert reduce(("3", A, "s", 0), ("1", A, "t", 0), ("2", A, "t", 7)) == [
        {"shard": "s", "row": 0, "duplicate_of": "1", "cluster_size": 3},
        {"shard": "t", "row": 0, "duplicate_of": None, "cluster_size": 3},
        {"shard": "t", "row": 7, "duplicate_of": "1", "cluster_size": 3},
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
