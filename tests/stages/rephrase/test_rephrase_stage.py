"""The stage: what becomes of each row, beside the original or instead of it; nothing falls back without a reason."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from cluster.chain import Chain
from cluster.recipe import restore
from schemas import columns as c
from stages.ids import id_of
from stages.models.engine import Answer, Failure, Request, Usage
from stages.prompts import load_prompt
from stages.rephrase.rephrase import Rephrase
from stages.stage import StageError, identity
from tests.stages.rephrase.writers import SPEC, Shelf, Writer, asker, given, user

MILL = "The water mill at Lenham was built in 1842. It ground 1,200 sacks of flour a year. It closed in 1931."
FAIR = "The fair comes to town in May. Its wheel is 30 metres high. Children ride it for free on Sundays."


def better(request: Request) -> str:
    """A faithful rewrite: other words around the same facts."""
    return "In short, " + given(request).replace("It ", "The same ").replace("Its ", "The ")


def table(*texts: str | None, **more: Any) -> pa.Table:
    ids = [f"d{n}" for n in range(len(texts))]
    return pa.table({"id": ids, "text": pa.array(texts, c.TEXT), **more})


def run(stage: Rephrase, rows: pa.Table, engine: Writer, ledger: Shelf | None = None) -> list[dict[str, Any]]:
    found = stage.asking(asker(engine, ledger))(rows)
    assert found.column("n_chars").to_pylist() == [
        None if t is None else len(t) for t in found.column("text").to_pylist()
    ]
    rows_found: list[dict[str, Any]] = found.to_pylist()
    return rows_found


def stage(**settings: Any) -> Rephrase:
    return Rephrase(**{"engine": SPEC, **settings})


def decisions(row: dict[str, Any]) -> list[str]:
    return [entry["decision"] for entry in row["answers"] or []]


def test_the_rewrite_stands_beside_the_original_and_names_it() -> None:
    original, rewritten = run(stage(), table(MILL), Writer(better))
    assert (original["id"], original["text"], original["parents"], original["answers"]) == ("d0", MILL, None, None)
    assert rewritten["id"] == id_of("d0#wrap-medium#0")
    assert rewritten["parents"] == ["d0"]
    assert rewritten["text"] == "In short, " + MILL.replace("It ", "The same ")
    assert rewritten["model"] == "writer-7b"
    assert rewritten["prompt_hash"] == stage().prompt_hashes[0]
    assert rewritten["edits"] == [
        {
            "stage": "Rephrase",
            "rule": "wrap-medium",
            "n_chars_before": len(MILL),
            "n_chars_after": len(rewritten["text"]),
        }
    ]
    (answer,) = rewritten["answers"]
    assert (answer["decision"], answer["calls"], answer["from_ledger"], answer["errors"]) == ("rewritten", 1, 0, 0)
    assert answer["output"] == rewritten["text"]
    assert answer["completion_tokens"] == len(rewritten["text"].split())
    assert answer["cost"] == pytest.approx((2 * answer["prompt_tokens"] + 4 * answer["completion_tokens"]) / 1e6)
    assert answer["seconds"] == 0.25
    assert original["error"] is rewritten["error"] is None


def test_the_rewrite_takes_the_original_s_place() -> None:
    (row,) = run(stage(mix=False), table(MILL), Writer(better))
    assert (row["id"], row["parents"], decisions(row)) == ("d0", None, ["rewritten"])
    assert row["text"].startswith("In short, ")
    assert [edit["rule"] for edit in row["edits"]] == ["wrap-medium"]
    assert row["model"] == "writer-7b"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I'm sorry, but I can't help with that.", "guard_refusal"),
        ("A mill.", "guard_length_ratio"),
        (MILL.replace("1842", "1999"), "guard_novel_number"),
        (MILL + " See www.lenham.org.", "guard_novel_url"),
        (MILL + "<|im_end|>", "guard_leak"),
        ("", "guard_empty"),
        (Answer(MILL, "length", Usage()), "guard_truncated"),
        (Answer(MILL, "stop", Usage(9, 600, 0.0)), "guard_truncated"),  # of 600: the engine does not say so
    ],
)
def test_what_a_guard_rejects_stays_as_it_was_with_the_reason(answer: str | Answer, reason: str) -> None:
    for mix in (True, False):
        (row,) = run(stage(mix=mix), table(MILL), Writer(lambda request: answer))
        assert (row["id"], row["text"], row["model"], row["edits"], row["parents"]) == ("d0", MILL, None, None, None)
        assert decisions(row) == [f"original: {reason}"]
        assert row["answers"][0]["errors"] == 1
        assert row["answers"][0]["output"] == (answer if isinstance(answer, str) else answer.text)


def test_a_request_that_failed_makes_the_row_dead_and_no_other() -> None:
    def write(request: Request) -> str | Failure:
        return Failure("400: content") if "mill" in given(request) else better(request)

    rows = run(stage(styles=("wrap-easy", "wrap-hard")), table(MILL, FAIR), Writer(write))
    assert [(row["parents"], row["error"]) for row in rows] == [
        (None, "Failure: wrap-easy, segment 0: 400: content"), (None, None), (["d1"], None), (["d1"], None),
    ]  # fmt: skip
    assert rows[0]["answers"] is None
    (dead, _) = run(stage(mix=False), table(MILL, FAIR), Writer(write))
    assert (dead["text"], dead["answers"]) == (MILL, None)


def test_segments_that_are_rejected_stay_or_go() -> None:
    text = "\n".join([MILL, FAIR])

    def write(request: Request) -> str:
        return "I cannot help with that." if "mill" in given(request) else better(request)

    settings = {"mix": False, "max_input": 25}
    (row,) = run(stage(**settings), table(text), Writer(write))
    fair = "In short, " + FAIR.replace("Its ", "The ")
    assert (row["text"], decisions(row)) == (f"{MILL}\n{fair}", ["partial: guard_refusal"])
    assert row["answers"][0]["calls"] == 2
    (row,) = run(stage(rejected="drop", **settings), table(text), Writer(write))
    assert (row["text"], decisions(row)) == (fair, ["partial: guard_refusal"])


def test_every_style_makes_a_row_of_its_own() -> None:
    styles = ("wrap-easy", "wrap-qa")

    def write(request: Request) -> str:
        return f"Question: What is known?\nAnswer: {given(request)}" if "Question:" in user(request) else "No."

    rows = run(stage(styles=styles), table(MILL, FAIR), Writer(write))
    assert [(row["parents"], decisions(row)) for row in rows] == [
        (None, ["original: guard_length_ratio"]), (["d0"], ["rewritten"]),
        (None, ["original: guard_length_ratio"]), (["d1"], ["rewritten"]),
    ]  # fmt: skip
    assert len({row["id"] for row in rows}) == 4


def test_documents_of_nothing_are_not_sent() -> None:
    engine = Writer(better)
    rows = run(stage(styles=("nemotron-distill",)), table(None, " \n", "Too short to be one."), engine)
    assert [decisions(row) for row in rows] == [
        ["original: document_empty"], ["original: document_empty"], ["original: document_short"],
    ]  # fmt: skip
    assert engine.asked == []
    assert [row["answers"][0]["calls"] for row in rows] == [0, 0, 0]


def long_text(n: int = 60) -> str:
    return " ".join([*MILL.split(), *[f"word{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(n)]])


def test_a_prefix_is_asked_for_and_taken_off() -> None:
    settings = {"styles": ("nemotron-distill",), "mix": False}
    (row,) = run(stage(**settings), table(long_text()), Writer(lambda r: f"**Paraphrased Text:**\n{given(r)}"))
    assert (row["text"], decisions(row)) == (long_text(), ["rewritten"])
    (row,) = run(stage(**settings), table(long_text()), Writer(given))
    assert (row["text"], decisions(row)) == (long_text(), ["original: guard_prefix"])


def test_a_result_that_is_too_short_is_none() -> None:
    text = long_text()
    some = "Paraphrased Text: " + " ".join(text.split()[:49])
    (row,) = run(stage(styles=("nemotron-distill",), mix=False), table(text), Writer(lambda r: some))
    assert decisions(row) == ["original: result_short"]
    (row,) = run(stage(styles=("nemotron-distill",), mix=False), table(text), Writer(lambda r: f"{some} more"))
    assert decisions(row) == ["rewritten"]


def test_lines_that_are_too_long_for_a_model_stay_in_their_place() -> None:
    lines = [MILL, "x " * 59 + "x", FAIR]
    settings = {"styles": ("wrap-medium",), "mix": False, "max_input": 30}
    engine = Writer(better, context=775)
    (row,) = run(stage(**settings), table("\n".join(lines)), engine)
    first, middle, last = row["text"].split("\n")
    assert (first[:9], middle, last[:9], decisions(row)) == (
        "In short,",
        lines[1],
        "In short,",
        ["partial: segment_long"],
    )
    assert len(engine.asked) == 2


def test_a_line_without_stops_is_sent_in_pieces() -> None:
    words = " ".join(f"word{i}" for i in range(10_000))
    engine = Writer(given, context=2000)
    (row,) = run(stage(styles=("wrap-medium",), mix=False, guards={"dup_n_grams": []}), table(words), engine)
    assert (row["text"].split(), decisions(row)) == (words.split(), ["rewritten"])
    assert 34 <= len(engine.asked) <= 40  # of 300 tokens at most
    assert max(len(given(request).split()) for request in engine.asked) <= 300


def test_pairs_are_appended_to_the_document() -> None:
    text = long_text(120)
    asked = ("Who built the mill?", "When was that?", "Did it close?", "What was ground there?", "Is it near the sea?")
    pairs = "\n".join(f"Question: {q}\nAnswer: {a}" for q, a in zip(asked, text.split(". "), strict=False))
    prefix = "Here are the questions and answers based on the provided text:"
    engine = Writer(lambda request: f"{prefix}\n{pairs}")
    first, again = (run(stage(styles=("nemotron-diverse-qa",), mix=False), table(text), engine)[0] for _ in range(2))
    document, *kept = first["text"].split("\n\n")
    assert document == text
    assert 1 <= len(kept) <= 3
    assert all(pair in pairs for pair in kept)
    assert first["text"] == again["text"]
    other = run(stage(styles=("nemotron-diverse-qa",), mix=False, seed=3), table(text), engine)[0]
    assert other["text"] != first["text"]


def test_seeds_come_from_the_document_and_not_from_its_place() -> None:
    def seeds(rows: pa.Table, **settings: Any) -> dict[str, int | None]:
        engine = Writer(better)
        run(stage(**settings), rows, engine)
        return {given(request): request.sampling.seed for request in engine.asked}

    rows = table(MILL, FAIR)
    assert seeds(rows) == seeds(rows.take([1, 0])) == {**seeds(rows.slice(0, 1)), **seeds(rows.slice(1))}
    assert len(set(seeds(rows).values())) == 2
    assert seeds(rows) != seeds(rows, seed=1)
    assert set(seeds(rows, temperature=0.0).values()) == {None}


def test_what_is_in_the_ledger_is_not_asked_again() -> None:
    ledger, engine = Shelf(), Writer(better)
    first = run(stage(), table(MILL, FAIR), engine, ledger)
    again = run(stage(), table(MILL, FAIR), engine, ledger)
    assert len(engine.asked) == 2
    assert [row["text"] for row in again] == [row["text"] for row in first]
    (answer,) = again[1]["answers"]
    assert (answer["calls"], answer["from_ledger"], answer["cost"]) == (1, 1, 0.0)
    assert answer["prompt_tokens"] == first[1]["answers"][0]["prompt_tokens"]


def test_what_was_known_of_the_old_text_is_not_said_of_the_new_one() -> None:
    known = {"n_words": [19, 20], "edu_score": [0.5, 0.7], "url": ["u0", "u1"], "embedding": [[1.0], [0.0]]}
    for mix in (True, False):
        rows = table(MILL, FAIR, **known)
        engine = Writer(lambda request: better(request) if "mill" in given(request) else "No.")
        found = {row["text"][:9]: row for row in run(stage(mix=mix), rows, engine)}
        new, old = found["In short,"], found["The fair "]
        assert [new[name] for name in known] == [None, None, "u0", None]
        assert [old[name] for name in known] == [20, 0.7, "u1", [0.0]]


def test_earlier_edits_and_answers_stay_with_the_text_that_they_are_of() -> None:
    edits = pa.array([[{"stage": "Pii", "rule": "ip", "n_chars_before": 5, "n_chars_after": 6}]], c.EDITS.type)
    answer = {f.name: 0 for f in c.ANSWER} | {
        "stage": "Rate",
        "model": "m",
        "prompt_hash": "h",
        "decision": "4",
        "output": None,
    }
    rows = table(MILL, edits=edits, answers=pa.array([[answer]], c.ANSWERS.type))
    original, rewritten = run(stage(), rows, Writer(better))
    assert ([e["rule"] for e in original["edits"]], decisions(original)) == (["ip"], ["4"])
    assert ([e["rule"] for e in rewritten["edits"]], decisions(rewritten)) == (["wrap-medium"], ["rewritten"])
    (row,) = run(stage(mix=False), rows, Writer(better))
    assert ([e["rule"] for e in row["edits"]], decisions(row)) == (["ip", "wrap-medium"], ["4", "rewritten"])


def sure(request: Request) -> str:
    return "A" if "Letter:" in user(request) else better(request)


def test_confidence_is_a_column_and_too_little_a_reason() -> None:
    def unsure(request: Request) -> str:
        if "Letter:" in user(request):
            return "B"
        return better(request) if request.sampling.temperature < 1 else " ".join(["other"] * 20)

    engine = Writer(sure)
    (row,) = run(stage(confidence=0.6, confidence_samples=3, mix=False), table(MILL), engine)
    assert (decisions(row), row["confidence_score"]) == (["rewritten"], 1.0)
    assert (len(engine.asked), row["answers"][0]["calls"]) == (5, 5)
    (row,) = run(stage(confidence=0.6, mix=False), table(MILL), Writer(unsure))
    assert (row["text"], decisions(row), row["confidence_score"]) == (MILL, ["original: low_confidence"], None)
    assert row["answers"][0]["errors"] == 1
    (_, row) = run(stage(confidence=0.0), table(MILL), Writer(unsure))
    assert (decisions(row), row["confidence_score"]) == (["rewritten"], 0.0)


def test_the_contract_of_a_stage_that_makes_rows_is_kept() -> None:
    class Opened(Rephrase):
        def open(self) -> Any:
            return self.asking(asker(Writer(lambda r: Failure("no") if "fair" in given(r) else sure(r))))

    batch = Chain((Opened(engine=SPEC, confidence=0.1),)).apply(table(MILL, FAIR, MILL[:60]))
    assert (batch.kept.num_rows, batch.counts.emitted, batch.counts.dead) == (4, 2, 1)
    assert stage(confidence=0.1).adds.names[-1] == "confidence_score"
    assert run(stage(), table(), Writer(better)) == []


def test_settings_are_checked_when_the_stage_is_made() -> None:
    with pytest.raises(ValueError, match=r"^Rephrase: no style 'wrap'; did you mean"):
        stage(styles=("wrap",))
    with pytest.raises(ValueError, match="2 styles: a rewrite that replaces the text, and a prompt, take one"):
        stage(styles=("wrap-easy", "wrap-hard"), mix=False)
    with pytest.raises(ValueError, match="Rephrase: guards have no setting 'number'"):
        stage(guards={"number": 1})
    with pytest.raises(ValueError, match=r"^Rephrase: engine 'gpt' should begin with"):
        stage(engine="gpt")
    with pytest.raises(ValueError, match="language 'qq': spaCy has no word rules for it"):
        stage(language="qq")
    with pytest.raises(ValueError, match="confidence_beta should be from 0 to 1"):
        stage(confidence_beta=1.5)
    with pytest.raises(ValueError, match=r"^Rephrase: cannot count tokens: .* or set Rephrase.tokens=words$"):
        stage(engine="openai:http://host/v1#m")
    assert stage(engine="openai:http://host/v1#m", tokens="words").model_id == "m"
    for setting, value in {"max_tokens": 0, "max_input": 0, "temperature": -1, "top_p": -1}.items():
        with pytest.raises(ValueError, match=f"Rephrase.{setting} should be at least"):
            stage(**{setting: value})


@pytest.mark.parametrize(("said", "places"), [("{{tekst}}", "{{tekst}}"), ("Say it.", "none")])
def test_a_prompt_that_does_not_show_the_text_is_refused(tmp_path: Any, said: str, places: str) -> None:
    """Without this every row dies, or the model is asked for a rewrite of nothing and is paid for it."""
    path = tmp_path / "mine.yaml"
    path.write_text(f'name: mine\nversion: 1\nuser: "{said}"\n')
    with pytest.raises(ValueError, match=f"prompt mine should have the one place {{{{text}}}}, it has {places}"):
        stage(prompt=str(path))


def test_a_prompt_that_is_another_one_where_the_stage_runs_is_told(tmp_path: Any) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text('name: mine\nversion: 1\nuser: "Say it again: {{text}}"\n')
    planned = stage(prompt=str(path))
    path.write_text('name: mine\nversion: 1\nuser: "Say it better: {{text}}"\n')
    load_prompt.cache_clear()  # another process
    with pytest.raises(StageError, match="Rephrase: prompts have changed since it was planned"):
        planned.asking(asker(Writer(better)))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("version: one", "'version' should be a whole number, found 'one'"),
        ("version: true", "'version' should be a whole number, found True"),
        ("version: 1\nsystem: [a]", r"'system' should be a text, found \['a'\]"),
        ("version: 1\ngrammar: {kind: regexp, text: a}", "grammar.kind should be one of .*, found 'regexp'"),
    ],
)
def test_faults_of_a_prompt_file_are_told(tmp_path: Any, line: str, fault: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f'name: mine\nuser: "{{{{text}}}}"\n{line}\n')
    with pytest.raises(ValueError, match=fault):
        load_prompt(str(path))


def test_a_column_of_the_user_s_with_a_name_of_ours_is_told() -> None:
    """Not a row is to blame: without this every one of them would die."""
    with pytest.raises(
        StageError, match=r"^Rephrase writes a column 'answers', and the input has another .*: rename it$"
    ):
        run(stage(), table(MILL, answers=["yes"]), Writer(better))


def test_identity_is_the_prompts_the_model_and_the_settings_but_not_the_engine() -> None:
    one = stage(guards={"novel_numbers": 2})
    assert identity(one) == identity(
        stage(guards={"novel_numbers": 2}, engine="openai:http://other/v1?tokenizer=none#writer-7b")
    )
    assert identity(one) != identity(stage())
    assert identity(one)["settings"]["model_id"] == "writer-7b"
    assert restore(identity(one)).guards == {"novel_numbers": 2}
    assert identity(stage(model="mine"))["settings"]["model_id"] == "mine"


def test_a_prompt_of_one_s_own_is_used_with_the_style(tmp_path: Any) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text('name: mine\nversion: 3\nuser: "Say it again. Text:\\n{{text}}"\nprefix: "Again:"\n')
    engine = Writer(lambda request: f"Again: {better(request)}")
    (row,) = run(stage(prompt=str(path), mix=False), table(MILL), engine)
    assert (user(engine.asked[0]), decisions(row)) == (f"Say it again. Text:\n{MILL}", ["rewritten"])
    assert row["text"].startswith("In short, ")


SAID = (
    "",
    "No.",
    "I cannot help with that.",
    MILL,
    FAIR,
    f"In short, {MILL}",
    f"{FAIR}</s>",
    "Sure! Here it is:\n" + FAIR,
)


@drawn(
    st.lists(st.sampled_from([MILL, FAIR, f"{MILL}\n{FAIR}", "", "One."]), max_size=4),
    st.lists(st.sampled_from([*SAID, None]), min_size=1, max_size=6),
    st.booleans(),
    st.sampled_from(["original", "drop"]),
)
@settings(max_examples=40)
def test_whatever_a_model_says_no_row_is_lost_and_none_falls_back_in_silence(
    texts: list[str], said: list[str | None], mix: bool, rejected: str
) -> None:
    def write(request: Request) -> str | Failure:
        answer = said[len(given(request)) % len(said)]
        return Failure("no") if answer is None else answer

    found = run(stage(mix=mix, rejected=rejected, max_input=25), table(*texts), Writer(write))
    originals = {row["id"]: row for row in found if row["parents"] is None}
    assert list(originals) == [f"d{n}" for n in range(len(texts))]
    for row in found:
        (id_,) = row["parents"] or [row["id"]]
        source = texts[int(id_[1:])]
        if row["error"] or not row["answers"]:
            assert (row["text"], row["edits"], row["model"]) == (source, None, None)
            assert row["error"] or any(other["parents"] == [id_] for other in found)
            continue
        kind, _, reasons = decisions(row)[0].partition(": ")
        assert (kind == "original") == (row["edits"] is None) == (row["model"] is None)
        assert (kind == "rewritten") == (not reasons)
        assert kind in ("rewritten", "partial") or row["text"] == source
