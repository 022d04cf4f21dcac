"""What is wrong with the settings of a dedup is told before anything starts: exit status 2, and the reason."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from schemas import columns as c
from stages.dedup.bands import MinHashBands

RECIPE = """
name: new
steps:
  - name: bands
    source: stages.read_parquet.ReadParquet
    stages: [STAGES]
  - name: dedup
    after: bands
    source: stages.read_parquet.ReadParquet
    shuffle: {stage: stages.dedup.near.NearDuplicates, verify: 0.7}
    stages: [stages.drop_duplicates.DropDuplicates]
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    table = pa.table({"id": ["a", "b"], "text": pa.array(["one two three four five six", "seven"], c.TEXT)})
    pq.write_table(table, tmp_path / "in.parquet")
    return tmp_path / "in.parquet"


def refused(capsys: pytest.CaptureFixture[str], *words: str, recipe: str = "dedup") -> str:
    """What is said of a run with exit status 2 that has written nothing."""
    assert main(["run", recipe, "--input", "in.parquet", "--output", "out", *words]) == 2
    assert not Path("out").exists()
    said = capsys.readouterr()
    assert said.out == ""
    return said.err.strip()


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("MinHashBands.num_buckets=0", "MinHashBands.num_buckets should be at least 1, got 0"),
        ("MinHashBands.hashes_per_bucket=0", "MinHashBands.hashes_per_bucket should be at least 1, got 0"),
        ("MinHashBands.n_grams=0", "MinHashSignature.n_grams should be at least 1, got 0"),
        ("MinHashBands.threshold=0", "MinHashBands.threshold should be between 0 and 1, got 0.0"),
        ("MinHashBands.threshold=1", "MinHashBands.threshold should be between 0 and 1, got 1.0"),
        ("MinHashBands.threshold=1.2", "MinHashBands.threshold should be between 0 and 1, got 1.2"),
        ("NearDuplicates.verify=0", "NearDuplicates.verify should be above 0 and at most 1, got 0.0"),
        ("NearDuplicates.verify=1.5", "NearDuplicates.verify should be above 0 and at most 1, got 1.5"),
        ("NearDuplicates.verify=.nan", "NearDuplicates.verify should be float | None, got nan"),
        ("NearDuplicates.max_cluster=0", "NearDuplicates.max_cluster should be at least 1, got 0"),
        ("NearDuplicates.keep=best n_chars", "keep should be 'first' or a list of 'highest COLUMN'"),
        ("NearDuplicates.keep=highest quality", "NearDuplicates reads 'quality', which no earlier stage adds"),
        ("NearDuplicates.keep=highest bands", "NearDuplicates: keep orders rows by 'bands', a list<"),
        ("NearDuplicates.keep=highest text", "NearDuplicates: keep orders rows by 'text', which is not there for all"),
        ("NearDuplicates.index=nowhere", "NearDuplicates.index: input nowhere: not there"),
    ],
)
@pytest.mark.usefixtures("source")
def test_wrong_setting(capsys: pytest.CaptureFixture[str], setting: str, reason: str) -> None:
    assert reason in refused(capsys, "--set", setting)


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize(("recipe", "shuffle"), [("dedup-exact", "KeepFirst"), ("dedup-lines", "RepeatedLines")])
def test_keep_by_a_column_that_is_not_there(capsys: pytest.CaptureFixture[str], recipe: str, shuffle: str) -> None:
    said = refused(capsys, "--set", f"{shuffle}.keep=newest dat", recipe=recipe)
    assert f"{shuffle} reads 'dat', which no earlier stage adds" in said


def test_index_without_bands(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "--set", "NearDuplicates.index=in.parquet")
    assert "in.parquet: NearDuplicates.index reads 'bands', which no earlier stage adds" in said


def test_index_of_another_kind(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(MinHashBands(seed=5).open()(pq.read_table(source)), "raw.parquet")
    said = refused(capsys, "--set", "NearDuplicates.index=raw.parquet")
    assert "they are of unknown make, these are 14 bands of 8, shingles of 5 words, fast, seed 1" in said
    assert main(["run", "dedup", "--input", "in.parquet", "--output", "earlier", "--set", "MinHashBands.seed=5"]) == 0
    capsys.readouterr()
    said = refused(capsys, "--set", "NearDuplicates.index=earlier/dedup/data")
    assert "seed 5, version 1, these are 14 bands of 8, shingles of 5 words, fast, seed 1" in said


def test_index_that_is_no_parquet(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("index.txt").write_text("a\n")
    assert "index.txt: no Parquet file" in refused(capsys, "--set", "NearDuplicates.index=index.txt")


@pytest.mark.usefixtures("source")
def test_near_duplicates_without_bands_before(capsys: pytest.CaptureFixture[str]) -> None:
    Path("new.yaml").write_text(RECIPE.replace("STAGES", "stages.content_hash.ContentHash"))
    assert "step dedup: NearDuplicates reads 'bands', which no earlier stage adds" in refused(capsys, recipe="new.yaml")


def test_bands_that_do_not_say_how_they_were_made(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pq.read_table(source)
    bands = pa.array([[1, 2], None], c.BANDS.type)
    pq.write_table(table.append_column("bands", bands), source)
    Path("new.yaml").write_text(RECIPE.replace("[STAGES]", "[]"))
    said = refused(capsys, recipe="new.yaml")
    assert "NearDuplicates: column 'bands' does not say how it was made: let MinHashBands make it" in said


@pytest.mark.usefixtures("source")
def test_a_shuffle_in_the_first_step(capsys: pytest.CaptureFixture[str]) -> None:
    Path("new.yaml").write_text(
        RECIPE.replace("STAGES", "stages.dedup.bands.MinHashBands").replace("    after: bands\n", "")
    )
    assert "NearDuplicates shuffles the rows of an earlier step, but 'after' names none" in refused(
        capsys, recipe="new.yaml"
    )


@pytest.mark.usefixtures("source")
def test_too_little_memory(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--memory should be at least 640MiB, got 100MB" in refused(capsys, "--memory", "100MB")
