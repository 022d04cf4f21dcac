"""What died on the way from a document to its many rows is replayed as that: nothing else of the document is asked."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from pipelines.replay import replay
from stages.models.engine import Engine, Failure, Request
from stages.models.spec import Spec
from tests.pipelines.test_entigraph_replay import facts
from tests.pipelines.test_relatives import TEXTS, given, willing
from tests.runs import rows
from tests.stages.rephrase.writers import SPEC, Writer, user

Asked = tuple[str, int | None]


def retold(prompt: str) -> str:
    """The text, with words of the prompt in front, so that no two are the same."""
    return f"{' '.join(prompt.split()[:5])}: {given(prompt)}"


def loud(prompt: str) -> str:
    return given(prompt).upper()


def named(prompt: str) -> str:
    return json.dumps({"summary": prompt[-20:], "entities": prompt.split()[-3:]})


def quizzed(prompt: str) -> str:
    return "<QUE> What is told? <ANS> A thing. </END>"


@dataclass(frozen=True)
class Case:
    """A stage, and what a model says to it."""

    stage: str
    settings: dict[str, Any] = field(default_factory=dict)
    say: Callable[[str], str] = willing


# Of two lines each, and each line says whose text it is.
DOCUMENTS = {
    name: "\n".join(f"{line} So they tell of the {name}." for line in text.split("\n") if line)
    for name, text in TEXTS.items()
}
SUBJECT_QA = "stages.synthesize.subject_qa.SubjectQA"
CASES = {
    "subject-qa": Case(SUBJECT_QA, {"least_tokens": 10, "snippets": 2, "snippet_tokens": 45}),
    "subject-qa of a column": Case(SUBJECT_QA, {"least_tokens": 10, "subject": "topic"}),
    "dialogue": Case("stages.synthesize.dialogue.Dialogue"),
    "conversation": Case(
        "stages.synthesize.conversation.Conversation", {"piece_tokens": 45, "draw": 3, "least_tokens": 9}
    ),
    "translate": Case(
        "stages.synthesize.translate.Translate",
        {"languages": ["de", "fr"], "piece_tokens": 45, "language_chars": 1000},
        loud,
    ),
    "doc2query": Case("stages.synthesize.doc2query.Doc2Query", {"output": "rows"}),
    "augment": Case(
        "stages.synthesize.augment.Augment", {"multi": 3, "single": True, "permute": 2, "subject": "who"}, retold
    ),
    "rephrase": Case(
        "stages.rephrase.rephrase.Rephrase", {"styles": ["wrap-medium", "leaner"], "tokens": "words"}, retold
    ),
    "entities": Case("stages.synthesize.extract_entities.ExtractEntities", {}, named),
    "instruction": Case("stages.synthesize.instruction_pairs.InstructionPairs", {"rounds": 1}, quizzed),
}  # fmt: skip


class Flaky:
    """An engine that fails some prompts the first time it is asked for them."""

    def __init__(self, say: Callable[[str], str], lost: set[Asked]) -> None:
        self.say, self.lost, self.asked = say, lost, Counter[Asked]()

    def open(self, spec: Spec) -> Engine:
        return Writer(self.write)

    def write(self, request: Request) -> str | Failure:
        prompt = user(request), request.sampling.seed
        self.asked[prompt] += 1
        return Failure("no") if prompt in self.lost and self.asked[prompt] == 1 else self.say(prompt[0])


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Case, str, set[Asked]], Flaky]:
    """Run one stage over the texts into a folder, with an engine that loses some prompts once."""
    documents = pa.table({
        "id": list(DOCUMENTS), "text": pa.array(DOCUMENTS.values(), pa.large_string()),
        "topic": ["physics"] * len(DOCUMENTS), "who": [f"Old {name}" for name in DOCUMENTS],
    })  # fmt: skip
    pq.write_table(documents, tmp_path / "docs.parquet")

    def whole(case: Case, output: str, lost: set[Asked]) -> Flaky:
        stage = {"stage": case.stage, "engine": SPEC, **case.settings}
        steps = [{"name": "made", "source": "stages.read_parquet.ReadParquet", "stages": [stage]}]
        (tmp_path / "recipe.yaml").write_text(json.dumps({"name": "one", "about": "one stage", "steps": steps}))
        engine = Flaky(case.say, lost)
        monkeypatch.setattr("stages.models.ask.open_engine", engine.open)
        files = ["--input", str(tmp_path / "docs.parquet"), "--output", str(tmp_path / output)]
        assert main(["run", str(tmp_path / "recipe.yaml"), *files, "--max-dead", "1", "--json"]) == 0
        return engine

    return whole


def told(part: Path) -> list[dict[str, Any]]:
    """Rows, without the accounts of the calls that failed on the way."""
    found = facts(part)
    for row in found:
        row["answers"] = [entry for entry in row["answers"] if entry["decision"] != "failed"]
    return found


@pytest.mark.parametrize("name", CASES)
def test_replay_asks_for_what_died_alone(
    name: str, run: Callable[[Case, str, set[Asked]], Flaky], tmp_path: Path
) -> None:
    case = CASES[name]
    prompts = list(run(case, "whole", set()).asked)
    assert rows(tmp_path / "whole/made/data")
    assert not rows(tmp_path / "whole/made/dead")
    lost = set(prompts[::3])
    engine = run(case, "lost", lost)
    left = len(rows(tmp_path / "lost/made/dead"))
    assert left
    for _ in range(3):  # as many requests as one row may need, one behind the other
        left = left and replay(str(tmp_path / "lost"))["steps"][0]["dead"]
    assert left == 0
    assert engine.asked == {prompt: 1 + (prompt in lost) for prompt in prompts}
    for part in ("data", "removed", "dead"):
        assert told(tmp_path / "lost/made" / part) == told(tmp_path / "whole/made" / part), part
