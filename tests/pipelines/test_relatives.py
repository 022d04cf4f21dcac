"""The recipes beside EntiGraph, whole: on a server that misbehaves, and on a real model that writes nonsense."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.recipe import Recipe, change, restore
from pipelines.augment import augment
from pipelines.instruction import instruction
from pipelines.reading import reading, reading_tasks
from schemas import columns as c
from stages.stage import execution_of, identity
from tests.runs import plan_over, rows, run_local
from tests.stages.models.misbehaving import Script, Server

TEXTS = {
    "mill": "The mill was built in 1842. It stands at the ford.",
    "fair": "The fair comes in May. Its wheel is high.",
    "bell": "The bell cracked one winter. Nobody mended it.",
    "ford": "The ford is deep. A rope was hung there.",
    "leat": "The leat was dug by hand. It still runs.",
    "barn": "The barn burned down. She saw it. She told them.",
}
NLI = (
    "Silt\nThe survey ran for ten years. The river carried far more sediment after the upstream forest was cleared. "
    "Therefore, the harbour at its mouth had to be dredged every single winter. The town paid for it."
)
FAULTS = {"leat": ("503", "ok"), "barn": ("reset", "invalid", "ok")}


def made(
    recipe: Recipe, tmp_path: Path, documents: dict[str, str], fresh: bool = False, **settings: Any
) -> dict[str, Any]:
    """The totals of the recipe's one step, with the `settings` of its first stage changed."""
    tmp_path.mkdir(exist_ok=True)
    titles = pa.array(["Ann Lee"] * len(documents), pa.string())
    table = pa.table({"id": list(documents), "text": pa.array(documents.values(), c.TEXT), "title": titles})
    pq.write_table(table, tmp_path / "docs.parquet")
    (step,) = recipe.steps
    step, faults = change(step, {type(step.stages[0]).__name__: settings})
    assert faults == []
    plan = plan_over(Recipe(recipe.name, (step,)), tmp_path / "docs.parquet")
    result = run_local(plan, tmp_path / "out", max_dead=1.0, fresh=fresh)
    (totals,) = result["steps"]
    assert totals["rows_in"] + totals["emitted"] == totals["out"] + sum(totals["dropped"].values()) + totals["dead"]
    return dict(totals)


def asked(server: Server) -> int:
    return sum(count.asked for count in server.counts().values())


def pairs(prompt: str) -> str:
    text = prompt.rpartition("<CON> ")[2].partition(" </CON>")[0]
    if "fair" in text:
        return "I'm sorry, but I cannot help with that."
    name = text.split()[1]
    return f"<QUE> What of the {name}? <ANS> Much </END>\n\n<QUE> Why the {name}? <ANS> So </END>\n\n<QUE> And"


def test_instruction(tmp_path: Path) -> None:
    """Chains are mill-ford, fair-leat, bell-barn; fair has no pairs, ford cannot be asked about."""
    script = Script(
        {"<CON> The ford": ("400",), **{f"<CON> The {k}": acts for k, acts in FAULTS.items()}}, answer=pairs
    )
    with Server(script) as server:
        totals = made(instruction(), tmp_path, TEXTS, engine=server.engine(concurrency=4))
        assert {k: v for k, v in totals.items() if k in ("rows_in", "emitted", "out", "dead")} == {
            "rows_in": 6, "emitted": -1, "out": 4, "dead": 1,
        }  # fmt: skip
        assert all(count.answered == 1 for prompt, count in server.counts().items() if "ford" not in prompt)
        paths = {path for path, _ in server.bodies}
        found, before = rows(tmp_path / "out/instruction/data"), asked(server)
        assert made(instruction(), tmp_path, TEXTS, fresh=True, engine=server.engine())["out"] == totals["out"]
        assert asked(server) == before + 1  # what failed is asked again, and nothing else
    assert paths == {"/v1/completions"}
    assert [row["text"] for row in rows(tmp_path / "out/instruction/data")] == [row["text"] for row in found]
    assert [row["parents"] or row["id"] for row in found] == [["mill"], "fair", ["bell", "barn"], ["leat"]]
    assert [row["id"] for row in rows(tmp_path / "out/instruction/dead")] == ["ford"]
    assert found[1]["text"] == TEXTS["fair"]
    assert found[1]["answers"][0]["decision"] == "no_pairs: pair_unfinished, reply_refusal"
    both = found[2]
    assert [entry["decision"] for entry in both["answers"]] == ["pairs: pair_unfinished"] * 2
    parts = [TEXTS["bell"], "What of the bell?", TEXTS["barn"], "Why the barn?"]
    assert all(both["text"].count(part) == 1 for part in parts)
    assert "parent_text" not in both


