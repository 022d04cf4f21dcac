"""Rounds and chains of the instruction synthesizer, on an engine that writes what a test says."""

from typing import Any

import pyarrow as pa
import pytest

from stages.models.engine import Answer, Failure, Request, Usage
from stages.synthesize.instruction_pairs import InstructionPairs
from tests.stages.rephrase.writers import SPEC, Writer, asker

ONE = "<QUE> q{0} <ANS> a{0} </END>"


def last_text(request: Request) -> str:
    """The text that a prompt asks about."""
    return (request.prompt.text or "").rpartition("<CON> ")[2].partition(" </CON>")[0]


def pairs(request: Request) -> str:
    return ONE.format(last_text(request))


def table(n: int) -> pa.Table:
    return pa.table(
        {"id": [f"d{i}" for i in range(n)], "text": pa.array([f"t{i}" for i in range(n)], pa.large_string())}
    )


def written(n: int, engine: Writer, **settings: Any) -> list[dict[str, Any]]:
    stage = InstructionPairs(**{"engine": SPEC, **settings})
    found: list[dict[str, Any]] = stage.write(table(n), asker(engine)).to_pylist()
    return found


def block(name: str) -> str:
    return f"<s> <CON> t{name} </CON>\n\n<QUE> qt{name} <ANS> at{name} </END></s>"


def test_text_i_of_a_round_goes_on_with_chain_i() -> None:
    engine = Writer(pairs)
    rows = written(5, engine, rounds=3)  # rounds of two, the last one shorter
    assert [request.prompt.text for request in engine.asked] == [
        "<s> <CON> t0 </CON>\n\n",
        "<s> <CON> t1 </CON>\n\n",
        block("0") + "<s> <CON> t2 </CON>\n\n",
        block("1") + "<s> <CON> t3 </CON>\n\n",
        block("0") + block("2") + "<s> <CON> t4 </CON>\n\n",
    ]
    assert [row["chain"] for row in rows] == ["d0", "d1", "d0", "d1", "d0"]
    assert [row["pairs"] for row in rows] == [[{"question": f"qt{i}", "answer": f"at{i}"}] for i in range(5)]
    assert {row["answers"][0]["decision"] for row in rows} == {"pairs"}


def test_a_text_without_pairs_ends_its_chain() -> None:
    engine = Writer(lambda request: "nothing" if last_text(request) == "t1" else pairs(request))
    rows = written(3, engine, rounds=3)
    assert [row["chain"] for row in rows] == ["d0", "d1", "d2"]  # t1 was shown t0 and made nothing of it
    assert engine.asked[1].prompt.text == block("0") + "<s> <CON> t1 </CON>\n\n"
    assert engine.asked[2].prompt.text == "<s> <CON> t2 </CON>\n\n"
    assert rows[1]["pairs"] == []
    assert (rows[1]["answers"][0]["decision"], rows[1]["answers"][0]["errors"]) == ("no_pairs: pair_unfinished", 1)


def test_what_does_not_fit_begins_a_chain() -> None:
    """The prompt of t1 behind t0 has 11 words between blanks: 16.5 tokens by the estimate."""
    assert len((block("0") + "<s> <CON> t1 </CON>\n\n").split(" ")) == 11
    assert [row["chain"] for row in written(2, Writer(pairs), max_tokens=10, context=27)] == ["d0", "d0"]
    assert [row["chain"] for row in written(2, Writer(pairs), max_tokens=10, context=26)] == ["d0", "d1"]


def test_what_is_not_asked_about_has_a_reason() -> None:
    texts = ["", "a </CON> b", "word " * 100, "水" * 200, None]
    rows = pa.table({"id": [*"abcde"], "text": pa.array(texts, pa.large_string())})
    engine = Writer(pairs)
    stage = InstructionPairs(engine=SPEC, max_tokens=10, context=110, rounds=1)
    found = stage.write(rows, asker(engine)).to_pylist()
    assert engine.asked == []
    assert [row["answers"][0]["decision"] for row in found] == [
        "text_empty", "text_markup", "text_long", "text_long", "text_empty",
    ]  # fmt: skip


def test_a_failed_call_kills_its_row_alone() -> None:
    engine = Writer(lambda request: Failure("too long") if last_text(request) == "t0" else pairs(request))
    rows = written(4, engine, rounds=2)
    assert [row["error"] for row in rows] == ["too long", None, None, None]
    assert [row["chain"] for row in rows] == ["d0", "d1", "d2", "d1"]


def test_an_answer_that_was_cut_keeps_its_whole_pairs() -> None:
    cut = Answer("<QUE> q <ANS> a </END>\n\n<QUE> r <ANS> b", "length", Usage())
    (row,) = written(1, Writer(lambda _: cut))
    assert row["pairs"] == [{"question": "q", "answer": "a"}]
    assert row["answers"][0]["decision"] == "pairs: pair_truncated"


def test_the_request_is_the_papers() -> None:
    engine = Writer(pairs)
    written(1, engine)
    sampling = engine.asked[0].sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.seed, sampling.stop) == (400, 0.0, None, ())


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"rounds": 0}, "InstructionPairs.rounds should be at least 1, got 0"),
        ({"context": 400}, "InstructionPairs.context should be more than max_tokens, 400, got 400"),
        ({"temperature": -1.0}, "InstructionPairs.temperature should be at least 0, got -1.0"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        InstructionPairs(**settings)


def test_no_rows() -> None:
    assert written(0, Writer(pairs)) == []
