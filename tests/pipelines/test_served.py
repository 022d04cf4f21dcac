"""Every recipe whose model may be a server, whole, on a real one: `transformers serve` with a tiny Llama.

It knows nothing, and what it writes is nonsense; that every row is told of, and every call counted, is not.
HEADRACE_FAULTS=1 runs it.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from tests.runs import rows
from tests.stages.models.serving import serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("HEADRACE_FAULTS"), reason="two minutes: make faults"),
]
TEXTS = {
    "mill": "The water mill at Lenham was built in 1842 by Thomas Hale, a miller from Ashford. It closed in 1931.",
    "comet": "In the winter of 1664 a bright comet stood over Oxford for six weeks. There Robert Hooke drew its tail.",
    "ferry": "The ferry to Sandvik has carried cars across the strait since 1958. In winter it follows an icebreaker.",
}
# The stages that ask, and how often if all of their requests are answered.
RECIPES: dict[str, tuple[tuple[str, ...], int]] = {
    "entigraph": (("ExtractEntities", "EntiGraph"), 3),  # no reply is JSON: nothing to relate
    "instruction": (("InstructionPairs",), 3),
    "reading-tasks": (("ReadingTasks",), 3),
    "augment": (("Augment",), 15),
    "subject-qa": (("SubjectQA",), 3),  # no reply is a subject: no question
    "dialogue": (("Dialogue",), 3),  # no list of facts
    "conversation": (("Conversation",), 21),
    "translate": (("Translate",), 9),
    "doc2query": (("Doc2Query",), 3),
    "leaner": (("Rephrase",), 3),
    "rephrase": (("Rephrase",), 3),
    "refine": (("ProxChunks",), 3),
}
MORE = {
    "entigraph": ["ExtractEntities.constrain=false"],
    "subject-qa": ["SubjectQA.least_tokens=5"],
    "refine": ["ProxDocument.engine=null", "ProxChunks.context=2048"],
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(engine setting, the same model in this process)."""
    tiny = pytest.importorskip("tests.stages.models.tiny")
    folder = tmp_path_factory.mktemp("served")
    llama = tiny.llama(folder / "llama", context=2048)
    with serving(llama, folder) as (url, _):
        options = f"patience=240&concurrency=4&structured=none&tokenizer={llama}"
        yield f"openai:{url}?{options}#{llama}", f"transformers:{llama}?dtype=float32"


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_row_and_every_call_is_told_of(recipe: str, served: tuple[str, str], tmp_path: Path) -> None:
    table = pa.table({"id": list(TEXTS), "text": pa.array(TEXTS.values(), pa.large_string())})
    pq.write_table(table, tmp_path / "docs.parquet")
    stages, calls = RECIPES[recipe]
    sets = [s for name in stages for s in (f"{name}.engine={served[0]}", f"{name}.max_tokens=12")]
    sets += [f"{name}.temperature=0" for name in stages if name not in ("ProxChunks", "Augment")]
    sets += [f"Perplexity.engine={served[1]}"] if recipe == "translate" else []
    files = ["--input", str(tmp_path / "docs.parquet"), "--output", str(tmp_path / "out")]
    assert main(["run", recipe, *files, *(f"--set={s}" for s in [*sets, *MORE.get(recipe, [])])]) == 0
    result = json.loads((tmp_path / "out/run.json").read_text())
    for step in result["steps"]:
        gone = sum(step["dropped"].values()) + step["dead"]
        assert step["rows_in"] + step["emitted"] == step["out"] + gone
        assert len(rows(tmp_path / "out" / step["name"] / "data")) == step["out"]
    first = result["steps"][0]
    assert (first["rows_in"], first["dead"]) == (3, 0)
    (told,) = [told for told in first["models"] if told["stage"] in stages]
    assert (told["calls"], told["from_ledger"]) == (calls, 0)
    assert calls <= told["completion_tokens"] <= 12 * calls
    assert told["prompt_tokens"] > 20 * calls
    assert sum(told["decisions"].values()) == told["rows"]
