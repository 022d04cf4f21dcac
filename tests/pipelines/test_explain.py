"""Where a row came from and what became of it: kept, dropped, dead, and what it duplicates."""

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ConfigError
from pipelines.explain import as_text, explain
from stages.edits import Edit, append_edits
from stages.stage import Transform
from tests.fakes import CrashOn, DropWith, FailRow, Upper
from tests.runs import one_step, plan_over, rows, run_local, two_steps, write

FILES = {"a.txt": "one\nspam\nbad\n!drop\n", "b.txt": "one\ntwo\none\n"}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    recipe = two_steps(DropWith("spam"), CrashOn("bad"), Upper())
    run_local(plan_over(recipe, write(tmp_path / "in", FILES)), tmp_path / "out", max_dead=1.0)
    return tmp_path / "out"


def find(out: Path, part: str, **values: Any) -> str:
    found = [row["id"] for row in rows(out / part) if all(row[k] == v for k, v in values.items())]
    return str(found[0])


def test_row_that_is_kept_passed_everything(out: Path) -> None:
    found = explain(str(out), find(out, "dedup/data", text="TWO"))
    assert [(s["step"], s["outcome"]) for s in found["steps"]] == [("filter", "kept"), ("dedup", "kept")]
    assert found["steps"][0]["verdicts"] == {
        "ReadLines": "read", "DropWith": "passed", "CrashOn": "passed", "Upper": "passed", "ContentHash": "passed",
    }  # fmt: skip
    assert found["source"].endswith("/in/b.txt#4")
    assert found["steps"][1]["columns"]["cluster_size"] == 1
    assert len(found["steps"][0]["columns"]["content_hash"]) == 32
    assert not {"duplicate_of", "duplicates"} & set(found)


def test_row_that_was_dropped_stopped_there(out: Path) -> None:
    found = explain(str(out), find(out, "filter/removed", text="spam"))
    (step,) = found["steps"]
    assert step["outcome"] == "dropped by DropWith: spam"
    assert step["file"].startswith("removed/a-")
    assert step["verdicts"] == {
        "ReadLines": "read", "DropWith": "dropped: spam", "CrashOn": "not reached", "Upper": "not reached",
        "ContentHash": "not reached",
    }  # fmt: skip


def test_row_that_the_source_rejected_reached_no_stage(out: Path) -> None:
    (step,) = explain(str(out), find(out, "filter/removed", text="!drop"))["steps"]
    assert step["outcome"] == "dropped by ReadLines: rejected"
    assert set(list(step["verdicts"].values())[1:]) == {"not reached"}


def test_row_that_died_says_of_what(out: Path) -> None:
    found = explain(str(out), find(out, "filter/dead", text="bad"))
    (step,) = found["steps"]
    assert step["outcome"] == "died in CrashOn"
    assert step["verdicts"]["CrashOn"] == "failed: ValueError: cannot take 'bad'"
    assert step["verdicts"]["Upper"] == "not reached"
    assert "raise ValueError" in step["error"]
    assert step["columns"]["attempt"] == 1


def test_row_that_a_stage_gave_up_has_an_error_without_traceback(tmp_path: Path) -> None:
    recipe = one_step(FailRow("bad"))
    run_local(plan_over(recipe, write(tmp_path / "in", {"a.txt": "bad\n"})), tmp_path / "out", max_dead=1.0)
    (step,) = explain(str(tmp_path / "out"), find(tmp_path / "out", "only/dead"))["steps"]
    assert step["error"] == "KeyError: missing"


def test_duplicates_and_the_one_that_stays_name_each_other(out: Path) -> None:
    kept = find(out, "dedup/data", text="ONE")
    copies = sorted(row["id"] for row in rows(out / "dedup/removed"))
    assert explain(str(out), kept)["duplicates"] == copies
    for copy in copies:
        found = explain(str(out), copy)
        assert found["duplicate_of"] == kept
        assert [s["outcome"] for s in found["steps"]] == ["kept", "dropped by DropDuplicates: duplicate"]


def test_edits_are_told_in_order(tmp_path: Path) -> None:
    class Edits(Upper):
        def open(self) -> Transform:
            return lambda t: append_edits(t, "Edits", [[Edit("caps", 3, 3), Edit("trim", 3, 1000)]] * t.num_rows)

    class Marks(Upper):
        adds = Edits.adds.append(__import__("schemas.columns").columns.EDITS)

        def open(self) -> Transform:
            return Edits().open()

    run_local(plan_over(one_step(Marks()), write(tmp_path / "in", {"a.txt": "one\n"})), tmp_path / "out")
    found = explain(str(tmp_path / "out"), find(tmp_path / "out", "only/data"))
    assert [edit["rule"] for edit in found["steps"][0]["edits"]] == ["caps", "trim"]
    assert "  edit by Edits, trim: 3 -> 1,000 characters" in as_text(found).splitlines()


def test_run_without_removed_texts_is_explained_too(tmp_path: Path) -> None:
    plan = plan_over(one_step(DropWith("spam")), write(tmp_path / "in", {"a.txt": "spam\n"}))
    run_local(plan, tmp_path / "out", removed_text=False)
    (step,) = explain(str(tmp_path / "out"), find(tmp_path / "out", "only/removed"))["steps"]
    assert (step["text"], step["outcome"]) == ("", "dropped by DropWith: spam")


def test_only_what_is_committed_is_found(out: Path) -> None:
    id_ = find(out, "dedup/data", text="TWO")
    for manifest in (out / "dedup/manifests").glob("b-*"):
        manifest.unlink()
    assert [s["step"] for s in explain(str(out), id_)["steps"]] == ["filter"]


def test_unknown_id_and_output_are_told(out: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"no row has the id 'x' \(looked in data, removed and dead of filter, dedup\)"
    ):
        explain(str(out), "x")
    with pytest.raises(ConfigError, match="nowhere: no run of headrace is there"):
        explain(str(tmp_path / "nowhere"), "x")


def test_all_of_it_is_plain_data(out: Path) -> None:
    for part in ("dedup/data", "dedup/removed", "filter/dead"):
        found = explain(f"{out}/", find(out, part))
        assert json.loads(json.dumps(found)) == found


def test_text_for_a_person_says_it_in_order(out: Path) -> None:
    kept = find(out, "dedup/data", text="ONE")
    lines = as_text(explain(str(out), kept)).splitlines()
    assert lines[0] == kept
    assert lines[1].startswith("  source: file://")
    assert lines[2].startswith("step filter: kept  (data/")
    assert lines[3] == "  ReadLines            read"
    assert lines[-1].startswith("stays for 2 duplicates: ")
    copy = find(out, "dedup/removed")
    assert as_text(explain(str(out), copy)).splitlines()[-1] == f"duplicate of {kept}, which stays"
    assert "  error: Traceback" in as_text(explain(str(out), find(out, "filter/dead")))


def test_long_texts_are_cut(tmp_path: Path) -> None:
    write(tmp_path / "in", {"a.txt": "x" * 2000 + "\n"})
    run_local(plan_over(one_step(), tmp_path / "in"), tmp_path / "out")
    found = explain(str(tmp_path / "out"), find(tmp_path / "out", "only/data"))
    assert found["steps"][0]["text"] == "x" * 500
