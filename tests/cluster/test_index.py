"""A new dump against what earlier ones have kept: the result of a run is the index of the next."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.errors import ConfigError
from cluster.recipe import Recipe, Step
from pipelines.dedup import dedup
from schemas import columns as c
from stages.dedup.bands import MinHashBands
from stages.dedup.near import NearDuplicates
from stages.drop_duplicates import DropDuplicates
from stages.read_parquet import ReadParquet
from tests.runs import account, plan_over, rows, run_local

LETTERS = "abcdefghijklmnopqrst"


def text(topic: str, changed: int | None = None) -> str:
    """200 words that only this topic has; a change replaces one."""
    words = [f"{topic}{LETTERS[i // 20]}{LETTERS[i % 20]}" for i in range(200)]
    return " ".join(f"x{word}" if i == changed else word for i, word in enumerate(words))


def write(path: Path, texts: dict[str, str]) -> Path:
    table = pa.table({"id": list(texts), "text": pa.array(list(texts.values()), c.TEXT)})
    pq.write_table(table, path)
    return path


def against(index: Path | str, bands: MinHashBands | None = None) -> Recipe:
    shuffled = Step(
        "dedup", ReadParquet(), (DropDuplicates(),), after="bands", shuffle=NearDuplicates(index=str(index), verify=0.7)
    )
    return Recipe("new", (Step("bands", ReadParquet(), (bands or MinHashBands(),)), shuffled))


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """What a run over an earlier dump has kept."""
    first = write(tmp_path / "first.parquet", {"a": text("a"), "b": text("b"), "b2": text("b", 7)})
    run_local(plan_over(dedup(), first), tmp_path / "earlier")
    return tmp_path / "earlier/dedup/data"


def test_what_earlier_dumps_have_goes(tmp_path: Path, index: Path) -> None:
    new = {"m": text("a", 3), "n": text("n"), "o": text("n", 9), "p": text("p"), "q": "few words here"}
    result = run_local(plan_over(against(index), write(tmp_path / "new.parquet", new)), tmp_path / "out")
    assert [row["id"] for row in rows(tmp_path / "out/dedup/data")] == ["n", "p", "q"]
    removed = [(r["id"], r["duplicate_of"], r["cluster_size"]) for r in rows(tmp_path / "out/dedup/removed")]
    assert removed == [("m", "a", 2), ("o", "n", 2)]
    assert account(result)[1]["dropped"] == {"DropDuplicates.duplicate": 2}


def test_the_texts_of_an_index_are_not_read(tmp_path: Path, index: Path) -> None:
    table = pa.concat_tables(pq.read_table(file) for file in index.iterdir())
    pq.write_table(table.select(["id", "bands"]), tmp_path / "index.parquet")
    new = write(tmp_path / "new.parquet", {"m": text("a", 3), "n": text("n")})
    run_local(plan_over(against(tmp_path / "index.parquet"), new), tmp_path / "out")
    assert [row["id"] for row in rows(tmp_path / "out/dedup/data")] == ["n"]


def test_index_that_cannot_be_compared_is_refused(tmp_path: Path, index: Path) -> None:
    new = write(tmp_path / "new.parquet", {"m": text("a")})
    with pytest.raises(
        ConfigError, match=r"step dedup: .*: its bands cannot be compared with these: they are 14 bands"
    ):
        plan_over(against(index, MinHashBands(seed=3)), new)


def test_index_without_bands_is_refused(tmp_path: Path) -> None:
    new = write(tmp_path / "new.parquet", {"m": text("a")})
    with pytest.raises(ConfigError, match=r"new\.parquet: NearDuplicates\.index reads 'bands'"):
        plan_over(against(new), new)
    with pytest.raises(ConfigError, match=r"NearDuplicates\.index: input .*nowhere: not there"):
        plan_over(against(tmp_path / "nowhere"), new)


def test_another_index_is_another_run(tmp_path: Path, index: Path) -> None:
    new = write(tmp_path / "new.parquet", {"m": text("m")})
    before = plan_over(against(index), new).steps[1].fingerprint
    write(tmp_path / "second.parquet", {"z": text("z")})
    run_local(plan_over(dedup(), tmp_path / "second.parquet"), tmp_path / "second")
    (file,) = (tmp_path / "second/dedup/data").iterdir()
    file.rename(index / "more.parquet")
    assert plan_over(against(index), new).steps[1].fingerprint != before
