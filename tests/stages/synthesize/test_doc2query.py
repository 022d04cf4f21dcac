"""Queries of a document: behind its text or as rows, and the reasons of what is not taken."""

import pytest

from stages.models.engine import Failure
from stages.synthesize.doc2query import Doc2Query
from tests.stages.rephrase.writers import SPEC, Writer, user
from tests.stages.synthesize.replies import MILL, Said, cut, documents, write, written

QUERIES = "- when was the mill at Lenham built\n- lenham water mill\n- Lenham water mill\n- why did the miller close it"


def test_queries_stand_behind_the_text() -> None:
    (row,) = write(Doc2Query, documents(MILL), QUERIES)
    assert row["text"] == (
        f"{MILL}\n\nwhen was the mill at Lenham built\nlenham water mill\nwhy did the miller close it"
    )
    assert (row["variant"], row["parents"]) == ("expanded", ["d0"])
    assert row["answers"][0]["output"] == QUERIES


def test_each_query_is_a_row() -> None:
    rows = write(Doc2Query, documents(MILL), QUERIES, output="rows")
    assert [(row["text"], row["variant"]) for row in rows] == [
        ("when was the mill at Lenham built", "query 1"),
        ("lenham water mill", "query 2"),
        ("why did the miller close it", "query 3"),
    ]
    assert {tuple(row["parents"]) for row in rows} == {("d0",)}
    assert len({row["id"] for row in rows}) == 3
    assert [row["answers"][0]["calls"] for row in rows] == [1, 0, 0]


def test_no_more_than_were_asked_for() -> None:
    engine = Writer(lambda _: QUERIES)
    assert len(written(Doc2Query(engine=SPEC, output="rows", queries=2), documents(MILL), engine)) == 2
    assert user(engine.asked[0]).startswith("List 2 queries for which")


def test_the_model_sees_the_beginning_and_the_row_has_all() -> None:
    engine = Writer(lambda _: QUERIES)
    text = f"{MILL} " * 30
    (row,) = written(Doc2Query(engine=SPEC, max_input=13), documents(text), engine)
    assert user(engine.asked[0]).partition("Text:\n")[2] == "The water mill at Lenham was built in 1842 of"
    assert row["text"].startswith(f"{text}\n\nwhen")


def test_the_last_query_may_be_cut() -> None:
    (row,) = write(Doc2Query, documents(MILL), cut("- lenham water mill\n- when was the mi"))
    assert row["text"] == f"{MILL}\n\nlenham water mill"


@pytest.mark.parametrize(
    ("reason", "reply"),
    [
        ("queries_empty", " "),
        ("queries_refusal", "I'm sorry, but I cannot help with that."),
        ("queries_no_list", "lenham water mill"),
        ("queries_no_list", '{"queries": ["lenham water mill"]}'),
        ("queries_truncated", cut("- when was the mi")),
        ("queries_blank", "-\n-\n"),
        ("queries_long", "- " + "why and " * 60),
        ("queries_markup", "- lenham water mill<|eot_id|>"),
        ("guard_novel_number", "- mill built in 1843"),
        ("guard_novel_url", "- lenham mill on www.example.org/mill"),
    ],
)
def test_what_is_not_taken_is_dropped_with_the_reason(reason: str, reply: Said) -> None:
    (row,) = write(Doc2Query, documents(MILL), reply)
    assert (row["drop_reason"], row["error"], row["parents"]) == (reason, None, ["d0"])
    assert (row["answers"][0]["decision"], row["answers"][0]["errors"]) == (reason, 1)


def test_failures_and_empty_documents() -> None:
    rows = write(Doc2Query, documents(MILL, " ", None), Failure("gone"), output="rows")
    assert [(row["error"], row["drop_reason"]) for row in rows] == [
        ("Failure: doc2query: gone", None),
        (None, "document_empty"),
        (None, "document_empty"),
    ]


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"Doc2Query.output should be append or rows, got 'row'"):
        Doc2Query(engine=SPEC, output="row")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Doc2Query: prompt entigraph-pair has a place 'content'; places may be text"):
        Doc2Query(engine=SPEC, prompt="entigraph-pair")
    with pytest.raises(ValueError, match=r"Doc2Query.temperature should be at least 0, got -1"):
        Doc2Query(engine=SPEC, temperature=-1)
