"""Texts with their pairs in the modes of the paper; what is drawn; what a row is made from."""

import re
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from schemas import columns as c
from stages.synthesize import instruction_templates
from stages.synthesize.instruction_form import Exercise
from stages.synthesize.instruction_patterns import load_patterns, mark, roman
from stages.synthesize.instruction_templates import Entry, draw_patterns, write_group
from stages.synthesize.instruction_texts import InstructionTexts
from stages.synthesize.lots import Lot

TWO = Entry("The {brown} text.", (Exercise("Why?", (), "", "So."), Exercise("How {it}?", (), "", "Thus.")))
ONE = Entry("Another text.", (Exercise("Who?", (), "", "She."),))
MODES = {"classic", "dialog", "numbered_questions", "inline_fs", "next_turn_dialog"}
LOTS = [Lot(7, f"row {n}") for n in range(4000)]


def only(monkeypatch: pytest.MonkeyPatch, mode: str, inverted: bool = False) -> None:
    for name in ("FEW", "MANY"):
        monkeypatch.setattr(instruction_templates, name, {mode: 1.0})
    monkeypatch.setattr(instruction_templates, "INVERTED", {"yes" if inverted else "no": 1.0})


def test_modes_and_inversion_have_the_weights_of_the_paper() -> None:
    many = [draw_patterns([TWO, TWO], lot) for lot in LOTS]
    shares = Counter(drawn.mode for drawn in many)
    assert set(shares) == MODES
    assert shares["classic"] / len(LOTS) == pytest.approx(0.80, abs=0.02)
    assert all(shares[mode] / len(LOTS) == pytest.approx(0.05, abs=0.015) for mode in MODES - {"classic"})
    assert sum(drawn.inverted for drawn in many) / len(LOTS) == pytest.approx(0.05, abs=0.015)
    few = Counter(draw_patterns([TWO, ONE], lot).mode for lot in LOTS)
    assert set(few) == {"classic", "dialog"}
    assert few["classic"] / len(LOTS) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("mode", sorted(MODES))
def test_every_mode_has_all_that_there_is_once(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, mode)
    for lot in LOTS[:150]:
        text = write_group([TWO, TWO._replace(text="A second text.")], lot)
        assert [text.count(part) for part in ("The {brown} text.", "A second text.", "Why?", "How {it}?")] == [
            1,
            1,
            2,
            2,
        ]
        assert text.count("So.") == text.count("Thus.") == 2
        assert text.index("The {brown} text.") < text.index("Why?") < text.index("A second text.")
        assert "{question}" not in text
        assert "{text}" not in text


def test_numbered_questions_come_before_all_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "numbered_questions")
    text = write_group([TWO], LOTS[0])
    assert text.index("Why?") < text.index("How {it}?") < text.index("So.") < text.index("Thus.")


@pytest.mark.parametrize("mode", ["classic", "dialog"])
def test_inverted_texts_come_behind(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, mode, inverted=True)
    for lot in LOTS[:50]:
        text = write_group([TWO], lot)
        assert text.index("Why?") < text.index("Thus.") < text.index("The {brown} text.")


def test_lead_ins_are_there_half_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "classic")
    bare = sum(write_group([TWO], lot).startswith("The {brown} text.") for lot in LOTS[:1000])
    assert bare / 1000 == pytest.approx(0.5, abs=0.06)


def test_choices_are_shuffled_and_the_answer_is_the_mark_of_its_own() -> None:
    entry = Entry("T.", (Exercise("Which?", ("rot", "blau", "grün"), "", "blau"),))
    orders = Counter[tuple[str, ...]]()
    for lot in LOTS[:300]:
        text = write_group([entry], lot)
        orders[tuple(sorted(("rot", "blau", "grün"), key=text.index))] += 1
        (line,) = [line for line in text.split("\n") if "blau" in line and "Options" not in line][:1]
        said = re.match(r"\s*(?:[-*+] )?(\(\w\)|\w\.|\w\)|\w:|\[\w\]|\(\d\)|\d\.)? ?blau", line)
        assert said is not None, text
        assert text.count("blau") == (1 if said[1] else 2), text
        assert not said[1] or text.count(said[1]) >= 2, text
    assert len(orders) == 6


