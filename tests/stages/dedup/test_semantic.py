"""Semantic duplicates: which centroid, who stays, and what is told of embeddings that are none."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cluster.barrier import Linking, Particular, Shuffle, Spreading
from schemas import columns as c
from stages.dedup.semantic import NO_EMBEDDING, AssignCentroid, SemanticDuplicates, read_centroids
from stages.stage import Stage, StageError


def vector(degrees: float, length: float = 1.0) -> list[float]:
    return [length * math.cos(math.radians(degrees)), length * math.sin(math.radians(degrees))]


def written(folder: Path, *degrees: float) -> str:
    path = folder / "centroids.npy"
    np.save(path, np.array([vector(d, 3) for d in degrees], np.float32))
    return str(path)


def documents(embeddings: list[Any], ids: str | None = None, type_: pa.DataType | None = None) -> pa.Table:
    ids = ids or "abcdefghijkl"[: len(embeddings)]
    return pa.table({"id": list(ids), "embedding": pa.array(embeddings, type_ or pa.list_(pa.float32()))})


def partition(table: pa.Table) -> pa.Table:
    """As `reduce` gets it."""
    table = table.append_column("row", pa.array(range(table.num_rows), pa.int64()))
    return table.append_column("shard", pa.array([0] * table.num_rows, pa.int32()))


def verdicts(table: pa.Table, shuffle: SemanticDuplicates) -> dict[str, tuple[str | None, str, int, float | None]]:
    ids = table.column("id").to_pylist()
    return {
        ids[v["row"]]: (v["duplicate_of"], v["cluster_id"], v["cluster_size"], v["similarity"])
        for v in shuffle.reduce(partition(table)).to_pylist()
    }


def degrees_apart(degrees: float) -> Any:
    return pytest.approx(math.cos(math.radians(degrees)), abs=1e-6)


def within(degrees: float) -> float:
    """The epsilon of an angle."""
    return 1 - math.cos(math.radians(degrees))


def test_shapes() -> None:
    assert isinstance(AssignCentroid(), Stage)
    shuffle = SemanticDuplicates()
    assert isinstance(shuffle, Shuffle)
    assert isinstance(shuffle, Particular)
    assert not isinstance(shuffle, Spreading | Linking)


def test_rows_get_the_most_similar_centroid_whatever_their_length(tmp_path: Path) -> None:
    assign = AssignCentroid(written(tmp_path, 0, 90)).open()
    table = assign(documents([vector(10, 0.01), vector(80, 500), vector(200), vector(45)]))
    assert table.column("centroid").to_pylist()[:3] == [0, 1, 1]
    assert table.column("centroid_similarity").to_pylist()[:3] == [
        degrees_apart(10), degrees_apart(10), degrees_apart(110),
    ]  # fmt: skip
    assert table.column("error").null_count == 4


def test_row_without_embedding_is_nobodys_duplicate(tmp_path: Path) -> None:
    assign = AssignCentroid(written(tmp_path, 0)).open()
    table = assign(documents([None, vector(0), vector(1), None]))
    numbers = table.column("centroid").to_pylist()
    assert numbers[1:3] == [0, 0]
    assert numbers[0] != numbers[3]
    assert min(numbers[0], numbers[3]) >= NO_EMBEDDING
    assert table.column("centroid_similarity").is_valid().to_pylist() == [False, True, True, False]
    assert table.column("error").null_count == 4
    assert set(verdicts(table, SemanticDuplicates())) == {"b", "c"}
    assert verdicts(assign(documents([None, None])), SemanticDuplicates()) == {}


def test_embeddings_that_are_none_are_errors_of_their_rows(tmp_path: Path) -> None:
    assign = AssignCentroid(written(tmp_path, 0)).open()
    table = assign(documents([[1, 2, 3], [0, 0], [float("nan"), 1], vector(5)]))
    assert table.column("error").to_pylist() == [
        "ValueError: 'embedding' has not 2 numbers, as the centroids have",
        "ValueError: 'embedding' has no direction: all zero, or not finite",
        "ValueError: 'embedding' has no direction: all zero, or not finite",
        None,
    ]


def test_column_that_holds_no_vectors_stops_the_run(tmp_path: Path) -> None:
    assign = AssignCentroid(written(tmp_path, 0)).open()
    with pytest.raises(StageError, match=r"^AssignCentroid.column 'embedding' is string, expected a list of numbers$"):
        assign(pa.table({"id": ["a"], "embedding": ["0.1 0.2"]}))
    schema = pa.schema([c.ID, c.CENTROID_SIMILARITY, pa.field("vec", pa.string())])
    assert SemanticDuplicates(column="vec").faults(schema) == ["column 'vec' is string, expected a list of numbers"]
    schema = pa.schema([c.ID, c.CENTROID_SIMILARITY, pa.field("vec", pa.list_(pa.float16()))])
    assert SemanticDuplicates(column="vec").faults(schema) == []


def test_centroids_must_be_given() -> None:
    with pytest.raises(StageError, match=r"python -m pipelines\.centroids .* set AssignCentroid\.centroids="):
        AssignCentroid().open()


def test_files_that_hold_no_centroids_are_told(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    for value, message in (
        (np.zeros(3, np.float32), r"holds float32 of shape \(3,\), expected centroids"),
        (np.array([["a"]]), r"holds <U1 of shape \(1, 1\)"),
        (np.array([[1.0, 0], [0, 0]]), r"1 of 2 centroids are zero or not finite"),
    ):
        np.save(path, value)
        with pytest.raises(StageError, match=message):
            read_centroids(path)
    path.write_bytes(b"PAR1")
    with pytest.raises(StageError, match=r"is no NumPy file of centroids"):
        read_centroids(path)


def test_what_the_centroids_are_is_part_of_the_stages_identity(tmp_path: Path) -> None:
    first = AssignCentroid(written(tmp_path, 0)).centroids_checksum
    assert first != AssignCentroid(written(tmp_path, 1)).centroids_checksum


def test_row_least_like_its_centroid_stays(tmp_path: Path) -> None:
    """The centroid is at 0; a, b and c are within 10 degrees of each other, d is not, e is of the other centroid."""
    assign = AssignCentroid(written(tmp_path, 0, 90)).open()
    table = assign(documents([vector(20), vector(24), vector(28), vector(0), vector(90)]))
    assert verdicts(table, SemanticDuplicates(epsilon=within(10))) == {
        "a": ("c", "a", 3, degrees_apart(8)),
        "b": ("c", "a", 3, degrees_apart(4)),
        "c": (None, "a", 3, None),
    }
    nearest = SemanticDuplicates(epsilon=within(10), keep="highest centroid_similarity")
    assert verdicts(table, nearest)["b"] == ("a", "a", 3, degrees_apart(4))


def test_rows_of_two_centroids_are_not_compared(tmp_path: Path) -> None:
    assign = AssignCentroid(written(tmp_path, 0, 90)).open()
    assert verdicts(assign(documents([vector(44), vector(46)])), SemanticDuplicates(epsilon=within(10))) == {}


def test_similarity_is_one_at_most(tmp_path: Path) -> None:
    """Lengths are rounded: the product of a vector with itself may be a little more."""
    values = np.random.default_rng(1).normal(size=(300, 2)).astype(np.float32)
    assign = AssignCentroid(written(tmp_path, 0)).open()
    table = pa.table({"id": [f"{i}" for i in range(600)], "embedding": [*values, *values]})
    table = assign(table)
    found = [
        score for _, _, _, score in verdicts(table, SemanticDuplicates(epsilon=1e-6)).values() if score is not None
    ]
    assert len(found) >= 300
    assert max(found) == 1


def test_keep_takes_any_column(tmp_path: Path) -> None:
    assign = AssignCentroid(written(tmp_path, 0)).open()
    table = assign(documents([vector(1), vector(2), vector(3)]).append_column("n_chars", pa.array([5, 9, 7])))
    assert verdicts(table, SemanticDuplicates(keep="highest n_chars"))["c"] == ("b", "a", 3, degrees_apart(1))
    assert verdicts(table, SemanticDuplicates(keep="first"))["c"] == ("a", "a", 3, degrees_apart(2))


def test_a_row_goes_only_if_it_is_like_one_that_stays(tmp_path: Path) -> None:
    """d at 30 stays; c at 23 goes for it; b at 16 is like c alone and stays; a at 9 goes for b."""
    assign = AssignCentroid(written(tmp_path, 0)).open()
    table = assign(documents([vector(9), vector(16), vector(23), vector(30)]))
    assert verdicts(table, SemanticDuplicates(epsilon=within(10))) == {
        "a": ("b", "a", 2, degrees_apart(7)),
        "b": (None, "a", 2, None),
        "c": ("d", "c", 2, degrees_apart(7)),
        "d": (None, "c", 2, None),
    }


def test_order_and_company_do_not_matter(tmp_path: Path) -> None:
    """Verdicts by id, over rows in another order and in other tables, with ties by the dozen."""
    draw = np.random.default_rng(3)
    np.save(tmp_path / "centroids.npy", draw.normal(size=(4, 6)).astype(np.float32))
    assign = AssignCentroid(str(tmp_path / "centroids.npy")).open()
    rows = draw.integers(-1, 2, (200, 6)).astype(np.float32)
    rows[:, 0] += 2
    table = pa.table({"id": [f"{i:03d}" for i in range(200)], "embedding": list(rows)})
    expected = verdicts(assign(table), SemanticDuplicates(epsilon=0.1))
    assert 20 < sum(of is not None for of, *_ in expected.values()) < 180
    for size in (1, 13):
        mixed = table.take(pa.array(draw.permutation(200)))
        parts = [assign(mixed.slice(begin, size)) for begin in range(0, 200, size)]
        assert verdicts(pa.concat_tables(parts), SemanticDuplicates(epsilon=0.1)) == expected


@pytest.mark.parametrize("epsilon", [0.0, -0.1, 1.5, float("nan")])
def test_epsilon_is_checked(epsilon: float) -> None:
    with pytest.raises(ValueError, match=r"^SemanticDuplicates\.epsilon should be above 0 and at most 1, got"):
        SemanticDuplicates(epsilon=epsilon)


def test_keep_is_checked() -> None:
    with pytest.raises(ValueError, match=r"^keep should be 'first' or"):
        SemanticDuplicates(keep="farthest")
