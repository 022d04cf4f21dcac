"""Every recipe that asks a model, whole, by the engine that has none: three documents, and what comes of them."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from pipelines.recipes import RECIPES, find_recipe
from stages.stage import execution_of, name_of
from tests.runs import rows

ENGINE = "template:?prompt_price=1&completion_price=2"
TEXTS = {  # 4, 3 and 2 names; three, three and two sentences
    "mill": "The water mill at Lenham was built in 1842 by Thomas Hale, a miller from Ashford. It ground 1,200 sacks of"
    " flour a year, and the bakers of Maidstone bought most of it. After a flood the wheel was replaced by an engine.",
    "comet": "In the winter of 1664 a bright comet stood over Oxford for six weeks. There Robert Hooke drew its tail"
    " night after night with great patience. Few believed what a pamphlet in London had foretold about a plague.",
    "ferry": "The ferry to Sandvik has carried cars across the strait since 1958, eight times a day. In winter it has"
    " to follow the icebreaker Ymer, and then the crossing takes more than an hour and is often very cold.",
}
NAMES = {
    "mill": ["Lenham", "Thomas Hale", "Ashford", "Maidstone"],
    "comet": ["Oxford", "Robert Hooke", "London"],
    "ferry": ["Sandvik", "Ymer"],
}
# What the first step that makes rows makes of each document.
EACH = {
    "entigraph": {"mill": 1 + 6 + 4, "comet": 1 + 3 + 1, "ferry": 1 + 1},  # a summary, pairs and triples
    "augment": dict.fromkeys(TEXTS, 5),
    "subject-qa": dict.fromkeys(TEXTS, 2),  # with the snippet and without
    "conversation": dict.fromkeys(TEXTS, 7),  # styles
    "dialogue": dict.fromkeys(TEXTS, 1),
    "translate": dict.fromkeys(TEXTS, 3),  # languages
    "doc2query": dict.fromkeys(TEXTS, 1),
    "rephrase": dict.fromkeys(TEXTS, 1),  # beside the documents
}
SAME = ("reading-tasks", "leaner", "refine", "rate", "embed")  # a row of each document
CALLS = {"entigraph": 3 + 10 + 4 + 1, "dialogue": 3 * 3, "subject-qa": 3 * 2, "augment": 15, "conversation": 21,
         "translate": 9 * 2, "refine": 3 * 2}  # fmt: skip
Run = Callable[..., dict[str, Any]]


def asking(recipe: str) -> list[str]:
    """The stages of a recipe that have an engine."""
    return [name_of(s) for step in find_recipe(recipe).steps for s in step.stages if "engine" in execution_of(s)]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    table = pa.table({"id": list(TEXTS), "text": pa.array(TEXTS.values(), pa.large_string())})
    pq.write_table(table, tmp_path / "docs.parquet")

    def whole(recipe: str, *settings: str) -> dict[str, Any]:
        sets = [f"--set={setting}" for setting in (*(f"{s}.engine={ENGINE}" for s in asking(recipe)), *settings)]
        files = ["--input", str(tmp_path / "docs.parquet"), "--output", str(tmp_path / "out")]
        assert main(["run", recipe, *files, "--json", *sets]) == 0
        result: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert result == json.loads((tmp_path / "out/run.json").read_text())
        for step in result["steps"]:
            gone = sum(step["dropped"].values()) + step["dead"]
            assert step["rows_in"] + step["emitted"] == step["out"] + gone
            assert len(rows(tmp_path / "out" / step["name"] / "data")) == step["out"]
        return result

    return whole


def test_no_recipe_is_left_out() -> None:
    assert {name for name in RECIPES if asking(name)} == {*EACH, *SAME, "instruction"}


@pytest.mark.parametrize("recipe", EACH)
def test_documents_become_as_many_rows_as_they_should(recipe: str, run: Run, tmp_path: Path) -> None:
    steps = {step["name"]: step for step in run(recipe)["steps"]}
    step = steps[recipe]
    assert (step["dropped"], step["dead"]) == ({}, 0)
    made = [row for row in rows(tmp_path / "out" / recipe / "data") if row["parents"]]
    assert Counter(row["parents"][0] for row in made) == EACH[recipe]
    assert {row["model"] for row in made} == {"template-1"}
    assert len({row["id"] for row in made}) == len(made)
    assert all(row["text"].strip() for row in made)
    check_asked(recipe, list(steps.values()))
    if recipe == "entigraph":
        check_names(tmp_path / "out", made)


@pytest.mark.parametrize("recipe", [*SAME, "instruction"])
def test_documents_are_rewritten_judged_or_joined(recipe: str, run: Run, tmp_path: Path) -> None:
    more = ["FineWebEdu.threshold=null"] if recipe == "rate" else []
    (step,) = run(recipe, *more)["steps"]
    assert (step["dropped"], step["dead"]) == ({}, 0)
    found = rows(tmp_path / "out" / step["name"] / "data")
    members = [row.get("parents") or [row["id"]] for row in found]
    assert sorted(id_ for ids in members for id_ in ids) == sorted(TEXTS)
    assert len(found) == (2 if recipe == "instruction" else 3)  # of two rounds: mill and ferry, and comet
    decisions = {answer["decision"] for row in found for answer in row["answers"]}
    assert decisions <= {"tasks", "rewritten", "keep", "untouched", "scored", "pairs"}
    check_asked(recipe, [step])


def check_names(out: Path, made: list[dict[str, Any]]) -> None:
    """Names are entities, and every text names those that it is about."""
    assert {row["id"]: row["entities"] for row in rows(out / "entities/data")} == NAMES
    assert all(name in row["text"] for row in made for name in row["entities"])
    assert not any(row["novel_number_rate"] for row in made)


def check_asked(recipe: str, steps: list[dict[str, Any]]) -> None:
    """What was asked is told beside the rows, with what it would cost."""
    asked = [model for step in steps for model in step.get("models", [])]
    assert [model["stage"] for model in asked] == asking(recipe)
    assert sum(model["calls"] for model in asked) == CALLS.get(recipe, 3)
    for model in asked:
        price = (model["prompt_tokens"] + 2 * model["completion_tokens"]) / 1e6
        assert model["prompt_tokens"] > 30 * model["calls"]
        assert (model["from_ledger"], model["cost"]) == (0, pytest.approx(price, abs=1e-6))


def test_all_styles_of_rewriting_pass_their_guards(run: Run, tmp_path: Path) -> None:
    from stages.rephrase.styles import STYLES

    long = [name for name, style in STYLES.items() if not style.min_document]
    (step,) = run("rephrase", f"Rephrase.styles=[{','.join(long)}]")["steps"]
    assert step["emitted"] == len(long) * len(TEXTS)


def test_boilerplate_is_cut_by_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = "Home | News | Contact us\n" + TEXTS["mill"] + "\nShare\nTweet\n© 2020 Lenham Weekly, all rights reserved"
    pq.write_table(pa.table({"id": ["a", "b"], "text": [page, "1234 5678 9012"]}), tmp_path / "docs.parquet")
    files = ["--input", str(tmp_path / "docs.parquet"), "--output", str(tmp_path / "out")]
    sets = [f"--set=Prox{stage}.engine=template:" for stage in ("Document", "Chunks")]
    assert main(["run", "refine", *files, *sets]) == 0
    (kept,) = rows(tmp_path / "out/refine/data")
    assert kept["text"].strip() == TEXTS["mill"]
    (removed,) = rows(tmp_path / "out/refine/removed")
    assert removed["drop_reason"] == "prox_drop_doc"


def test_a_second_run_with_the_same_ledger_asks_nothing_anew(run: Run, tmp_path: Path) -> None:
    run("dialogue")
    first = rows(tmp_path / "out/dialogue/data")
    files = ["--input", str(tmp_path / "docs.parquet"), "--output", str(tmp_path / "two")]
    ledger = ["--ledger", str(tmp_path / "out/ledger"), f"--set=Dialogue.engine={ENGINE}"]
    assert main(["run", "dialogue", *files, *ledger]) == 0
    (model,) = json.loads((tmp_path / "two/run.json").read_text())["steps"][0]["models"]
    assert (model["calls"], model["from_ledger"], model["cost"]) == (9, 9, 0.0)
    assert [row["text"] for row in rows(tmp_path / "two/dialogue/data")] == [row["text"] for row in first]
