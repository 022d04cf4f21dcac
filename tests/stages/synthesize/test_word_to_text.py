"""Pieces of a domain's vocabulary, its own words, and sentences that have three of them."""

from pathlib import Path

import pytest

from stages.synthesize.lots import Lot
from stages.synthesize.word_to_text import Found, load_vocabulary, word_to_text

LOT = Lot(1, "a")
# By log-probability: ▁electrophoresis as a whole (-3) beats ▁electro + phoresis (-2 - 2).
DOMAIN = {
    "\u2581": -4.0, "\u2581electrophoresis": -3.0, "\u2581electro": -2.0, "phoresis": -2.0, "s": -3.0,
    "\u2581chromatography": -5.0, "\u2581spectrometry": -5.0, "\u2581information": -5.0, "\u2581the": -1.0,
    "\u2581and": -1.0, "\u2581gel": -3.0,
}  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    domain, general = tmp_path / "domain.vocab", tmp_path / "general.json"
    domain.write_text("".join(f"{piece}\t{score}\n" for piece, score in DOMAIN.items()), encoding="utf-8")
    general.write_text('{"model": {"vocab": {"\u2581the": 0, "\u2581information": 1}}}', encoding="utf-8")
    return str(domain), str(general)


def test_pieces_are_the_most_likely_ones(files: tuple[str, str]) -> None:
    vocabulary = load_vocabulary(*files)
    assert vocabulary.pieces("the electrophoresis  gels") == ["\u2581the", "\u2581electrophoresis", "\u2581gel", "s"]
    assert vocabulary.pieces("ab") == ["\u2581", "a", "b"]  # what no piece is made of
    assert vocabulary.pieces("x" * 300) == ["\u2581" + "x" * 300]


def test_own_words_begin_a_word_are_long_and_not_in_the_general_vocabulary(files: tuple[str, str]) -> None:
    own = load_vocabulary(*files).own
    assert own == {"\u2581electrophoresis", "\u2581chromatography", "\u2581spectrometry"}


def test_two_sentences_with_three_words_each(files: tuple[str, str]) -> None:
    vocabulary = load_vocabulary(*files)
    words = "electrophoresis chromatography and spectrometry"
    assert word_to_text(
        [f"{words}. ", "the gel. ", "chromatography spectrometry chromatography."], vocabulary, LOT
    ) == [Found(("electrophoresis", "chromatography", "spectrometry"), f"{words}.")]
    assert len(word_to_text([words, f"{words}!", f"{words}?"], vocabulary, LOT)) == 2
    assert word_to_text([f"{words} {'the ' * 97}"], vocabulary, LOT) == []  # 101 pieces
    assert len(word_to_text([f"{words} {'the ' * 96}"], vocabulary, LOT)) == 1


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("the\t-1\n", "no piece begins with U.2581"),
        ("\u2581the\tmany\n", "expected a piece, a tab and a number a line"),
        ("\u2581the\n\u2581and\n", "expected pieces with log-probabilities"),
    ],
)
def test_files_that_are_none(tmp_path: Path, files: tuple[str, str], text: str, fault: str) -> None:
    (tmp_path / "wrong.vocab").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=fault):
        load_vocabulary(str(tmp_path / "wrong.vocab"), files[1])
    with pytest.raises(ValueError, match=r"absent\.vocab.*No such file"):
        load_vocabulary(str(tmp_path / "absent.vocab"), files[1])
    (tmp_path / "wrong.json").write_text('{"model": {}}')
    with pytest.raises(ValueError, match=r"expected a tokenizer.json with model\.vocab"):
        load_vocabulary(files[0], str(tmp_path / "wrong.json"))
