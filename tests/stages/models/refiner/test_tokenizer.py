"""The refiner's tokenizer: numbers are copied, long lines are cut, programs are short."""

from typing import Any

import pytest

pytest.importorskip("torch")

from stages.models.refiner.tokenizer import (
    AFTER,
    CLOSE,
    FIRST,
    HEAD,
    KEEP,
    LINE,
    NEXT,
    OPEN,
    REMOVE,
    TAIL,
    TO,
    train_tokenizer,
)

TEXTS = ["The mill stands at the mouth of the creek.", "Share this page | Home", "Die Mühle am Fluss 2024"] * 20


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(TEXTS, 1420)


def test_numbers_are_one_token_before_lines_and_in_programs(tokenizer: Any) -> None:
    assert tokenizer.tokenize("[doc]\n[012]\n[007]a\n[/doc]") == [
        OPEN, LINE, "012", "]", LINE, "007", "]", "a", CLOSE,
    ]  # fmt: skip
    said = "# 011\n# 012\nremove_lines(line_start=012, line_end=012)\n# 013\nkeep_all()"
    assert tokenizer.tokenize(said) == [
        FIRST, "011", NEXT, "012", REMOVE, "012", TO, "012", AFTER, "013", KEEP,
    ]  # fmt: skip
    assert tokenizer.decode(tokenizer.encode(said)) == said


def test_a_number_of_four_digits_is_the_same_tokens_in_both(tokenizer: Any) -> None:
    before, after = tokenizer.tokenize("[doc]\n[1203]x"), tokenizer.tokenize("\nremove_lines(line_start=1203")
    assert before == [OPEN, LINE, "120", "3", "]", "x"]
    assert after == [REMOVE, "120", "3"]


def test_what_the_line_begins_with_does_not_change_its_number(tokenizer: Any) -> None:
    for line in ("]]", "|x", "12", " a", ")", "…"):
        assert tokenizer.tokenize(f"[doc]\n[045]{line}")[:4] == [OPEN, LINE, "045", "]"]


def test_a_long_line_loses_its_middle(tokenizer: Any) -> None:
    line = "a" * HEAD + "b" * 200 + "c" * TAIL
    cut, longer = tokenizer.tokenize(line), tokenizer.tokenize("a" * HEAD + "b" * 500 + "c" * TAIL)
    assert "b" not in "".join(cut + longer)
    assert cut != longer
    assert len(tokenizer.encode("a b " * 5000)) < 200
    short = "a" * HEAD + "b" * 7 + "c" * TAIL
    assert tokenizer.decode(tokenizer.encode(short)) == short


def test_every_text_can_be_read(tokenizer: Any) -> None:
    for text in ("Ünïcödé", "首页 新闻", "\x00\t\u200b", "😀"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_vocabulary_without_room_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"a vocabulary of 1000 has no room for letters; ask for 13\d\d or more"):
        train_tokenizer(TEXTS, 1000)
