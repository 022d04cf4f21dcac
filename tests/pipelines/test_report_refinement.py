"""What the report says of stages that asked a model: exact figures of literal answers, and texts before and after."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.recipe import Recipe, Step
from cluster.storage import Folder
from pipelines.asked import _models
from pipelines.cli import main
from pipelines.config import configure
from pipelines.explain import as_text, explain
from pipelines.refine import refine
from pipelines.report import write_report
from pipelines.report.account import read_account
from pipelines.report.difference import Part
from pipelines.report.refinement import Refinement, read_refinement
from schemas import columns as c
from stages.edits import Edit, append_edits
from stages.models.ask import append_answers
from stages.models.engine import Engine, Request
from stages.models.spec import Spec
from stages.read_parquet import ReadParquet
from stages.stage import Resources, Rows, Transform, set_columns
from tests.runs import plan_over, rows, run_local
from tests.stages.rephrase.writers import SPEC, Writer, given, user

MILL = "The water mill at Lenham was built in 1842. It ground 1,200 sacks of flour a year. It closed in 1931."
FAIR = "The <b>fair</b> comes to town in May. Its wheel is 30 metres high. Children ride it for free on Sundays."


def entry(decision: str, **more: Any) -> dict[str, Any]:
    base = {
        "stage": "Says", "model": "m-7b", "prompt_hash": "0123456789abcdef", "output": "", "decision": decision,
        "errors": 0, "calls": 1, "from_ledger": 0, "prompt_tokens": 100, "completion_tokens": 10, "seconds": 0.5,
        "cost": 0.001,
    }  # fmt: skip
    return base | more


@dataclass(frozen=True)
class Says:
    """Writes down the answers that the test gives; a text that begins with "change" loses its first word."""

    answers: str  # JSON: one entry a row, or null
    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.BODY, c.ANSWERS, c.EDITS])
    rows: ClassVar[Rows] = "same"
    resources: ClassVar[Resources] = Resources()

    def open(self) -> Transform:
        said = json.loads(self.answers)

        def transform(table: pa.Table) -> pa.Table:
            texts = table.column("text").to_pylist()
            after = [text.removeprefix("change ") for text in texts]
            edits = [[Edit("first", len(t), len(a))] if t != a else [] for t, a in zip(texts, after, strict=True)]
            ids = table.column("id").to_pylist()
            table = set_columns(table, text=pa.array(after, c.TEXT))
            return append_answers(append_edits(table, "Says", edits), [said[id_] for id_ in ids])

        return transform


def documents(folder: Path, texts: dict[str, str], **more: Any) -> Path:
    pq.write_table(pa.table({"id": list(texts), "text": list(texts.values()), **more}), folder / "docs.parquet")
    return folder / "docs.parquet"


def said(folder: Path, texts: dict[str, str], says: dict[str, Any], **more: Any) -> tuple[Refinement, ...]:
    recipe = Recipe("says", (Step("ask", ReadParquet(), (Says(json.dumps(says)),)),))
    run_local(plan_over(recipe, documents(folder, texts, **more)), folder / "out")
    return read_refinement(Folder(str(folder / "out")), read_account(Folder(str(folder / "out"))))


def test_figures_are_sums_over_rows(tmp_path: Path) -> None:
    texts = {"a": "one two", "b": "change three four", "c": "five", "d": "six"}
    answers = {
        "a": entry("rewritten", calls=3, from_ledger=2, cost=0.5, errors=1),
        "b": entry("partial: guard_novel_number, segment_long"),
        "c": entry("original: guard_novel_number", model="n-1b", from_ledger=1, cost=0.0),
        "d": None,
    }
    (found,) = said(tmp_path, texts, answers)
    assert (found.step, found.rows, found.of_rows) == ("ask", 4, 4)
    (stage,) = found.stages
    assert (stage.name, stage.rows, stage.calls, stage.from_ledger) == ("Says", 3, 5, 3)
    assert (stage.prompt_tokens, stage.completion_tokens, stage.faults) == (300, 30, 1)
    assert (stage.seconds, stage.cost) == (1.5, pytest.approx(0.501))
    assert stage.models == (("m-7b", 2), ("n-1b", 1))
    assert stage.prompts == ("0123456789abcdef",)
    assert stage.decisions == (("original", 1), ("partial", 1), ("rewritten", 1))
    assert stage.rejections == (("guard_novel_number", 2),)
    assert stage.operations == ()


def test_an_example_is_what_the_step_read_beside_what_it_wrote(tmp_path: Path) -> None:
    texts = {"a": "one two", "b": "change three four"}
    (found,) = said(tmp_path, texts, {"a": entry("untouched"), "b": entry("refined")})
    (example,) = found.examples
    assert (example.name, example.rules) == ("b", ("Says: first",))
    assert example.left == (Part("only", "change "), Part("same", "three four"))
    assert example.right == (Part("same", "three four"),)


def test_an_example_whose_input_is_gone_is_shown_without_it(tmp_path: Path) -> None:
    said(tmp_path, {"b": "change three four"}, {"b": entry("refined")})
    (tmp_path / "docs.parquet").unlink()
    (found,) = read_refinement(Folder(str(tmp_path / "out")), read_account(Folder(str(tmp_path / "out"))))
    (example,) = found.examples
    assert (example.left, example.right) == ((), ())
    write_report(str(tmp_path / "out"))
    assert "its text is not where the run read it" in (tmp_path / "out/report.html").read_text()


def test_answers_of_an_earlier_run_are_not_counted_again(tmp_path: Path) -> None:
    """A dataset that the same stage asked about before: its last word on a row is the one of this run."""
    earlier = pa.array([[entry("old", calls=9), entry("other", stage="Rates", calls=7)]], c.ANSWERS.type)
    (found,) = said(tmp_path, {"a": "one"}, {"a": entry("new")}, answers=earlier)
    (stage,) = found.stages
    assert (stage.name, stage.rows, stage.calls, stage.decisions) == ("Says", 1, 1, (("new", 1),))


def test_a_run_without_models_has_no_section(tmp_path: Path) -> None:
    recipe = Recipe("copy", (Step("copy", ReadParquet(), ()),))
    run_local(plan_over(recipe, documents(tmp_path, {"a": "one"})), tmp_path / "out")
    write_report(str(tmp_path / "out"))
    page = (tmp_path / "out/report.html").read_text()
    assert "<h2>Models</h2>" not in page
    assert 'href="#models"' not in page


def engine(monkeypatch: pytest.MonkeyPatch, write: Any) -> None:
    def opened(spec: Spec) -> Engine:
        return Writer(write)

    monkeypatch.setattr("stages.models.ask.open_engine", opened)


def run(folder: Path, recipe: str, *settings: str) -> tuple[Refinement, ...]:
    sets = [argument for setting in settings for argument in ("--set", setting)]
    files = ["--input", str(folder / "docs.parquet"), "--output", str(folder / "out")]
    assert main(["run", recipe, *files, *sets]) == 0
    write_report(str(folder / "out"))
    return read_refinement(Folder(str(folder / "out")), read_account(Folder(str(folder / "out"))))


def shown(folder: Path) -> str:
    page = (folder / "out/report.html").read_text()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


@pytest.mark.parametrize("mix", ["true", "false"])
def test_rephrased_documents_before_and_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mix: str) -> None:
    def write(request: Request) -> str:
        return given(request).replace("It ", "The mill ") if "mill" in given(request) else "I cannot help with that."

    engine(monkeypatch, write)
    documents(tmp_path, {"mill": MILL, "fair": FAIR})
    (found,) = run(tmp_path, "rephrase", f"Rephrase.engine={SPEC}", f"Rephrase.mix={mix}")
    (stage,) = found.stages
    assert (stage.rows, stage.calls, stage.models) == (2, 2, (("writer-7b", 2),))
    assert stage.decisions == (("original", 1), ("rewritten", 1))
    assert stage.rejections == (("guard_refusal", 1),)
    (example,) = found.examples
    assert example.rules == ("Rephrase: wrap-medium",)
    assert [part.text for part in example.left if part.kind == "only"] == ["It ", "It "]
    assert [part.text for part in example.right if part.kind == "only"] == ["The mill ", "The mill "]
    text = shown(tmp_path)
    assert "Rejected by guards guard_refusal 1 50.0 %" in text
    assert "Rephrase writer-7b; prompt" in text
    assert '<mark class="kept">The mill </mark>' in (tmp_path / "out/report.html").read_text()


def test_programs_are_counted_by_operation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five lines; the model removes the first of one text, replaces a word of both, and leaves the third alone."""

    def write(request: Request) -> str:
        programs = {
            "mill": 'remove_lines(start=0, end=0)\nnormalize(source_str="flour", target_str="meal")',
            "fair": 'normalize(source_str="May", target_str="June")\nnormalize(source_str="wheel", target_str="ring")',
        }
        return next((program for word, program in programs.items() if word in user(request)), "keep_all()")

    engine(monkeypatch, write)
    texts = {"mill": f"Home | About | <script>\n{MILL}", "fair": FAIR, "bell": "The bell of the church cracked. " * 3}
    documents(tmp_path, texts)
    settings = {"ProxDocument": {"engine": None}, "ProxChunks": {"engine": SPEC, "compat": False}}
    run_local(plan_over(configure(refine(), settings), tmp_path / "docs.parquet"), tmp_path / "out")
    write_report(str(tmp_path / "out"))
    (found,) = read_refinement(Folder(str(tmp_path / "out")), read_account(Folder(str(tmp_path / "out"))))
    (stage,) = found.stages
    assert (stage.name, stage.rows, stage.programs) == ("ProxChunks", 3, 3)
    assert set(stage.operations) == {("normalize", 2, 3), ("remove_lines", 1, 1), ("keep_all", 1, 1)}
    examples = {example.name: example for example in found.examples}
    assert sorted(examples) == ["fair", "mill"]
    gone = "".join(part.text for part in examples["mill"].left if part.kind == "only")
    assert gone.startswith("Home | About | <script>")
    page = (tmp_path / "out/report.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "normalize 2 3" in shown(tmp_path)
    assert "ProxChunks program 2" in shown(tmp_path)  # of the edits: not a line for each program


def test_explain_tells_what_models_said(tmp_path: Path) -> None:
    said(tmp_path, {"b": "change three"}, {"b": entry("refined", output="remove_lines(start=0, end=1)", from_ledger=1)})
    found = explain(str(tmp_path / "out"), "b")
    (step,) = found["steps"]
    assert [answer["decision"] for answer in step["answers"]] == ["refined"]
    assert "answers" not in step["columns"]
    lines = as_text(found).splitlines()
    at = lines.index("  Says asked m-7b: refined")
    assert lines[at + 1] == (
        "    1 call, 1 from the ledger; 100 tokens in, 10 out; 0.5 s, $0.0010; prompt 0123456789abcdef"
    )
    assert lines[at + 2] == "    remove_lines(start=0, end=1)"
    assert rows(tmp_path / "out/ask/data")[0]["text"] == "three"


@pytest.mark.parametrize("theirs", [["yes"], [{"text": ["yes"], "answer_start": [3]}], [["yes"]], [[{"text": "yes"}]]])
def test_a_user_s_own_column_of_that_name_is_left_alone(tmp_path: Path, theirs: list[Any]) -> None:
    """Sets of questions have a column `answers` too."""
    recipe = Recipe("copy", (Step("copy", ReadParquet(), ()),))
    run_local(plan_over(recipe, documents(tmp_path, {"a": "one"}, answers=theirs, edits=theirs)), tmp_path / "out")
    folder = Folder(str(tmp_path / "out"))
    assert read_refinement(folder, read_account(folder)) == ()
    assert _models(folder, "copy") == {}
    write_report(str(tmp_path / "out"))
    found = explain(str(tmp_path / "out"), "a")
    (step,) = found["steps"]
    assert f"  edits = {theirs[0]}" in as_text(found)
    assert (step["answers"], step["columns"]["answers"]) == ([], theirs[0])
