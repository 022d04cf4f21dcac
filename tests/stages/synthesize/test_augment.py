"""Variants of documents: operators, reasons, and whose they are."""

from typing import Any

import pyarrow as pa
import pytest

from schemas import columns as c
from stages.models.engine import Answer, Failure, Request, Usage
from stages.prompts import load_prompt
from stages.stage import Resources
from stages.synthesize.augment import Augment
from tests.stages.rephrase.writers import SPEC, Writer, asker, given, user

ANN = "She was born in Kent in 1931. She studied law. She lives in Rome."
NO_LANGUAGE = {"language": False}


def table(*texts: str | None, **more: Any) -> pa.Table:
    return pa.table({"id": [f"d{n}" for n in range(len(texts))], "text": pa.array(texts, c.TEXT), **more})


def variants(rows: pa.Table, engine: Writer | None = None, **settings: Any) -> list[dict[str, Any]]:
    """The rows that a stage without a permutation makes, unless told otherwise."""
    stage = Augment(**{"engine": SPEC, "guards": NO_LANGUAGE, "permute": 0, **settings})
    found: list[dict[str, Any]] = stage.write(rows, asker(engine) if engine else None).to_pylist()
    return found


def again(request: Request) -> str:
    """The same facts in words that depend on the prompt."""
    return f"({len(user(request)) - len(given(request))}) " + given(request)


def plain(request: Request) -> str:
    return "Well. " + given(request)


def of(name: str, request: Request) -> bool:
    return user(request) == str(load_prompt(name).chat(text=given(request)).chat[-1][1])  # type: ignore[index]


def test_multi2_gives_two_texts_with_equal_facts() -> None:
    engine = Writer(lambda request: ("To tell. " if of("augment-retell", request) else "Entry. ") + given(request))
    rows = variants(table(ANN), engine, multi=2)
    assert [(row["text"], row["variant"], row["parents"], row["parent_text"]) for row in rows] == [
        (f"To tell. {ANN}", "multi1", ["d0"], ANN),
        (f"Entry. {ANN}", "multi2", ["d0"], ANN),
    ]
    assert [row["prompt_hash"] for row in rows] == [load_prompt(f"augment-{name}").hash for name in ("retell", "entry")]
    assert {row["model"] for row in rows} == {"writer-7b"}
    assert len({row["id"] for row in rows} | {"d0"}) == 3


def test_the_papers_best_has_all_operators() -> None:
    rows = variants(table(ANN, title=["Ann Lee"]), Writer(plain), multi=1, permute=2, subject="title", single=True)
    assert [row["variant"] for row in rows] == [
        "single fullname permute1", "single fullname permute2", "multi1 fullname permute1", "multi1 fullname permute2",
    ]  # fmt: skip
    facts = ["Ann Lee was born in Kent in 1931.", "Ann Lee studied law.", "Ann Lee lives in Rome."]
    for row in rows:
        assert all(row["text"].count(fact) == 1 for fact in facts), row["text"]
        assert "She" not in row["text"]
    assert [row["model"] for row in rows] == [None, None, "writer-7b", "writer-7b"]
    assert [bool(row["answers"]) for row in rows] == [False, False, True, False]  # a call is counted once


def test_without_a_model() -> None:
    stage = Augment(multi=0, permute=6, engine="openai:http://localhost:1/v1#nobody")
    assert stage.resources == Resources(memory_gb=1.0)
    rows = stage.open()(table(ANN, "One.")).to_pylist()
    kept = [row for row in rows if row["drop_reason"] is None]
    assert {row["drop_reason"] for row in rows} == {None, "variant_repeated"}
    assert len(rows) == 12
    assert len({row["text"] for row in kept}) == len(kept)
    assert [row["parents"] for row in kept][-1] == ["d1"]
    assert sum(row["parents"] == ["d1"] for row in kept) == 1  # one sentence has one order
    again_ = Augment(multi=0, permute=6).open()(table(ANN, "One.")).to_pylist()
    assert [(row["id"], row["text"]) for row in again_] == [(row["id"], row["text"]) for row in rows]


def test_documents_without_a_subject_keep_their_pronouns() -> None:
    rows = variants(table(ANN, ANN, ANN, title=["Ann Lee", None, "x" * 200]), multi=0, subject="title")
    assert [row["variant"] for row in rows] == ["single fullname", "single", "single"]


def test_more_texts_than_prompts_have_other_seeds() -> None:
    engine = Writer(again)
    variants(table(ANN), engine, multi=3, prompts=("augment-retell",))
    assert len({request.sampling.seed for request in engine.asked}) == 3
    with pytest.raises(ValueError, match="2 texts from 1 prompts at temperature 0 repeat themselves"):
        Augment(multi=2, prompts=("augment-retell",), temperature=0.0)


