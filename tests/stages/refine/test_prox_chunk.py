"""ProxChunks over tables: what is asked, what becomes of each answer, and what is kept of it in the row."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import columns as c
from stages.models.engine import Failure
from stages.models.spec import parse
from stages.refine.chunk import ProxChunks
from stages.refine.replay import replay
from stages.stage import Resources, Stage, StageError, identity
from tests.stages.refine.golden import GOLDEN, LINES, D
from tests.stages.refine.scripted import Say, Scripted, asker, said_to

PROSE = "\n".join(f"Line {i} of a page says something that is worth its four words more." for i in range(6))
STRICT: dict[str, Any] = {"compat": False, "prompt_format": "plain"}


def table(*texts: str | None) -> pa.Table:
    ids = pa.array([str(i) for i in range(len(texts))], pa.string())
    return pa.table({"id": ids, "text": pa.array(texts, c.TEXT), "n_chars": pa.array([7] * len(texts), pa.int64())})


def run(stage: ProxChunks, say: Say, *texts: str | None, **more: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = stage.asking(asker(say, **more))(table(*texts)).to_pylist()
    return rows


def always(output: str) -> Say:
    return lambda _: output


@pytest.mark.parametrize(("output", "text", "decision", "errors"), GOLDEN)
def test_golden_cases_through_the_stage(output: str, text: str, decision: str, errors: int) -> None:
    [row] = run(ProxChunks(), always(output), D)
    [answer] = row["answers"]
    assert (answer["output"], answer["decision"], answer["errors"]) == (output, decision, errors)
    assert row["drop_reason"] == {"dropped_ratio": "prox_dropped_ratio"}.get(decision)
    assert row["text"] == (text if row["drop_reason"] is None else D)  # a row that is dropped keeps its text
    assert row["n_chars"] == len(row["text"])
    assert (row["edits"] is not None) == (decision == "refined")
    if row["edits"]:
        assert replay(D, row["edits"]) == text


def test_the_released_models_are_asked_in_their_own_way() -> None:
    one = asker(always("keep_all()"))
    ProxChunks().asking(one)(table(D))
    engine = one.engine
    assert isinstance(engine, Scripted)
    [request] = engine.requests
    numbered = "\n".join(f"[{i:03d}]{line}" for i, line in enumerate(LINES))
    system = "You are a helpful, respectful and honest assistant."
    assert request.prompt.text == f"<s>[INST] <<SYS>>\n{system}\n<</SYS>>\n\n[doc]\n{numbered}\n[/doc] [/INST]"
    sampling = request.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p, sampling.grammar) == (256, 0.0, 0.9, None)


def test_answers_about_chunks_are_one_program_over_the_whole_text() -> None:
    def say(prompt: str) -> str:
        return "remove_lines(start=0, end=0)" if "[000]" in prompt else " remove_lines(start=5, end=5)"

    one = asker(say)
    [row] = ProxChunks(chunk_tokens=45, prompt_format="plain").asking(one)(table(PROSE)).to_pylist()
    lines = PROSE.split("\n")
    numbered = [f"[00{i}]{line}" for i, line in enumerate(lines)]
    assert said_to(one) == ["\n".join(["[doc]", *numbered[i : i + 3], "[/doc]"]) for i in (0, 3)]
    assert row["text"] == "\n".join(lines[1:5])
    [edit] = row["edits"]
    assert edit == {
        "stage": "ProxChunks",
        "rule": "remove_lines(start=0, end=0)\nremove_lines(start=5, end=5)",
        "n_chars_before": len(PROSE),
        "n_chars_after": len(row["text"]),
    }
    [answer] = row["answers"]
    assert answer["output"] == "remove_lines(start=0, end=0)\n remove_lines(start=5, end=5)"
    assert {k: answer[k] for k in ("stage", "model", "calls", "from_ledger", "prompt_tokens", "completion_tokens")} == {
        "stage": "ProxChunks",
        "model": "model",
        "calls": 2,
        "from_ledger": 0,
        "prompt_tokens": 200,
        "completion_tokens": 20,
    }


def test_all_means_the_chunk_and_not_the_document_unless_it_is_the_original_reading() -> None:
    def say(prompt: str) -> str:
        return "remove_lines(all=True)" if "[000]" in prompt else "keep_all()"

    small = {"chunk_tokens": 45, "prompt_format": "plain"}
    [strict] = run(ProxChunks(**small, compat=False), say, PROSE)
    assert strict["text"] == "\n".join(PROSE.split("\n")[3:])
    [compat] = run(ProxChunks(**small), say, PROSE)
    assert compat["drop_reason"] == "prox_dropped_ratio"


OUTPUTS = st.lists(
    st.one_of(
        st.builds("remove_lines(start={}, end={})".format, st.integers(0, 8), st.integers(0, 8)),
        st.builds('normalize(source_str="{}", target_str="{}")'.format, st.sampled_from(["e", " ", "Line"]), st.text()),
        st.sampled_from(["remove_lines(all=True)", "keep_all()", "drop_doc()", "remove_lines(start=1", "well", "```"]),
    ),
    max_size=4,
).map("\n".join)


@settings(max_examples=80)
@given(first=OUTPUTS, others=OUTPUTS, compat=st.booleans())
def test_whatever_is_said_of_chunks_the_row_tells_how_its_text_came_about(
    first: str, others: str, compat: bool
) -> None:
    def say(prompt: str) -> str:
        return first if "[000]" in prompt else others

    [row] = run(ProxChunks(chunk_tokens=45, prompt_format="plain", compat=compat), say, PROSE)
    assert row["error"] is None
    assert replay(PROSE, row["edits"] or []) == row["text"]
    assert (row["edits"] is not None) == (row["answers"][0]["decision"] == "refined")
    assert (row["drop_reason"] is not None) == row["answers"][0]["decision"].startswith("dropped")


def test_a_broken_program_spoils_its_chunk_and_not_the_document_unless_it_is_the_original_reading() -> None:
    broken = "remove_lines(start=x, end=1)\n" * 3

    def say(prompt: str) -> str:
        return broken if "[000]" in prompt else "remove_lines(start=4, end=4)\nwhat else"

    small = {"chunk_tokens": 45, "prompt_format": "plain"}
    [strict] = run(ProxChunks(**small, compat=False), say, PROSE)
    assert strict["text"] == "\n".join(line for line in PROSE.split("\n") if "Line 4" not in line)
    assert (strict["answers"][0]["decision"], strict["answers"][0]["errors"]) == ("refined", 4)
    [compat] = run(ProxChunks(**small), say, PROSE)
    assert (compat["text"], compat["answers"][0]["decision"], compat["answers"][0]["errors"]) == (PROSE, "abandoned", 3)
    [all_broken] = run(ProxChunks(**small, compat=False), always(broken), PROSE)
    assert (all_broken["text"], all_broken["answers"][0]["decision"]) == (PROSE, "abandoned")


@pytest.mark.parametrize(
    ("output", "decision", "errors", "left"),
    [
        ("remove_lines(0, 1)", "refined", 0, 4),  # by position
        ("I think this page is fine as it is.", "untouched", 1, 6),  # prose
        ("```python\nremove_lines(0, 1)\n```\nDone!", "refined", 0, 4),  # a fence, and remarks
        ("remove_lines(start=0, end=1)\nremove_lines(start=4, en", "refined", 1, 4),  # cut off
        ("remove_lines(start=0, end=1)\nremove_lines(start=9, end=9)", "refined", 1, 4),  # a line there is not
        ("remove_lines(5, 2)\nremove_lines(0, 1)", "refined", 1, 4),  # the wrong way round
        ("delete(0)\ndelete(1)", "abandoned", 2, 6),  # functions there are not
        ('{"remove": [0, 1]}', "untouched", 1, 6),  # JSON
        ("remove_lines(0, 1)\n" * 40, "refined", 0, 4),  # again and again
        ("", "untouched", 0, 6),  # nothing
        ("remove_lines(start=0, end=1) # menu", "refined", 0, 4),  # a comment
        ('normalize("says something", "shouts 99 things at www.example.com")', "untouched", 1, 6),  # made up
        ("\x00\ufffd(((((", "untouched", 1, 6),  # noise
    ],
)
def test_malformed_output_is_counted_and_never_makes_a_text_up(
    output: str, decision: str, errors: int, left: int
) -> None:
    [row] = run(ProxChunks(**STRICT), always(output), PROSE)
    [answer] = row["answers"]
    assert (answer["decision"], answer["errors"]) == (decision, errors)
    assert row["text"] == "\n".join(PROSE.split("\n")[6 - left :])


def test_a_row_whose_request_failed_is_dead_and_not_silently_kept() -> None:
    def say(prompt: str) -> str | Failure:
        return Failure("the server rejects it") if "poison" in prompt else "remove_lines(start=0, end=0)"

    rows = run(ProxChunks(chunk_tokens=45, prompt_format="plain"), say, PROSE, f"{PROSE}\npoison", PROSE)
    assert [row["error"] for row in rows] == [None, "Failure: lines 6 to 6: the server rejects it", None]
    assert (rows[1]["text"], rows[1]["edits"], rows[1]["drop_reason"]) == (f"{PROSE}\npoison", None, None)
    [paid] = rows[1]["answers"]  # for the chunks that were answered
    assert (paid["decision"], paid["calls"], paid["output"].split("\n")[-1]) == ("failed", 2, "# lines 6 to 6: failed")
    assert rows[0]["text"] == rows[2]["text"] != PROSE


def test_a_line_too_long_for_the_model_is_not_asked_about_and_is_counted() -> None:
    one = asker(always("remove_lines(start=1, end=1)"), context=60)
    stage = ProxChunks(chunk_tokens=20, max_tokens=10, **STRICT)
    long = " ".join(["word"] * 60)
    rows = stage.asking(one)(table(f"{long}\nMenu\nand a line of a few words more", long)).to_pylist()
    assert [row["answers"][0]["decision"] for row in rows] == ["refined+skipped", "skipped"]
    assert rows[0]["text"] == f"{long}\nand a line of a few words more"
    assert rows[0]["answers"][0]["output"] == "# lines 0 to 0: 61 tokens, not asked\nremove_lines(start=1, end=1)"
    assert rows[0]["answers"][0]["calls"] == 1
    assert (rows[1]["text"], rows[1]["answers"][0]["calls"], rows[1]["drop_reason"]) == (long, 0, None)
    assert len(said_to(one)) == 1


def test_a_line_longer_than_a_chunk_is_asked_about_if_it_fits() -> None:
    long = " ".join(["word"] * 60)
    [row] = run(ProxChunks(chunk_tokens=20, max_tokens=10, **STRICT), always("keep_all()"), long, context=80)
    assert row["answers"][0]["decision"] == "untouched"


def test_a_text_without_words_is_dropped_unasked() -> None:
    one = asker(always("keep_all()"))
    rows = ProxChunks().asking(one)(table("", None, " \n ")).to_pylist()
    assert [row["drop_reason"] for row in rows] == ["prox_dropped_short"] * 3
    assert [row["text"] for row in rows] == ["", None, " \n "]
    assert said_to(one) == []


def test_many_texts_are_tokenised_in_slices_to_the_same_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [PROSE, "", D, f"{PROSE}\n{D}"]
    want = run(ProxChunks(chunk_tokens=30), always("remove_lines(start=1, end=1)"), *texts)
    monkeypatch.setattr("stages.refine.refining.SLICE", 1)
    assert run(ProxChunks(chunk_tokens=30), always("remove_lines(start=1, end=1)"), *texts) == want


def test_what_earlier_stages_wrote_stays() -> None:
    stage = ProxChunks(prompt_format="plain")
    first = stage.asking(asker(always("remove_lines(start=0, end=0)")))(table(PROSE, PROSE))
    second = stage.asking(asker(always("remove_lines(start=0, end=0)")))(first.drop_columns(["drop_reason", "error"]))
    row = second.to_pylist()[0]
    assert [len(row["edits"]), len(row["answers"])] == [2, 2]
    assert replay(PROSE, row["edits"]) == row["text"] == "\n".join(PROSE.split("\n")[2:])


def test_the_model_can_be_held_to_a_grammar_of_the_chunk() -> None:
    one = asker(always("keep_all()"))
    ProxChunks(chunk_tokens=45, constrain=True, **STRICT).asking(one)(table(PROSE))
    engine = one.engine
    assert isinstance(engine, Scripted)
    grammars = [request.sampling.grammar for request in engine.requests]
    assert [g.kind for g in grammars if g] == ["ebnf", "ebnf"]
    assert ["number ::= [0-2] |" in g.text for g in grammars if g] == [True, False]
    assert ["number ::= [3-5] |" in g.text for g in grammars if g] == [False, True]


def test_guards_are_for_programs_of_other_models_or_when_asked_for() -> None:
    output = 'normalize(source_str="four", target_str="99")'
    for chosen, text in (
        ({}, PROSE.replace("four", "99")),
        ({"guards": True}, PROSE),
        (STRICT, PROSE),
        ({**STRICT, "guards": False}, PROSE.replace("four", "99")),
    ):
        assert run(ProxChunks(**chosen), always(output), PROSE)[0]["text"] == text


def test_the_folder_of_the_model_says_how_to_ask_it(tmp_path: Path) -> None:
    (tmp_path / "headrace.json").write_text(json.dumps({"grammar": "strict", "prompt_format": "plain", "context": 50}))
    one = asker(always("remove_lines(0, 0)"), folder=tmp_path)
    with pytest.raises(StageError, match="a context of 50 tokens with 256 max_tokens leaves no prompt"):
        ProxChunks().asking(one)
    [row] = (
        ProxChunks(max_tokens=5)
        .asking(one)(table("Menu\nand eleven words that are a text of this kind, here"))
        .to_pylist()
    )
    assert row["text"] == "and eleven words that are a text of this kind, here"
    assert said_to(one)[0].startswith("[doc]\n[000]Menu")


def test_without_an_engine_nothing_is_asked_and_nothing_changes() -> None:
    stage = ProxChunks(engine=None)
    rows = stage.open()(table(D, None)).to_pylist()
    assert [row["text"] for row in rows] == [D, None]
    assert [(r["answers"], r["edits"], r["drop_reason"], r["error"]) for r in rows] == [(None,) * 4] * 2
    assert stage.resources == Resources()


def test_the_model_is_part_of_what_the_stage_is_and_the_engine_is_not() -> None:
    def recorded(**chosen: Any) -> dict[str, Any]:
        found: dict[str, Any] = identity(ProxChunks(**chosen))["settings"]
        return found

    local, server = (
        recorded(engine="transformers:a/b?dtype=float32"),
        recorded(engine="openai:http://h/v1?tokenizer=a/b#a/b"),
    )
    assert local == server
    assert local["model_id"] == "a/b"
    assert recorded(engine="vllm:c", model="a/b")["model_id"] == "a/b"
    assert recorded(engine=None)["model_id"] is None
    assert "engine" not in local
    assert ProxChunks(engine="vllm:c?gpus=0.5").resources == parse("vllm:c?gpus=0.5", "x").resources
    assert isinstance(ProxChunks(), Stage)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"engine": "llama:x"}, r"^ProxChunks: engine 'llama:x' should begin with"),
        ({"chunk_tokens": 0}, r"^ProxChunks\.chunk_tokens should be at least 1, got 0$"),
        ({"error_op": 0}, r"^ProxChunks\.error_op should be at least 1"),
        ({"threshold_2": 95}, r"^ProxChunks\.threshold_2 should be from 0 to 1, got 95$"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        ProxChunks(**settings)
