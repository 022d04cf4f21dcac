"""The recipes of exact dedup, whole, over Parquet files: on both runners, and begun again in the middle."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.errors import RunError
from cluster.exchange import phases
from cluster.local import LocalRunner
from cluster.plan import make_plan
from cluster.recipe import Recipe
from cluster.run import Options, run
from cluster.shards import list_inputs
from pipelines.config import configure
from pipelines.recipes import find_recipe
from tests.runs import account, dataset, rows, run_local

PAGES = pa.table(
    {
        "id": ["1", "2", "3", "4", "5", "6"],
        "url": [
            "http://www.example.org/a/",
            "https://example.org/a?utm_source=x",
            "https://example.org/b",
            None,
            None,
            "no address",
        ],
        "score": [0.1, 0.9, 0.5, 0.5, 0.7, None],
        "text": [
            "Menu and search\nThe first page.\n\nAll rights reserved",
            "The first page, but more of it.\n\nALL RIGHTS RESERVED.",
            "Menu and search\n\nThe second page.\n\nAll rights reserved!",
            "Nothing of it is new:\n menu and search\n\nall rights\n reserved",
            "Menu  and search The second page. All rights\treserved!",
            "Menu and search\nAll rights reserved",
        ],
    }
)


def pages(folder: Path) -> str:
    folder.mkdir()
    pq.write_table(PAGES.slice(0, 4), folder / "a.parquet", row_group_size=3)
    pq.write_table(PAGES.slice(4), folder / "b.parquet")
    pq.write_table(PAGES.slice(0, 0), folder / "c.parquet")
    return str(folder)


def recipe(name: str, **settings: dict[str, Any]) -> Recipe:
    return configure(find_recipe(name), settings)


def run_on(runner: str, recipe: Recipe, folder: Path) -> dict[str, Any]:
    plan = make_plan(recipe, list_inputs([pages(folder / "in")]))
    if runner == "local":
        return run(plan, str(folder / "out"), LocalRunner(), Options(quiet=True))
    from cluster.stream import RayRunner

    return run(plan, str(folder / "out"), RayRunner(workers=2), Options(quiet=True))


def small_partitions(monkeypatch: pytest.MonkeyPatch, keys: int) -> None:
    monkeypatch.setattr(phases, "KEY_BYTES", (phases.DEFAULT_MEMORY - phases.AT_REST) // (phases.COPIES * keys))


def fates(out: Path, step: str) -> dict[str, Any]:
    """By id: the text of what stays, the reason of what went."""
    kept = {row["id"]: row["text"] for row in rows(out / step / "data")}
    return {**kept, **{row["id"]: f"{row['drop_stage']}.{row['drop_reason']}" for row in rows(out / step / "removed")}}


def test_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner_name: str) -> None:
    small_partitions(monkeypatch, 50)
    result = run_on(runner_name, recipe("dedup-lines", CutLines={"min_words": 3}), tmp_path)
    assert fates(tmp_path / "out", "cut") == {
        "1": "Menu and search\nThe first page.\n\nAll rights reserved",
        "2": "The first page, but more of it.",
        "3": "The second page.",
        "4": "Nothing of it is new:\n\nall rights\n reserved",
        "5": "Menu  and search The second page. All rights\treserved!",
        "6": "CutLines.too_few_words",
    }
    assert account(result)[1]["dropped"] == {"CutLines.too_few_words": 1}
    found = {row["id"]: row for part in ("data", "removed") for row in rows(tmp_path / "out/cut" / part)}
    assert [found[id_]["repeated_lines"] for id_ in "123456"] == [None, [2], [0, 4], [1], None, [0, 1]]
    assert found["2"]["edits"] == [
        {"stage": "CutLines", "rule": "repeated_lines", "n_chars_before": 53, "n_chars_after": 31}
    ]


@pytest.mark.parametrize(
    ("name", "keep", "gone"),
    [
        ("dedup-url", "first", {"2": "1"}),
        ("dedup-url", "highest score", {"1": "2"}),
        ("dedup-exact", "first", {"5": "3"}),
        ("dedup-exact", "highest score", {"3": "5"}),
    ],
)
def test_documents_and_addresses(tmp_path: Path, name: str, keep: str, gone: dict[str, str]) -> None:
    run_on("local", recipe(name, KeepFirst={"keep": keep}), tmp_path)
    removed = rows(tmp_path / "out/dedup/removed")
    assert {row["id"]: row["duplicate_of"] for row in removed} == gone
    kept = {row["id"]: row for row in rows(tmp_path / "out/dedup/data")}
    (stays,), (goes,) = gone.values(), gone
    assert (kept[stays]["cluster_id"], kept[stays]["cluster_size"]) == (min(stays, goes), 2)
    assert {row["cluster_size"] for id_, row in kept.items() if id_ != stays} == {1}
    assert len(kept) == 5


@pytest.mark.parametrize("name", ["dedup-lines", "dedup-url"])
def test_run_that_died_behind_the_scatter_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    small_partitions(monkeypatch, 2 if name == "dedup-url" else 100)
    plan = make_plan(recipe(name), list_inputs([pages(tmp_path / "in")]))
    run_local(plan, tmp_path / "whole")
    whole, done, carry_out = dataset(tmp_path / "whole"), list[str](), LocalRunner._run_task

    def until_reduce(self: LocalRunner, planned: Any, target: Any, task: Any) -> None:
        if "verdicts" in task.name:
            raise RunError("crash")
        done.append(task.name)
        carry_out(self, planned, target, task)

    monkeypatch.setattr(LocalRunner, "_run_task", until_reduce)
    with pytest.raises(RunError, match="crash"):
        run_local(plan, tmp_path / "out")
    assert len(done) == 3
    assert all(task.startswith("shuffle/rows/") for task in done)

    def counted(self: LocalRunner, planned: Any, target: Any, task: Any) -> None:
        done.append(task.name)
        carry_out(self, planned, target, task)

    monkeypatch.setattr(LocalRunner, "_run_task", counted)
    run_local(plan, tmp_path / "out")
    assert len(done) == len(set(done)) > 3
    assert all(task.startswith("shuffle/verdicts/") for task in done[3:])
    assert dataset(tmp_path / "out") == whole