@pytest.mark.parametrize(
    ("reason", "reply"),
    [
        ("guard_empty", " \n"),
        ("guard_truncated", Answer(ANN, "length", Usage())),
        ("guard_refusal", "I'm sorry, but I cannot help with that request about this person. " + ANN),
        ("guard_leak", f"{ANN}<|im_end|>"),
        ("guard_length_ratio", "She."),
        ("guard_length_ratio", ANN * 4),
        ("guard_novel_number", ANN.replace("1931", "1932")),
        ("guard_novel_url", f"{ANN} See http://example.org/ann for more."),
    ],
)
def test_texts_that_are_not_taken_have_a_reason(reason: str, reply: "str | Answer") -> None:
    (row,) = variants(table(ANN), Writer(lambda _: reply), multi=1)
    assert (row["drop_reason"], row["variant"]) == (reason, "multi1")
    assert (row["answers"][0]["decision"], row["answers"][0]["errors"]) == (reason, 1)


def test_a_loop_has_a_reason() -> None:
    long = " ".join(
        f"{ANN} The road {'abcdefghijklmnopqrst'[n]} leads to the house of another cousin." for n in range(12)
    )
    (row,) = variants(table(long), Writer(lambda _: "She was born in Kent in 1931. " * 40), multi=1)
    assert row["drop_reason"] is None  # the source repeats itself too
    long = " ".join(f"{n}{n}{n + 7} b{n} c{n} d{n}e{n} f{n} {n * n}g 1931." for n in range(60))
    (row,) = variants(table(long), Writer(lambda _: "She was born in Kent in 1931. " * 40), multi=1)
    assert row["drop_reason"] == "guard_repetition"


def test_another_language_has_a_reason() -> None:
    german = (
        "Sie wurde 1931 in Kent geboren. Sie studierte die Rechte und lebt heute mit ihrer Familie in Rom in Italien."
    )
    english = (
        "She was born in Kent in 1931. She studied the law and lives today with her family in Rome in Italy, they say."
    )
    (row,) = variants(table(english), Writer(lambda _: german), multi=1, guards={})
    assert row["drop_reason"] == "guard_language"


def test_a_prefix_that_is_not_there_has_a_reason(tmp_path: Any) -> None:
    file = tmp_path / "p.yaml"
    file.write_text('name: p\nversion: 1\nuser: "{{text}}"\nprefix: "Here:"\n')
    (row,) = variants(table(ANN), Writer(lambda _: ANN), multi=1, prompts=(str(file),))
    assert row["drop_reason"] == "guard_prefix"


def test_a_text_that_was_there_before_is_dropped() -> None:
    rows = variants(table(ANN, ANN), Writer(plain), multi=2, single=True)
    assert [row["drop_reason"] for row in rows] == [None, None, "variant_repeated"] * 2


def test_documents_that_are_not_rewritten() -> None:
    rows = variants(table("", None, "word " * 90, "Short."), Writer(plain), multi=1, max_input=100, single=True)
    assert [(row["parents"], row["variant"], row["drop_reason"]) for row in rows] == [
        (["d0"], "single", "document_empty"),
        (["d1"], "single", "document_empty"),
        (["d2"], "single", None),
        (["d2"], "multi", "document_long"),
        (["d3"], "single", None),
        (["d3"], "multi1", None),
    ]


def test_a_failed_call_leaves_a_dead_row() -> None:
    engine = Writer(lambda request: Failure("gone") if of("augment-entry", request) else plain(request))
    rows = variants(table(ANN), engine, multi=2, permute=1)
    assert [(row["error"], row["drop_reason"], row["variant"]) for row in rows] == [
        (None, None, "multi1 permute1"),
        ("gone", None, "multi2"),
    ]


@pytest.mark.parametrize("setting", [{"multi": -1}, {"permute": -1}, {"max_input": 0}, {"temperature": -0.1}])
def test_settings_that_cannot_be(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"Augment.{next(iter(setting))} should be at least"):
        Augment(**setting)


def test_the_settings_tell_prompts_and_guards() -> None:
    assert Augment().prompt_hashes == tuple(load_prompt(name).hash for name in Augment().prompts)
    assert len(set(Augment().prompt_hashes)) == 5
    assert Augment(multi=0).prompt_hashes == ()
    with pytest.raises(
        ValueError, match="Augment: guards have no setting 'novel_number'; did you mean 'novel_numbers'"
    ):
        Augment(guards={"novel_number": 1})
