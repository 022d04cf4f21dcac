"""What a synthetic text takes over from its document, and what it adds."""

import pyarrow as pa
import pytest

from stages.synthesize.faithfulness import Faithfulness, coverage, names_in, novel_rate, number_rate, words_of
from stages.synthesize.heirs import Heir, heirs

DOCUMENT = "Ada Lovelace wrote to Charles Babbage in 1843. The Analytical Engine had 1,000 columns."


def test_names_are_runs_of_capitals_that_do_not_begin_a_sentence() -> None:
    text = (
        "### A Heading Of Words\nThe letter went to Charles Babbage. Later, Ada wrote. Then the Bank of England paid."
    )
    assert names_in(text) == ["Charles Babbage", "Ada", "Bank of England"]
    assert names_in("Nothing here. Nor here.") == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("V Praze stojí škola a Žofín.", ["Praze", "Žofín"]),  # the š is no capital
        ("Там живёт Ёлка.", ["Ёлка"]),
        ("- The mill of Ada stands.", ["Ada"]),
        ('"Nobody," said Ada.', ["Ada"]),
        ("**Nobody** saw that I'm here, nor I.", []),
        ("It is by the Bank of England's own Thames.", ["Bank of England's", "Thames"]),
    ],
)
def test_names_in_other_scripts_and_behind_signs(text: str, names: list[str]) -> None:
    assert names_in(text) == names


def test_a_name_is_whole_words() -> None:
    there = words_of("The annual report of J. R. Smith-Jones, and O\u2019Neil's\nletter.")
    assert [novel_rate([name], there) for name in ("Ann", "Smith Jones", "Smith", "O'Neil", "J R Smith")] == [
        1,
        0,
        0,
        0,
        0,
    ]


@pytest.mark.parametrize(
    ("names", "rate"),
    [([], None), (["Charles Babbage"], 0.0), (["charles  BABBAGE", "Alan Turing"], 0.5), (["Ada Lovelace's"], 0.0)],
)
def test_names_that_the_document_lacks(names: list[str], rate: float | None) -> None:
    assert novel_rate(names, words_of(DOCUMENT)) == rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [("no figures", None), ("In 1843 it had 1000 columns.", 0.0), ("In 1843 it had 2,000 columns.", 0.5), ("5", 1.0)],
)
def test_numbers_that_the_document_lacks(text: str, rate: float | None) -> None:
    assert number_rate(text, DOCUMENT) == rate


def test_coverage_of_what_was_asked() -> None:
    assert coverage([], "text") is None
    assert coverage(["Ada Lovelace", "The Engine"], "of ada\nlovelace") == 0.5


def test_rows_are_rated_and_dropped_by_thresholds() -> None:
    table = pa.table({"id": ["a"], "text": pa.array([DOCUMENT], pa.large_string())})
    made = [
        Heir(0, ("1",), "A letter of Ada Lovelace went out in 1843.", entities=("Ada Lovelace", "Engine")),
        Heir(0, ("2",), "A letter of Alan Turing went out in 1943.", entities=("Ada Lovelace",)),
    ]
    rows = heirs(table, "Test", "model", made)
    found = Faithfulness(max_novel_entities=0.5, max_novel_numbers=0.5).open()(rows).to_pylist()
    assert [(r["entity_coverage"], r["novel_entity_rate"], r["novel_number_rate"]) for r in found] == [
        (0.5, 0.0, 0.0), (0.0, 1.0, 1.0),
    ]  # fmt: skip
    assert [r["drop_reason"] for r in found] == [None, "novel_entities"]
    assert Faithfulness(max_novel_numbers=0.5).open()(rows).column("drop_reason").to_pylist() == [None, "novel_numbers"]
    assert Faithfulness().open()(rows).column("drop_reason").null_count == 2


def test_thresholds_are_rates() -> None:
    with pytest.raises(ValueError, match=r"Faithfulness\.max_novel_entities should be from 0 to 1, got 2"):
        Faithfulness(max_novel_entities=2)
