"""The recipe `entigraph` against a server: as many texts as the formula and the budget say, each paid for once."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.commit import read_manifests
from cluster.storage import Folder
from pipelines.cli import main
from pipelines.usage import Usage, usage_of
from tests.runs import rows
from tests.stages.models.misbehaving import Script, Server

TEXTS = ["The mill stands.", "The leat was dug.", "The wheel turns."]


def writer(entities: int) -> "type[Script.answer]":
    """What a willing model answers: `entities` names of the document, or sections that name what was asked for."""

    def answer(prompt: str) -> str:
        head, _, names = prompt.partition("\n\n### Entities:\n")
        if not names:
            word = head.removeprefix("### Document Content:\n").split()[1]
            return json.dumps({"summary": f"About {word}.", "entities": [f"{word} {i}" for i in range(entities)]})
        return "### Discussion\n" + names.replace("- ", "On ") + "."

    return answer  # type: ignore[return-value]


def run(tmp_path: Path, server: Server, *options: str) -> int:
    table = pa.table({"id": ["a", "b", "c"], "text": pa.array(TEXTS, pa.large_string())})
    pq.write_table(table, tmp_path / "docs.parquet")
    engine = server.engine(concurrency=16)
    sets = [f"--set={stage}.engine={engine}" for stage in ("ExtractEntities", "EntiGraph")]
    words = ["run", "entigraph", "--input", str(tmp_path / "docs.parquet"), "--output", str(tmp_path / "out"), "--json"]
    return main([*words, *sets, *options])


def test_every_pair_and_triple_of_every_document(tmp_path: Path) -> None:
    with Server(Script(answer=writer(5))) as server:
        assert run(tmp_path, server) == 0
        assert all(count.answered == 1 for count in server.counts().values())
        assert len(server.counts()) == 3 + 3 * (10 + 10)
    kept = rows(tmp_path / "out/entigraph/data")
    assert len(kept) == 3 + 3 * 20
    assert sorted({(len(row["entities"]), row["parents"][0]) for row in kept}) == [
        (n, parent) for n in (0, 2, 3) for parent in "abc"
    ]
    assert len({row["id"] for row in kept}) == len(kept)
    of_a = [row["text"] for row in kept if row["parents"] == ["a"]]
    assert of_a[0] == "About mill."
    assert {row["model"] for row in kept} == {"model"}  # as the engine that was set calls it
    assert "parent_text" not in kept[0]


def test_the_budget_is_what_is_asked(tmp_path: Path) -> None:
    with Server(Script(answer=writer(5))) as server:
        assert run(tmp_path, server, "--set=ShareBudget.budget=11") == 0
        assert len(server.counts()) == 3 + 11
    kept = rows(tmp_path / "out/entigraph/data")
    assert sorted(sum(row["parents"] == [id_] and bool(row["entities"]) for row in kept) for id_ in "abc") == [3, 4, 4]
    assert {len(row["entities"]) for row in kept} == {0, 2}  # pairs come first


def test_replies_that_cannot_be_used_are_asked_for_again_and_then_have_a_reason(tmp_path: Path) -> None:
    never = "### Document Content:\nThe wheel"

    def answer(prompt: str) -> str:
        return "not json" if prompt.startswith(never) else writer(3)(prompt)  # type: ignore[call-arg, return-value]

    with Server(Script({"The mill": ("invalid", "ok")}, answer=answer)) as server:
        assert run(tmp_path, server, "--set=ExtractEntities.tries=3") == 0
        asked = {prompt: count.answered for prompt, count in server.counts().items() if "### Entities" not in prompt}
    assert sorted(asked.values()) == [1, 1, 3]
    (removed,) = rows(tmp_path / "out/entities/removed")
    assert (removed["id"], removed["drop_reason"], removed["answers"][0]["calls"]) == ("c", "entities_not_json", 3)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (" ", "relation_empty"),
        ("On mill 0 and mill 1 and mill 2.", "relation_no_section"),
        ("### Discussion\nOf something.", "relation_missing_entity"),
        ("I'm sorry, but I cannot help with that.", "relation_refusal"),
    ],
)
def test_texts_that_are_none_are_dropped_with_the_reason(tmp_path: Path, said: str, reason: str) -> None:
    def answer(prompt: str) -> str:
        return said if "### Entities" in prompt else writer(3)(prompt)  # type: ignore[call-arg, return-value]

    with Server(Script(answer=answer)) as server:
        assert run(tmp_path, server) == 0
    assert {row["drop_reason"] for row in rows(tmp_path / "out/entigraph/removed")} == {reason}
    assert len(rows(tmp_path / "out/entigraph/removed")) == 3 * 4


def test_a_text_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    with Server(Script({"The mill stands.\n\n### Entities": ("length",)}, answer=writer(3))) as server:
        assert run(tmp_path, server) == 0
    gone = rows(tmp_path / "out/entigraph/removed")
    assert {(row["parents"][0], row["drop_reason"], row["answers"][0]["errors"]) for row in gone} == {
        ("a", "relation_truncated", 1)
    }
    assert len(gone) == 4


def test_what_the_document_says_itself_is_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "I'm sorry, but I cannot help with that."
    monkeypatch.setattr("tests.pipelines.test_entigraph.TEXTS", [f'The mill says "{line}"', *TEXTS[1:]])

    def answer(prompt: str) -> str:
        text = writer(3)(prompt)  # type: ignore[call-arg, return-value]
        return f'{text} It says "{line}"' if "### Entities" in prompt else text

    with Server(Script(answer=answer)) as server:
        assert run(tmp_path, server) == 0
    found = {row["parents"][0] for row in rows(tmp_path / "out/entigraph/removed")}
    assert found == {"b", "c"}
    assert sum(row["parents"] == ["a"] for row in rows(tmp_path / "out/entigraph/data")) == 1 + 4


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    with Server(Script(answer=writer(4))) as server:
        assert run(tmp_path, server) == 0
        first = rows(tmp_path / "out/entigraph/data")
        asked = sum(count.asked for count in server.counts().values())
        assert run(tmp_path, server, "--fresh") == 0
        assert sum(count.asked for count in server.counts().values()) == asked
    again = rows(tmp_path / "out/entigraph/data")
    assert [row["text"] for row in again] == [row["text"] for row in first]
    assert all(entry["from_ledger"] == 1 for row in again for entry in row["answers"] or ())


def test_plan_tells_calls_tokens_and_cost_before_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twelve documents in twelve files; four are sampled. Within 20 % of what the run then takes."""
    words = ["mill", "leat", "wheel", "sluice", "weir", "stone"]
    (tmp_path / "docs").mkdir()
    for number in range(12):
        text = f"The {words[number % 6]}{number} stands. " + "It turns in the water. " * (5 + number % 3)
        table = pa.table({"id": [f"d{number:02d}"], "text": pa.array([text], pa.large_string())})
        pq.write_table(table, tmp_path / "docs" / f"{number:02d}.parquet")
    with Server(Script(answer=writer(6))) as server:
        engine = server.engine(concurrency=16, prompt_price=10, completion_price=30)
        common = ["entigraph", "--input", str(tmp_path / "docs"), "--set=ShareBudget.budget=240", "--json"]
        common += [f"--set={stage}.engine={engine}" for stage in ("ExtractEntities", "EntiGraph")]
        assert main(["plan", *common, "--sample", "4"]) == 0
        told = json.loads(capsys.readouterr().out.splitlines()[-1])["estimate"]["models"]
        assert main(["run", *common, "--output", str(tmp_path / "out")]) == 0
    folder = Folder(str(tmp_path / "out"))
    for step in ("entities", "entigraph"):
        names = {"entities": {"ExtractEntities"}, "entigraph": {"EntiGraph"}}[step]
        manifests = read_manifests(folder.below(step)).values()
        actual = Usage()
        for manifest in manifests:
            actual = actual.plus(usage_of(folder.below(step), manifest, names))
        for field in ("calls", "prompt_tokens", "completion_tokens", "cost"):
            assert told[step][field][0] == pytest.approx(getattr(actual, field), rel=0.2), (step, field)
    assert actual.calls == 240
