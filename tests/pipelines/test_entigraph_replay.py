"""A dead relation of EntiGraph is replayed as one: it alone is asked again, and the rows are the undisturbed run's."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.cli import main
from pipelines.replay import replay
from schemas import columns as c
from stages.models.engine import Answer, Failure, Request
from stages.synthesize.entigraph import EntiGraph
from tests.pipelines.test_entigraph import TEXTS, writer
from tests.runs import rows
from tests.stages.models.misbehaving import Script, Server
from tests.stages.rephrase.writers import SPEC, Writer, asker, user

PASSING = ("from_ledger", "seconds", "cost")  # what an answer cost this time
LOST = "The mill stands.\n\n### Entities:\n- mill 1\n- mill 3"  # a pair, and the triple with mill 4
ANOTHER = "- wheel 0\n- wheel 2"  # a pair, and two triples


def run(source: Path, output: Path, server: Server) -> int:
    engine = server.engine(concurrency=16)
    sets = [f"--set={stage}.engine={engine}" for stage in ("ExtractEntities", "EntiGraph")]
    words = ["run", "entigraph", "--input", str(source), "--output", str(output), "--json", "--max-dead", "0.5"]
    return main([*words, *sets])


def documents(file: Path) -> Path:
    table = pa.table({
        "id": ["a", "b", "c"], "text": pa.array(TEXTS, pa.large_string()),
        "title": ["Mill", None, "Wheel"], "published": ["2024-05-17", "2024-05-18", None],
    })  # fmt: skip
    pq.write_table(table, file)
    return file


def facts(part: Path) -> list[dict[str, Any]]:
    found = sorted(rows(part), key=lambda row: str(row["id"]))
    for row in found:
        row["answers"] = [{k: v for k, v in e.items() if k not in PASSING} for e in row["answers"] or ()]
    return found


def test_only_relations_that_died_are_asked_again(tmp_path: Path) -> None:
    def answer(prompt: str) -> str:
        _, _, rest = prompt.partition('"Mill", 2024-05-17.\n ')  # the writer looks at the second word of the text
        _, _, text = prompt.partition('"Wheel".\n ')
        return writer(5)(f"### Document Content:\n{rest or text}" if rest or text else prompt)  # type: ignore[call-arg, return-value]

    source, out, whole = documents(tmp_path / "docs.parquet"), tmp_path / "lost", tmp_path / "whole"
    with Server(Script({LOST: ("400", "ok"), ANOTHER: ("400", "400", "ok")}, answer=answer)) as server:
        assert run(source, out, server) == 0
        dead = rows(out / "entigraph/dead")
        assert sorted((row["parents"][0], len(row["entities"])) for row in dead) == [
            ("a", 2), ("a", 3), ("c", 2), ("c", 3), ("c", 3),
        ]  # fmt: skip
        before = {prompt: count.asked for prompt, count in server.counts().items()}
        step = replay(str(out))["steps"][1]
        assert step == {"step": "entigraph", "dead_before": 5, "kept": 2, "dropped": 0, "dead": 3}
        again = {p: count.asked - before[p] for p, count in server.counts().items() if count.asked > before[p]}
        assert set(again.values()) == {1}
        assert all(LOST in prompt or ANOTHER in prompt for prompt in again)
        assert len(again) == 5
        step = replay(str(out))["steps"][1]  # those that died again are no other than before
        assert step == {"step": "entigraph", "dead_before": 3, "kept": 3, "dropped": 0, "dead": 0}
        assert run(source, out, server) == 0
        assert all(count.answered == 1 for count in server.counts().values())
        assert len(server.counts()) == 3 + 3 * 20
    with Server(Script(answer=answer)) as server:
        assert run(source, whole, server) == 0
    for part in ("entigraph/data", "entigraph/removed", "entigraph/dead", "shuffle/data"):
        assert facts(out / part) == facts(whole / part), part


def test_table_of_documents_and_relations_that_died() -> None:
    def said(request: Request) -> str | Answer | Failure:
        return "### Discussion\n" + user(request).partition("### Entities:\n")[2]

    def written(table: pa.Table, write: Any) -> tuple[pa.Table, Writer]:
        engine = Writer(write)
        return EntiGraph(engine=SPEC).write(table, asker(engine)), engine

    mill, leat = (
        pa.table({
            "id": [id_], "text": pa.array([text], c.TEXT), "published": ["2024-05-17"],
            "entities": pa.array([["mill", "wheel", "leat"]], c.ENTITIES.type), "summary": pa.array(["Of it."], c.TEXT),
        })
        for id_, text in (("a", TEXTS[0]), ("b", TEXTS[1]))
    )  # fmt: skip
    whole, _ = written(pa.concat_tables([mill, leat]), said)
    lost, _ = written(mill, lambda r: Failure("no") if user(r).endswith("- mill\n- leat") else said(r))
    dead = lost.filter(lost.column("error").is_valid())
    assert (dead.num_rows, dead.column("published").to_pylist()) == (1, ["2024-05-17"])
    assert lost.filter(lost.column("error").is_null()).column("published").null_count == 4
    both = pa.concat_tables([leat, dead.drop_columns(["error", "drop_reason"])], promote_options="default")
    again, engine = written(both, said)
    assert len(engine.asked) == 4 + 1
    expected = {row["id"]: row for row in whole.to_pylist()}
    found = {row["id"]: row for row in again.to_pylist()}
    assert len(found) == again.num_rows == 5 + 1
    assert {id_: {k: row[k] for k in expected[id_]} for id_, row in found.items()} == {
        id_: expected[id_] for id_ in found
    }
