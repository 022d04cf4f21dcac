"""Texts with the exercises that they hold: odds, templates, what is drawn; nothing without a trace."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schemas import columns as c
from stages.synthesize import reading_templates
from stages.synthesize.lots import Lot
from stages.synthesize.mining import Mined
from stages.synthesize.reading import ReadingComprehension, cut, first_line
from stages.synthesize.reading_templates import TYPES, WHOLE, load_templates, write_exercises, write_whole

PREMISE = "The river carried far more sediment after the upstream forest was cleared."
HYPOTHESIS = "the harbour at its mouth had to be dredged every single winter."
BODY = f"The survey ran for ten years. {PREMISE} Therefore, {HYPOTHESIS} The town paid for it."
ENTAIL = Mined("entail", "Therefore", PREMISE, HYPOTHESIS)
LOTS = [Lot(3, f"row {n}") for n in range(2000)]


def read(text: str | None, id_: str = "a", **settings: Any) -> dict[str, Any]:
    more = {"title": [settings.pop("of")]} if "of" in settings else {}
    table = pa.table(
        {"id": [id_], "text": pa.array([text], c.TEXT), "lang_score": pa.array([0.5], pa.float32()), **more}
    )
    (row,) = ReadingComprehension(**settings).open()(table).to_pylist()
    assert row["n_chars"] == (None if row["text"] is None else len(row["text"]))
    return dict(row)


def test_the_example_of_the_reference_becomes_exercises() -> None:
    row = read(f"Silt\n{BODY}")
    assert (row["edits"][0]["stage"], row["edits"][0]["n_chars_before"]) == ("ReadingComprehension", len(BODY) + 5)
    whole, *kinds = row["edits"][0]["rule"].split(", ")
    assert whole in WHOLE[True, True]
    assert kinds == [
        "entail 1",
        "cause_effect 1",
    ]
    assert row["text"].count("harbour") == 3  # in the text, as a hypothesis, as an effect
    assert row["lang_score"] is None  # it was of another text


def test_odds_of_title_and_end() -> None:
    kinds = Counter(write_whole("T", "A. B.", ["A. ", "B."], "", "", lot)[0] for lot in LOTS)
    for kind, odds in (("summarise", 0.4), ("complete", 0.1), ("both", 0.4), ("none", 0.1)):
        assert kinds[kind] / len(LOTS) == pytest.approx(odds, abs=0.03)
    assert {write_whole("", "A. B.", ["A. ", "B."], "", "", lot)[0] for lot in LOTS[:60]} == {"complete", "none"}
    assert {write_whole("T", "A.", ["A."], "", "", lot)[0] for lot in LOTS[:60]} == {"summarise", "none"}
    assert {write_whole("", "A.", ["A."], "", "", lot) for lot in LOTS[:9]} == {("none", "A.")}


def test_the_whole_text_is_there_whatever_is_done_with_it() -> None:
    for lot in LOTS[:300]:
        kind, text = write_whole(
            "The Title", "One {x}. Two. Three.", ["One {x}. ", "Two. ", "Three."], "\n\nEX", "law", lot
        )
        places = [text.index(part) for part in ("One {x}.", "Two.", "Three.", "EX")]
        assert places == sorted(places), text
        assert text.count("The Title") == 1
        assert kind in WHOLE[True, True]


def test_every_template_can_be_filled() -> None:
    kinds = [kind for kinds in TYPES for kind in kinds if kind != "word_to_text"]
    mined = [Mined(kind, "Thus", f"First of {kind}.", f"second of {kind}.") for kind in kinds for _ in range(2)]  # type: ignore[arg-type]
    for lot in LOTS[:200]:
        text = write_exercises(mined, [], "law", lot)
        assert "{" not in text
        assert len(text.strip().split("\n\n")) >= len(mined)


def test_kinds_have_several_templates_and_there_are_18_lead_ins() -> None:
    templates = load_templates()
    assert len(templates["lead_ins"]) == len(set(templates["lead_ins"])) == 18
    assert {kind for kind, found in templates.items() if len(set(map(str, found))) < 3} == {"none"}


def test_relations_are_told_in_the_words_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_templates, "NLI", {"classify": 1.0})
    for kind, said in (
        ("entail", {"Yes", "Therefore", "Entailment"}),
        ("contradict", {"No", "However", "Contradiction"}),
        ("neutral", {"Maybe", "Moreover", "Neutral"}),
    ):
        mined = [Mined(kind, "So", PREMISE, HYPOTHESIS)]  # type: ignore[arg-type]
        texts = [write_exercises(mined, [], "", lot) for lot in LOTS[:200]]
        assert {text.split()[-1] for text in texts} == said
        assert all("The harbour at its mouth" in text for text in texts)  # the hypothesis begins a sentence


def test_a_fifth_of_the_relations_is_to_be_completed() -> None:
    texts = [write_exercises([ENTAIL], [], "", lot) for lot in LOTS]
    generated = sum(text.endswith(HYPOTHESIS[1:]) for text in texts)
    assert generated / len(texts) == pytest.approx(0.2, abs=0.03)


def test_two_of_a_kind_are_drawn_from_all() -> None:
    body = BODY.replace("The survey", "Now the survey")
    text = " ".join(body.replace("single", f"number{n}") for n in range(5))
    rules = {read(f"T\n{text}", id_=f"d{n}")["edits"][0]["rule"].partition(", ")[2] for n in range(5)}
    assert rules == {"entail 2, cause_effect 2"}
    seen = {n for k in range(12) for n in range(5) if read(f"T\n{text}", id_=f"d{k}")["text"].count(f"number{n}") > 1}
    assert seen == set(range(5))
    assert "entail" not in read(f"T\n{text}", most=0)["edits"][0]["rule"]


def test_titles() -> None:
    assert first_line("A title\n\nThe text.") == ("A title", "The text.")
    assert first_line("One line.") == ("", "One line.")
    assert first_line("x" * 201 + "\ny") == ("", "x" * 201 + "\ny")
    texts = {read("One. Two.", id_=str(n), title="column", of="The Mill")["text"] for n in range(20)}
    assert all("The Mill" in text for text in texts if text != "One. Two.")
    assert {read("One. Two.", id_=str(n), title="none")["text"] for n in range(20)} > {"One. Two."}


def test_a_text_is_cut_at_its_tokens() -> None:
    assert cut("a b c d", 4) == "a b c"
    assert cut("a b c", 4) == "a b c"
    assert cut("水水水水", 4) == "水水水"
    row = read("T\n" + "word " * 2000, title="line")
    assert row["edits"][0]["rule"].endswith(", cut")
    assert row["text"].count("word") == 1421  # 1848 tokens / 1.3


def test_nothing_to_do_changes_nothing() -> None:
    rows = [read("One line.", id_=str(n)) for n in range(5)]
    assert {row["text"] for row in rows} == {"One line."}
    assert {row["edits"] is None for row in rows} == {True}
    assert rows[0]["lang_score"] == 0.5
    assert (read("")["text"], read(None)["text"]) == ("", None)


def test_a_row_depends_on_itself_alone() -> None:
    texts = [f"T{n}\n{BODY}" for n in range(6)]
    table = pa.table({"id": [str(n) for n in range(6)], "text": pa.array(texts, c.TEXT)})
    together = ReadingComprehension().open()(table).column("text").to_pylist()
    assert together == [read(text, id_=str(n))["text"] for n, text in enumerate(texts)]
    assert together != ReadingComprehension(seed=1).open()(table).column("text").to_pylist()


def test_words_of_the_domain(tmp_path: Path) -> None:
    words = ["electrophoresis", "chromatography", "spectrometry"]
    (tmp_path / "domain.vocab").write_text(
        "".join(f"\u2581{w}\t-{n}\n" for n, w in enumerate(words, 1)), encoding="utf-8"
    )
    (tmp_path / "general.vocab").write_text("\u2581the\n", encoding="utf-8")
    settings = {
        "domain_vocabulary": str(tmp_path / "domain.vocab"),
        "general_vocabulary": str(tmp_path / "general.vocab"),
    }
    text = "Title\nThe text. They used electrophoresis chromatography spectrometry there. The end."
    row = read(text, **settings)
    assert "word_to_text 1" in row["edits"][0]["rule"]
    assert "electrophoresis, chromatography, spectrometry" in row["text"]
    plain = read(text)
    assert "word_to_text" not in str(plain["edits"])
    assert ReadingComprehension(**settings).vocabulary_hash != ReadingComprehension().vocabulary_hash == ""
    with pytest.raises(ValueError, match="go together"):
        ReadingComprehension(domain_vocabulary="x")
