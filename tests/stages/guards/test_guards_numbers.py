"""Numbers and addresses that a rewrite has and its source has not: by value, whatever they look like."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.guards.addresses import novel_addresses
from stages.guards.numbers import novel_numbers, readings

SAME = [
    ("It sold 1,200 copies.", "1200 copies were sold."),
    ("It sold 1200 copies.", "1.200 Exemplare wurden verkauft."),
    ("Il s'est vendu 1 200 exemplaires.", "1,200 copies were sold."),
    ("12'500 Einwohner", "12,500 inhabitants"),
    ("1,234,567.50 dollars", "1.234.567,5 dollars"),
    ("12,34,567 rupees", "1234567 rupees"),
    ("growth of 3,5 %", "growth of 3.50 percent"),
    ("35% of them", "35 per cent of them"),
    ("price: $0.99", "for .99 dollars"),
    ("on 5 March 1931", "on 1931-03-05"),
    ("am 05.03.1931", "on March 5, 1931"),
    ("le 12 août 2024", "on 12/08/2024"),
    ("at 9:05", "at 09:05"),
    ("see p.12 and No.5", "page 12, number 5"),
    ("the 21st century", "century 21"),
    ("1.5 million people", "1,500,000 people"),
    ("1,500,000 people", "1.5 million people"),
    ("1500000 Menschen", "1,5 Mio Menschen"),
    ("three mills and twenty-five men", "3 mills and 25 men"),
    ("two hundred pages", "200 pages"),
    ("3 mills", "three mills"),  # words in the rewrite are not looked at
    ("no numbers", "seventy mills"),
    ("water", "H2O is written with a 2 inside; B12, x86, CO2, mp3 too".replace(" a 2", " a digit")),
    ("version 2.10.3 came", "It is version 2.10.3."),
    ("between 1990 and 1995", "1990-1995"),
    ("٣٥ مدينة", "35 cities"),
    ("株価は12セント下落して6.88ドルとなった。", "株価、12セント下落し、終値6.88ドル。"),
    ("Mt Goxは20万人の持ち主を", "Mt Gox、20万のビットコイン"),
    ("20万人", "200,000 people"),
    ("제20회 대회", "20번째 대회"),
    ("川を漕いで下る四人。", "4人でカヌーを漕ぐ。"),
    ("на восемь центов", "на 8 центов"),
    ("flour, salt and water", "1. Flour\n2. Salt\n3) Water"),
    ("flour and salt", "Question 1: What is in it?\nAnswer 1: Flour.\n**2.** Salt"),
    ("", ""),
]
NOVEL = [
    ("built in 1842", "built in 1824", ["1824"]),
    ("35%", "53 percent", ["53"]),
    ("1,200 sacks", "12,000 sacks", ["12,000"]),
    ("3.5 km", "35 km", ["35"]),
    ("3 and 5", "3.5", ["3.5"]),
    ("1.5 million", "1.5 billion", []),  # the digits are the source's: the unit is a word
    ("1.5 million", "1,500,000,000", ["1,500,000,000"]),
    ("in 1931", "on 5 March 1931", ["5"]),
    ("on 5 March 1931", "on 1931-04-05", ["04"]),
    ("many", "about 1000 and 2,000", ["1000", "2,000"]),
    ("three mills", "4 mills", ["4"]),
    ("1999", "19 99", ["19", "99"]),
    ("川を下る", "4人で川を下る", ["4"]),
    ("rooms", "Room 7. Open.\n7. Closed", ["7"]),  # an index begins a line, this one does not
]


@pytest.mark.parametrize(("source", "text"), SAME)
def test_the_same_number_in_other_writing_is_not_new(source: str, text: str) -> None:
    assert novel_numbers(source, text) == []


@pytest.mark.parametrize(("source", "text", "numbers"), NOVEL)
def test_a_number_that_the_source_has_not_is_new(source: str, text: str, numbers: list[str]) -> None:
    assert novel_numbers(source, text) == numbers


@pytest.mark.parametrize(
    ("number", "whole", "parts"),
    [
        ("007", {"7"}, set()),
        ("1,200", {"1200", "1.2"}, set()),
        ("1.200,50", {"1200.5"}, set()),
        ("12 345", {"12345"}, {"12", "345"}),
        ("5.3.1931", set(), {"5", "3", "1931"}),
        ("192.168.0.1", set(), {"192", "168", "0", "1"}),
        (".5", {"0.5", "5"}, set()),
        ("0", {"0"}, set()),
    ],
)
def test_a_number_is_read_in_every_way_it_may_be_meant(number: str, whole: set[str], parts: set[str]) -> None:
    assert readings(number) == (whole, parts)


@given(st.text(alphabet="0123456789.,' \u00a0\u0663abc\n-%", max_size=60), st.text(max_size=40))
@settings(max_examples=150)
def test_a_text_never_has_numbers_that_are_new_to_itself(text: str, more: str) -> None:
    assert novel_numbers(text, text) == []
    assert novel_numbers(f"{text}\n{more}", text) == []


@pytest.mark.parametrize(
    ("source", "text", "found"),
    [
        ("See https://www.example.org/mill.", "More: example.org/mill", []),
        ("See example.org/mill", "See [the mill](https://www.EXAMPLE.org/mill/).", []),
        ("See https://example.org/mill?x=1", "See example.org.", []),
        ("Write to ann.dole@example.com!", "Ann's address is ann.dole@example.com.", []),
        ("See the mill.", "See https://example.org/mill.", ["example.org/mill"]),
        ("See example.org", "See example.com", ["example.com"]),
        ("Ann", "ann@example.com, www.foo.bar", ["ann@example.com", "foo.bar"]),
        ("", "e.g. node.js, i.e. 3.14, the end.It rains, a.m.", []),
        ("no dots", "no dots", []),
    ],
)
def test_addresses_that_the_source_has_not_are_new(source: str, text: str, found: list[str]) -> None:
    assert novel_addresses(source, text) == found


def test_a_long_run_of_letters_takes_no_time_to_speak_of() -> None:
    """A search that starts anew at each of a million characters would not end within the test's time."""
    run = "a" * 1_000_000 + "." + "1" * 100_000
    assert novel_addresses("", run) == []
    assert len(novel_numbers("", run + " 12")) == 2
