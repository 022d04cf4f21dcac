"""The recipe over files: the same rows whatever the files, their order and the partitions."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.exchange import phases
from cluster.recipe import Recipe, Step
from pipelines.dedup_substring import dedup_substring
from schemas import columns as c
from stages.dedup.substring import ExactSubstring, Winnowing
from stages.dedup.substring_cut import CutSpans
from stages.read_parquet import ReadParquet
from tests.runs import plan_over, rows, run_local
from tests.stages.substring_reference import repeats


def documents() -> list[tuple[str, str]]:
    """80 texts (id, text), every second with 20 to 200 words of another."""
    chance = random.Random(5)
    split = [[f"w{chance.randrange(5000)}" for _ in range(200)] for _ in range(80)]
    for number in range(1, 80, 2):
        begin, of = chance.randrange(180), chance.choice(split)
        at = chance.randrange(200)
        split[number][at:at] = of[begin : begin + chance.randint(20, 200)]
    return [(f"{chance.getrandbits(64):016x}", " ".join(words)) for words in split]


def parquet(folder: Path, found: list[tuple[str, str]], files: int) -> Path:
    folder.mkdir()
    for number in range(files):
        ids, texts = zip(*found[number::files], strict=True)
        pq.write_table(pa.table({"id": ids, "text": pa.array(texts, c.TEXT)}), folder / f"{number}.parquet")
    return folder


def by_id(folder: Path) -> dict[str, dict[str, Any]]:
    return {row.pop("id"): row for row in rows(folder)}


def test_recipe_finds_what_the_definition_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = documents()
    expected = {
        id_: [{"start": start, "end": end, "of": of} for start, end, of in spans] or None
        for (id_, _), spans in zip(found, repeats(found, 50), strict=True)
    }
    assert sum(spans is not None for spans in expected.values()) > 20
    runs = []
    for name, files, order, keys in (("a", 1, 1, 10**6), ("b", 2, 1, 2000), ("c", 5, -1, 700)):
        monkeypatch.setattr(phases, "KEY_BYTES", (phases.DEFAULT_MEMORY - phases.AT_REST) // (phases.COPIES * keys))
        folder = parquet(tmp_path / name, found[::order], files)
        run_local(plan_over(dedup_substring(), folder), tmp_path / f"{name}-out")
        kept, removed = (by_id(tmp_path / f"{name}-out/cut/{part}") for part in ("data", "removed"))
        assert {id_: row["repeats"] for id_, row in (kept | removed).items()} == expected
        runs.append({id_: (row["text"], row["n_chars"]) for id_, row in kept.items()})
    assert runs[0] == runs[1] == runs[2]
    assert sum(len(text) for text, _ in runs[0].values()) < sum(len(text) for _, text in found) * 0.9


def test_one_shuffle_finds_the_same_spans(tmp_path: Path) -> None:
    folder = parquet(tmp_path / "in", documents(), 2)
    cut = Step("cut", ReadParquet(), (CutSpans(),), after="read", shuffle=ExactSubstring(narrowed=False))
    for name, recipe in (("one", Recipe("one", (Step("read", ReadParquet(), ()), cut))), ("two", dedup_substring())):
        run_local(plan_over(recipe, folder), tmp_path / name)
    assert by_id(tmp_path / "one/cut/data") == by_id(tmp_path / "two/cut/data")
    assert by_id(tmp_path / "one/cut/removed") == by_id(tmp_path / "two/cut/removed")


def test_the_recipes_shuffles_are_of_one_length() -> None:
    _, winnow, cut = dedup_substring().steps
    assert isinstance(winnow.shuffle, Winnowing)
    assert isinstance(cut.shuffle, ExactSubstring)
    assert winnow.shuffle.words == cut.shuffle.words == 50
    assert cut.shuffle.narrowed