def test_reading(tmp_path: Path) -> None:
    totals = made(reading(), tmp_path, {"silt": NLI, "short": "One line."})
    assert (totals["out"], totals["emitted"]) == (2, 0)
    silt, short = rows(tmp_path / "out/reading/data")
    assert silt["edits"][0]["rule"].endswith("entail 1, cause_effect 1")
    assert silt["text"].count("harbour") == 3
    assert (short["text"], short["edits"]) == ("One line.", None)


def test_reading_tasks(tmp_path: Path) -> None:
    def answer(prompt: str) -> str:
        return "Nothing to ask." if "fair" in prompt else "Question: What is it?\nAnswer: A thing."

    with Server(
        Script({"The ford": ("400",), "The leat": ("503", "ok"), "barn": ("length",)}, answer=answer)
    ) as server:
        totals = made(reading_tasks(), tmp_path, TEXTS, engine=server.engine(), rejected="drop")
    assert totals["dropped"] == {"ReadingTasks.reply_no_task": 1, "ReadingTasks.task_truncated": 1}
    assert (totals["out"], totals["dead"]) == (3, 1)
    found = rows(tmp_path / "out/reading/data")
    assert [row["text"].startswith(TEXTS[row["id"]]) for row in found] == [True] * 3
    assert all(row["text"].endswith("What is it? A thing.") for row in found)


def test_augment(tmp_path: Path) -> None:
    """The prompts of multi1 and multi2 differ; both rewrites of the fair have a number that is not there."""

    def answer(prompt: str) -> str:
        text = prompt.rpartition("\n\n")[2]
        return (
            f"{len(prompt) - len(text)} {text}"
            if "fair" in prompt
            else f"{'So' if 'order' in prompt else 'Well'}, {text}"
        )

    settings = {"multi": 3, "permute": 2, "subject": "title", "guards": {"language": False}, "single": True}
    with Server(Script({"encyclopedia": ("503", "ok")}, answer=answer)) as server:
        totals = made(augment(), tmp_path, TEXTS, engine=server.engine(), **settings)
        assert all(count.answered == 1 for count in server.counts().values())
        assert len(server.counts()) == 6 * 3
    assert totals["dropped"]["Augment.guard_novel_number"] == 3
    found = rows(tmp_path / "out/augment/data")
    gone = rows(tmp_path / "out/augment/removed")
    assert len(found) + len(gone) == 6 * 2 + 5 * 3 * 2 + 3  # single twice; three rewrites twice, of the fair once each
    assert {row["drop_reason"] for row in gone} == {"guard_novel_number", "variant_repeated"}
    for id_ in TEXTS:
        texts = [row["text"] for row in found if row["parents"] == [id_]]
        assert len(texts) == len(set(texts))
    barn = [row for row in found if row["parents"] == ["barn"]]
    assert all(row["text"].count("Ann Lee") == 2 and "fullname" in row["variant"] for row in barn)
    assert len({row["order"] for row in found}) == len(found)
    assert sum(entry["calls"] for row in found + gone for entry in row["answers"] or ()) == 6 * 3


def test_a_real_model_writes_nonsense_and_every_row_is_accounted_for(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tests.stages.models import tiny

    engine = f"transformers:{tiny.llama(tmp_path / 'tiny', hidden=32, layers=1, context=1024)}"
    settings: dict[str, Any] = {"engine": engine, "max_tokens": 8}
    totals = made(instruction(), tmp_path, TEXTS, context=1000, **settings)
    assert (totals["out"], totals["dead"], totals["emitted"]) == (6, 0, 0)
    found = rows(tmp_path / "out/instruction/data")
    assert [row["text"] for row in found] == list(TEXTS.values())
    assert {row["answers"][0]["decision"].partition(":")[0] for row in found} == {"no_pairs"}
    totals = made(reading_tasks(), tmp_path / "tasks", TEXTS, rejected="drop", **settings)
    assert totals["dropped"].keys() <= {"ReadingTasks.reply_no_task", "ReadingTasks.reply_empty"}
    assert sum(totals["dropped"].values()) == 6
    totals = made(augment(), tmp_path / "variants", TEXTS, multi=2, guards={"language": False}, **settings)
    assert totals["dead"] == 0
    assert totals["out"] + sum(totals["dropped"].values()) == 12
    assert all(reason.startswith("Augment.guard_") for reason in totals["dropped"])


@pytest.mark.parametrize(
    "recipe", [instruction(), reading(), reading_tasks(), augment()], ids=lambda recipe: recipe.name
)
def test_a_finished_step_can_be_opened_again(recipe: Recipe) -> None:
    for stage in recipe.steps[0].stages:
        assert restore(json.loads(json.dumps(identity(stage))), execution_of(stage)) == stage
