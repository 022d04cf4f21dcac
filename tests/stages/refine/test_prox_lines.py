"""Numbering and chunking: the golden case of methods 1.3, and its edges."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from stages.refine.lines import Chunk, chunk, fill, numbered


def words_and_one(lines: Sequence[str]) -> list[int]:
    return [len(line.split()) + 1 for line in lines]


def test_golden_case() -> None:
    text = "a b c|d e|f g h i j k l m n o p|q||r".replace("|", "\n")
    assert chunk(text, words_and_one, 8) == [
        Chunk(0, 1, "[000]a b c\n[001]d e", 7),
        Chunk(2, 2, "[002]f g h i j k l m n o p", 12),
        Chunk(3, 5, "[003]q\n[004]\n[005]r", 6),
    ]


def test_lines_end_at_newlines_alone_and_numbers_grow_a_digit_at_a_thousand() -> None:
    assert numbered("a\r\nb\u2028c\x0cd") == ["[000]a\r", "[001]b\u2028c\x0cd"]
    assert numbered("\n" * 1000)[998:] == ["[998]", "[999]", "[1000]"]


def test_an_empty_text_is_one_empty_line_and_no_text_no_chunk() -> None:
    assert chunk("", words_and_one, 8) == [Chunk(0, 0, "[000]", 2)]
    assert fill([], [], 8) == []


def test_a_line_that_fits_exactly_stays_and_long_ones_are_alone() -> None:
    def ends(*costs: int) -> list[int]:
        return [found.last for found in fill(["x"] * len(costs), costs, 8)]

    assert ends(4, 4, 1) == [1, 2]
    assert ends(9, 1) == [0, 1]
    assert ends(1, 9) == [0, 1]
    assert ends(9, 9, 4, 4) == [0, 1, 3]


@given(st.lists(st.integers(1, 12), max_size=30), st.integers(1, 20))
def test_chunks_cover_every_line_once_and_only_single_lines_are_too_long(costs: list[int], most: int) -> None:
    found = fill([str(n) for n in range(len(costs))], costs, most)
    assert [n for one in found for n in range(one.first, one.last + 1)] == list(range(len(costs)))
    assert all(one.tokens <= most or one.first == one.last for one in found)
    assert all(one.tokens + costs[one.last + 1] > most for one in found[:-1])  # greedy