def test_none_of_these_is_said_in_a_phrase_of_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the time it is one of the choices too, and then the answer is its mark."""
    only(monkeypatch, "classic")
    entry = Entry("T.", (Exercise("Which?", ("rot", "blau"), "", "None of the above"),))
    phrases = sorted(load_patterns()["nothing_fits"], key=len, reverse=True)
    texts = [write_group([entry], lot) for lot in LOTS[:400]]
    assert all(any(phrase in text for phrase in phrases) for text in texts)
    said = [next((phrase for phrase in phrases if text.endswith(phrase)), "") for text in texts]
    before = [text.removesuffix(phrase) for text, phrase in zip(texts, said, strict=True)]
    listed = sum(any(phrase in text for phrase in phrases) for text in before)
    assert listed / 400 == pytest.approx(0.5, abs=0.1)
    assert all(phrase or any(p in text for p in phrases) for phrase, text in zip(said, before, strict=True))


def test_what_has_no_answer_is_said_in_a_phrase_of_the_list() -> None:
    entry = Entry("T.", (Exercise("Why?", (), "", "unanswerable."),))
    texts = [write_group([entry], lot) for lot in LOTS[:60]]
    assert all(any(phrase in text for phrase in load_patterns()["unanswerable"]) for text in texts)
    assert sum("Unanswerable" in text for text in texts) < 30
    kept = Entry("T.", (Exercise("How many rivers?", (), "", "None"),))
    assert all("None" in write_group([kept], lot) for lot in LOTS[:60])


def test_steps_are_told() -> None:
    entry = Entry("T.", (Exercise("Why?", (), "It rained", "Water"),) * 2)
    for lot in LOTS[:300]:
        text = write_group([entry], lot)
        assert "It rained" in text
        assert "Water" in text


def test_marks() -> None:
    assert [mark("({A})", n) for n in (1, 26, 27)] == ["(A)", "(Z)", "(AA)"]
    assert [roman(n) for n in (1, 4, 9, 14, 40, 1999)] == ["i", "iv", "ix", "xiv", "xl", "mcmxcix"]
    assert [mark(pattern, 4) for pattern in ("{1}.", "{i})", "[{I}]", "{a}")] == ["4.", "iv)", "[IV]", "d"]


def documents(*rows: tuple[str, str, str, bool]) -> pa.Table:
    """Rows of (id, text, chain, whether it has a pair)."""
    entry = {
        "stage": "InstructionPairs", "model": "m", "prompt_hash": "h", "output": "", "decision": "pairs", "errors": 0,
        "calls": 1, "from_ledger": 0, "prompt_tokens": 1, "completion_tokens": 1, "seconds": 0.0, "cost": 0.5,
    }  # fmt: skip
    pairs = [[{"question": f"{text}?", "answer": "Yes."}] if has else [] for _, text, _, has in rows]
    return pa.table(
        {
            "id": [row[0] for row in rows],
            "text": pa.array([row[1] for row in rows], c.TEXT),
            "url": [f"http://{row[0]}" for row in rows],
            "pairs": pa.array(pairs, c.PAIRS.type),
            "chain": [row[2] for row in rows],
            "answers": pa.array([[entry]] * len(rows), c.ANSWERS.type),
        }
    )


def test_a_chain_is_one_text_and_names_all_its_documents() -> None:
    table = documents(("a", "ta", "a", True), ("b", "tb", "b", False), ("c", "tc", "a", True), ("d", "td", "d", True))
    rows: list[dict[str, Any]] = InstructionTexts().open()(table).to_pylist()
    assert [row["parents"] for row in rows] == [["a", "c"], None, ["d"]]
    chained, raw, alone = rows
    assert (raw["id"], raw["text"], raw["parent_text"], raw["url"]) == ("b", "tb", None, "http://b")
    assert chained["text"].index("ta") < chained["text"].index("tc")
    assert (chained["parent_text"], alone["parent_text"]) == ("ta\n\ntc", "td")
    assert (chained["model"], chained["prompt_hash"]) == ("m", "h")
    assert sum(entry["cost"] for row in rows for entry in row["answers"]) == 4 * 0.5
    assert len({row["id"] for row in rows}) == 3
    assert InstructionTexts().open()(table).to_pylist() == rows
    other = InstructionTexts(seed=1).open()(table).to_pylist()
    assert other[0]["id"] != chained["id"]


@pytest.mark.parametrize("has", [True, False])
def test_tables_of_one_kind(has: bool) -> None:
    table = documents(("a", "ta", "a", has))
    assert [row["text"] == "ta" for row in InstructionTexts().open()(table).to_pylist()] == [not has]
    assert InstructionTexts().open()(table.slice(0, 0)).num_rows == 0
