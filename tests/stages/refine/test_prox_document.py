"""ProxDocument over tables: what the model is shown, and which answers drop a row."""

from typing import Any

import pyarrow as pa
import pytest

from schemas import columns as c
from stages.models.engine import Failure
from stages.refine.document import ProxDocument, Verdict, judge
from stages.stage import Stage, StageError
from tests.stages.refine.scripted import Say, asker, said_to

TEXT = "A page about the river and its mills."


def table(*texts: str | None) -> pa.Table:
    return pa.table({"id": [str(i) for i in range(len(texts))], "text": pa.array(texts, c.TEXT)})


def run(stage: ProxDocument, say: Say, *texts: str | None, **more: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = stage.asking(asker(say, **more))(table(*texts)).to_pylist()
    return rows


@pytest.mark.parametrize(
    ("output", "compat", "strict"),
    [
        ("keep_doc()", ("keep", 0), ("keep", 0)),
        ("drop_doc()", ("drop", 0), ("drop", 0)),
        (" drop", ("drop", 0), ("drop", 0)),
        ("keep", ("keep", 0), ("keep", 0)),
        ("", ("keep", 0), ("keep", 1)),
        ("raindrops", ("drop", 0), ("keep", 2)),  # the original looks for a substring
        ("I would not drop it", ("drop", 0), ("keep", 2)),
        ("dro", ("keep", 0), ("keep", 2)),
        ("drop_doc()\nkeep_doc()", ("drop", 0), ("keep", 1)),
        ("```\ndrop_doc()\n```", ("drop", 0), ("drop", 0)),
        ("drop_doc(", ("drop", 0), ("keep", 2)),
    ],
)
def test_what_an_output_decides(output: str, compat: tuple[str, int], strict: tuple[str, int]) -> None:
    assert judge(output, True) == Verdict(*compat)
    assert judge(output, False) == Verdict(*strict)


def test_rows_are_dropped_with_a_reason_and_kept_otherwise() -> None:
    def say(prompt: str) -> str:
        return "drop_doc()" if "advert" in prompt else "keep_doc()"

    rows = run(ProxDocument(), say, TEXT, "an advert", TEXT)
    assert [row["drop_reason"] for row in rows] == [None, "prox_drop_doc", None]
    assert [row["answers"][0]["decision"] for row in rows] == ["keep", "drop", "keep"]
    assert [row["answers"][0]["output"] for row in rows] == ["keep_doc()", "drop_doc()", "keep_doc()"]
    assert [row["text"] for row in rows] == [TEXT, "an advert", TEXT]


def test_the_model_is_shown_the_raw_text_in_llamas_template_with_one_bos() -> None:
    one = asker(lambda _: "keep")
    ProxDocument().asking(one)(table("[000] is\nno number"))
    system = "<<SYS>> You are a helpful, respectful and honest assistant. <</SYS>>"
    assert said_to(one) == [f"<s>[INST] {system} [000] is no number [/INST]"]


@pytest.mark.parametrize(
    ("settings", "context", "seen"),
    [
        ({"prompt_tokens": 4}, None, "<s>[INST] a b c"),  # the closing tag is lost, as in the original
        ({"prompt_tokens": 4, "whole": True}, None, "<s>[INST] a b [/INST]"),
        ({"max_tokens": 3}, 6, "<s>[INST] a b"),  # the model's context
        ({"context": 40, "max_tokens": 38}, 99, "<s>[INST] a"),
        ({}, None, "<s>[INST] a b c d e [/INST]"),
    ],
)
def test_a_long_document_is_cut(settings: dict[str, Any], context: int | None, seen: str) -> None:
    one = asker(lambda _: "keep", context)
    ProxDocument(prompt_format="llama2_nosys", **settings).asking(one)(table("a b c d e"))
    assert said_to(one) == [seen]


def test_texts_without_words_are_kept_unasked_and_failures_are_dead() -> None:
    def say(prompt: str) -> str | Failure:
        return Failure("refused") if "poison" in prompt else "drop"

    rows = run(ProxDocument(), say, "", None, "poison", TEXT)
    assert [row["drop_reason"] for row in rows] == [None, None, None, "prox_drop_doc"]
    assert [row["error"] for row in rows] == [None, None, "Failure: refused", None]
    decisions = [row["answers"] and row["answers"][0]["decision"] for row in rows]
    assert decisions == ["skipped", "skipped", None, "drop"]


def test_without_an_engine_every_row_is_kept_unasked() -> None:
    rows = ProxDocument(engine=None).open()(table(TEXT, "")).to_pylist()
    assert [(row["drop_reason"], row["answers"], row["error"]) for row in rows] == [(None, None, None)] * 2
    assert isinstance(ProxDocument(engine=None), Stage)


def test_settings_that_leave_no_prompt_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^ProxDocument\.max_tokens should be at least 1, got 0$"):
        ProxDocument(max_tokens=0)
    with pytest.raises(StageError, match=r"^ProxDocument\.max_tokens is 64: no context is left for the prompt$"):
        ProxDocument(max_tokens=64).asking(asker(lambda _: "keep", 64))
