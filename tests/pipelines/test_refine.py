"""Recipe `refine`, whole, with a real model that is tiny: its weights are random, so what it writes is nonsense."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.recipe import Recipe
from pipelines.config import configure
from pipelines.refine import refine
from stages.refine.chunk import ProxChunks
from stages.refine.program import parse_program
from stages.refine.replay import replay
from tests.runs import account, dataset, plan_over, rows, run_local

PAGES = [
    "\n".join(f"Line {i} of page {page} says something about the river that nobody knew." for i in range(3 + page))
    for page in range(8)
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose folder says how to ask it."""
    pytest.importorskip("transformers")
    from tests.stages.models import tiny

    folder = tiny.llama(tmp_path_factory.mktemp("refiner") / "tiny", hidden=32, layers=1)
    said = {"grammar": "strict", "prompt_format": "plain", "chunk_tokens": 120, "max_tokens": 64, "context": 512}
    (folder / "headrace.json").write_text(json.dumps(said))
    return folder


def pages(folder: Path) -> Path:
    folder.mkdir()
    for name, part in (("a", PAGES[:5]), ("b", [*PAGES[5:], "", "Too short"])):
        ids = [f"{name}{i}" for i in range(len(part))]
        pq.write_table(pa.table({"id": ids, "text": pa.array(part, pa.large_string())}), folder / f"{name}.parquet")
    return folder


def recipe(model: Path, **more: dict[str, Any]) -> Recipe:
    chunks = {"engine": f"transformers:{model}", "constrain": True, **more.pop("ProxChunks", {})}
    return configure(refine(), {"ProxDocument": {"engine": None}, "ProxChunks": chunks, **more})


def test_by_default_it_asks_the_released_models() -> None:
    assert [(stage.engine, stage.model_id) for stage in refine().steps[0].stages] == [  # type: ignore[attr-defined]
        ("transformers:gair-prox/web-doc-refining-lm", "gair-prox/web-doc-refining-lm"),
        ("transformers:gair-prox/web-chunk-refining-lm", "gair-prox/web-chunk-refining-lm"),
    ]


def test_a_real_model_refines_and_every_text_can_be_made_again_without_it(tmp_path: Path, model: Path) -> None:
    result = run_local(plan_over(recipe(model), pages(tmp_path / "in")), tmp_path / "out")
    [step] = account(result)
    assert (step["rows_in"], step["out"] + sum(step["dropped"].values()), step["dead"]) == (10, 10, 0)
    assert set(step["dropped"]) <= {"ProxChunks.prox_dropped_ratio", "ProxChunks.prox_dropped_short"}
    assert step["dropped"]["ProxChunks.prox_dropped_short"] >= 2  # the empty text and the short one
    before = {row["id"]: row["text"] for row in rows(tmp_path / "in")}
    kept, removed = (rows(tmp_path / "out/refine" / part) for part in ("data", "removed"))
    decisions = [row["answers"][-1]["decision"] for row in kept]
    assert set(decisions) <= {"refined", "untouched", "abandoned"}
    assert "refined" in decisions  # by this seed; else nothing below is tested
    for row in kept:
        assert replay(before[row["id"]], row["edits"] or []) == row["text"]
        assert row["n_chars"] == len(row["text"])
    for row in [*kept, *removed]:
        [answer] = row["answers"]
        assert answer["model"].startswith("tiny@")
        reasons = [fault.reason for fault in parse_program(answer["output"]).errors]
        assert set(reasons) <= {"truncated", "end_before_start"}  # what a grammar cannot say
        assert answer["calls"] == 0 or answer["prompt_tokens"] > 0


def test_a_second_run_writes_the_same(tmp_path: Path, model: Path) -> None:
    for out in ("one", "two"):
        run_local(plan_over(recipe(model), tmp_path / "in" if out == "two" else pages(tmp_path / "in")), tmp_path / out)

    def told(out: str) -> Any:
        """But for the time that answers took."""
        found = dataset(tmp_path / out)
        for row in (row for file in found.values() for row in file):
            for answer in row["answers"]:
                del answer["seconds"]
        return found

    assert told("one") == told("two")


def test_the_document_stage_asks_first(tmp_path: Path, model: Path) -> None:
    both = recipe(model, ProxDocument={"engine": f"transformers:{model}", "max_tokens": 8, "context": 512})
    run_local(plan_over(both, pages(tmp_path / "in")), tmp_path / "out")
    kept = rows(tmp_path / "out/refine/data")
    assert kept
    assert {tuple(a["stage"] for a in row["answers"]) for row in kept} == {("ProxDocument", "ProxChunks")}
    assert {row["answers"][0]["decision"] for row in kept} == {"keep"}


def test_without_engines_it_copies(tmp_path: Path) -> None:
    off = configure(refine(), {name: {"engine": None} for name in ("ProxDocument", "ProxChunks")})
    run_local(plan_over(off, pages(tmp_path / "in")), tmp_path / "out")
    assert [row["text"] for row in rows(tmp_path / "out/refine/data")] == [row["text"] for row in rows(tmp_path / "in")]


def test_a_prompt_that_the_engine_refuses_makes_a_dead_row(tmp_path: Path, model: Path, monkeypatch: Any) -> None:
    # The stage does not send what does not fit; a model that takes less than it says refuses for itself.
    monkeypatch.setattr("stages.refine.refining.Refining._fits", lambda self, chunk: True)
    long = "\n".join(["A line of the page.", " ".join(["wheel"] * 900)])
    pq.write_table(pa.table({"id": ["long"], "text": pa.array([long], pa.large_string())}), tmp_path / "a.parquet")
    result = run_local(plan_over(recipe(model), tmp_path / "a.parquet"), tmp_path / "out", max_dead=1.0)
    [step] = account(result)
    assert (step["out"], step["dead"], step["dropped"]) == (0, 1, {})
    [row] = rows(tmp_path / "out/refine/dead")
    assert row["stage"] == "ProxChunks"
    assert row["error"].startswith("Failure: lines 1 to 1: ")
    assert (row["text"], row["answers"][0]["decision"]) == (long, "failed")


def test_settings_are_read_from_the_command_line(model: Path) -> None:
    changed = recipe(
        model, ProxChunks={"prompt_format": "chatml", "threshold_2": 0.9, "compat": "true", "context": "400"}
    )
    [_, stage] = changed.steps[0].stages
    assert isinstance(stage, ProxChunks)
    assert (stage.prompt_format, stage.threshold_2, stage.compat, stage.context) == ("chatml", 0.9, True, 400)
