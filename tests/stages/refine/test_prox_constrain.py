"""The grammar of a chunk: which programs it lets through, by a reference implementation of EBNF."""

import random

import pytest

from stages.refine.constrain import CALL, grammar, numbers
from stages.refine.program import RemoveLines, parse_program


def accepts(ebnf: str, text: str) -> bool:
    """Whether llguidance takes `text` as a whole answer of the grammar; bytes are its tokens."""
    llguidance = pytest.importorskip("llguidance")
    from llguidance.gbnf_to_lark import any_to_lark

    tokenizer = llguidance.LLTokenizer("byte")
    matcher = llguidance.LLMatcher(tokenizer, llguidance.grammar_from("lark", any_to_lark(ebnf)))
    assert not matcher.is_error(), matcher.get_error()
    tokens = tokenizer.tokenize_str(text)
    return bool(matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting())


def test_programs_over_the_lines_of_the_chunk_are_let_through() -> None:
    ebnf = grammar(8, 12, 256, 14)
    for text in (
        "keep_all()",
        "untouch_doc()",
        "remove_lines(all=True)",
        "remove_lines(start=8, end=12)",
        "remove_lines(line_start=008, line_end=012)",
        "remove_lines(line_start=9, line_end=10)\nremove_lines(start=12, end=12)",
    ):
        assert accepts(ebnf, text), text
        assert not parse_program(text, within=(8, 12)).errors
    for text in (
        "",
        "remove_lines(start=08, end=09)",
        "remove_lines(start=013, end=013)",
        "remove_lines(start=7, end=12)",
        "remove_lines(start=8, end=13)",
        "drop",
        "keep_all()\n",
        "keep_all",
    ):
        assert not accepts(ebnf, text), text


def test_programs_end_before_the_answer_is_cut() -> None:
    call = CALL.format(5)[1:]
    ebnf = grammar(0, 9, 1 + 3 * 14, 14)
    assert accepts(ebnf, "\n".join([call] * 3))
    assert not accepts(ebnf, "\n".join([call] * 4))
    assert accepts(grammar(0, 9, 5, 14), call)  # at least one


def test_numbers_are_those_of_the_chunk_and_no_others() -> None:
    draw = random.Random(7)
    for first, last in [(0, 0), (0, 9), (0, 10), (9, 10), (95, 1105), *((draw.randrange(300), 0) for _ in range(4))]:
        last = max(last, first + draw.randrange(400))  # noqa: PLW2901
        ebnf = 'root ::= "<" number ">"\nnumber ::= ' + " | ".join(numbers(first, last))
        tried = {0, first - 1, first, first + 1, (first + last) // 2, last - 1, last, last + 1, 10 * last, last // 10}
        for number in tried:
            assert accepts(ebnf, f"<{number}>") == (first <= number <= last), (number, first, last)
        assert not accepts(ebnf, f"<0{last}>")


def test_the_numbers_of_many_lines_are_few_alternatives() -> None:
    assert numbers(0, 57) == ["[0-9]", "[1-4] [0-9]", '"5" [0-7]']
    assert len(numbers(98, 1203)) < 10


def test_the_longest_call_is_read_as_one() -> None:
    assert parse_program(CALL.format(1203)).ops == (RemoveLines(1203, 1203),)
