"""What the stages that have a model write share: prompts that are checked, requests made when asked, rows in order."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stages.models.ask import Made
from stages.models.engine import Answer, Failure, Request
from stages.synthesize.conversation import Conversation
from stages.synthesize.doc2query import Doc2Query
from tests.stages.rephrase.writers import SPEC, Writer, asker, user
from tests.stages.synthesize.replies import MILL, documents, written

LONG = " ".join(f"Sentence number {n} tells of the mill and of its wheel in the river." for n in range(400))


def test_a_prompt_must_show_the_text(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text('name: p\nversion: 1\nuser: "List {{queries}} queries."\n')
    with pytest.raises(ValueError, match=r"Doc2Query: prompt p does not show {{text}}; places may be text, queries"):
        Doc2Query(engine=SPEC, prompt=str(file))


class Lazy(Writer):
    """Takes requests one by one and keeps none."""

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer | Failure]]:
        assert isinstance(requests, Made)
        assert requests[0] is not requests[0]  # made each time that it is asked for
        for number in range(len(requests)):
            yield number, Failure(user(requests[number])[-20:])


def test_requests_are_made_when_they_are_asked_for() -> None:
    stage = Conversation(engine=SPEC, piece_tokens=20)
    rows = written(stage, documents(LONG), Lazy(lambda _: ""))
    assert len(rows) == 400 * 7
    assert all(row["error"] for row in rows)


def test_rows_of_a_document_stand_together_in_its_order() -> None:
    rows = written(Doc2Query(engine=SPEC, output="rows"), documents(MILL, "", "Stone."), Writer(lambda _: "- a\n- b"))
    assert [(row["parents"][0], row["text"]) for row in rows] == [
        ("d0", "a"), ("d0", "b"), ("d1", ""), ("d2", "a"), ("d2", "b"),
    ]  # fmt: skip


def test_rows_do_not_depend_on_the_table_they_came_in() -> None:
    stage, say = Doc2Query(engine=SPEC), Writer(lambda request: f"- {request.sampling.seed}")
    both = written(stage, documents(MILL, "Stone."), say)
    alone = written(stage, documents(MILL, "Stone.").slice(1), say)
    assert [(row["id"], row["text"]) for row in alone] == [(row["id"], row["text"]) for row in both[1:]]


def test_threads_share_a_stage() -> None:
    stage, open_ = Doc2Query(engine=SPEC), asker(Writer(lambda request: "- " + user(request)[-8:]))
    tables = [documents(f"{MILL} {n:08d}") for n in range(40)]
    with ThreadPoolExecutor(4) as pool:
        texts = [table.column("text")[0].as_py() for table in pool.map(lambda table: stage.write(table, open_), tables)]
    assert [text[-8:] for text in texts] == [f"{n:08d}" for n in range(40)]
