"""The command that fits centroids: what it samples, what it says, what it refuses."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.errors import ConfigError
from cluster.shards import list_inputs
from pipelines.centroids import main, sample
from stages.dedup.semantic import read_centroids
from stages.dedup.vectors import unit


def vectors(n: int) -> np.ndarray:
    return np.random.default_rng(2).normal(size=(n, 8)).astype(np.float32)


def parquet(folder: Path, values: np.ndarray, files: int, order: int = 1) -> Path:
    folder.mkdir()
    rows = [(f"id{i}", value) for i, value in enumerate(values.tolist())][::order]
    for number in range(files):
        ids, mine = zip(*rows[number::files], strict=True)
        pq.write_table(pa.table({"id": ids, "embedding": mine}), folder / f"{number}.parquet", row_group_size=30)
    return folder


def test_sample_is_the_same_however_rows_are_cut_and_ordered(tmp_path: Path) -> None:
    values = vectors(2000)
    whole = sample(list_inputs([str(parquet(tmp_path / "a", values, 1))]), "embedding", 0.25)
    other = sample(list_inputs([str(parquet(tmp_path / "b", values, 7, -1))]), "embedding", 0.25)
    assert 400 < len(whole) < 600
    assert (whole == other).all()
    assert {tuple(row) for row in whole.tolist()} < {tuple(row) for row in unit(values)[0].tolist()}


def test_share_of_one_is_every_row_that_has_a_direction(tmp_path: Path) -> None:
    values = vectors(50)
    values[7] = 0
    found = sample(list_inputs([str(parquet(tmp_path / "in", values, 2))]), "embedding", 1.0)
    expected = unit(np.delete(values, 7, axis=0))[0]
    assert sorted(found.tolist()) == sorted(expected.tolist())


def test_rows_without_id_or_embedding(tmp_path: Path) -> None:
    pq.write_table(pa.table({"embedding": [[1.0, 0.0], None, [0.0, 2.0]]}), tmp_path / "a.parquet")
    found = sample(list_inputs([str(tmp_path)]), "embedding", 1.0)
    assert sorted(found.tolist()) == [[0, 1], [1, 0]]


def test_file_is_what_the_stage_reads_and_says_its_checksum(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    folder, output = parquet(tmp_path / "in", vectors(400), 2), tmp_path / "made" / "centroids.npy"
    assert main(["--input", str(folder), "--output", str(output), "--seed", "4"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["rows"], said["sampled"], said["clusters"], said["dimensions"]) == (400, 400, 20, 8)
    assert said["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    assert read_centroids(output).shape == (20, 8)
    again = parquet(tmp_path / "again", vectors(400), 5, -1)
    assert main(["--input", str(again), "--output", str(tmp_path / "b.npy"), "--seed", "4"]) == 0
    assert (tmp_path / "b.npy").read_bytes() == output.read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--column", "embeding"], "no column 'embeding'; did you mean 'embedding'?; give --column"),
        (["--column", "id"], "'id' is string, expected a list of numbers"),
        (["--clusters", "0"], "--clusters should be at least 1, got 0"),
        (["--clusters", "41"], "40 sampled rows are too few for 41 centroids"),
    ],
)
def test_faults_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    folder = parquet(tmp_path / "in", vectors(40), 1)
    assert main(["--input", str(folder), "--output", str(tmp_path / "c.npy"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "c.npy").exists()


def test_no_parquet_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("hello")
    assert main(["--input", str(tmp_path / "a.txt"), "--output", str(tmp_path / "c.npy")]) == 2
    assert "a.txt: no Parquet file" in capsys.readouterr().err


def test_data_without_a_vector_is_told(tmp_path: Path) -> None:
    pq.write_table(pa.table({"embedding": pa.array([None], pa.list_(pa.float32()))}), tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match="no row of the sample has a vector in 'embedding'"):
        sample(list_inputs([str(tmp_path)]), "embedding", 1.0)
