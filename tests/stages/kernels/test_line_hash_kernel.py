"""The kernel against the same in plain Python: two units have one hash if they have one form, and only then."""

import unicodedata
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.kernels.line_hash import hash_lines, table
from stages.text.buffers import text_buffers

Found = list[tuple[int, int, int, int]]  # text, first line, lines, hash


def hashed(*texts: str | None, paragraphs: bool = False, min_chars: int = 1, seeds: tuple[int, ...] = ()) -> Found:
    array = pa.array(texts, pa.large_string())
    data, offsets = text_buffers(array)
    room = sum((text or "").count("\n") + 1 for text in texts)
    out = tuple(np.full(room, 77, kind) for kind in (np.int64, np.int32, np.int32, np.uint64))
    scopes = np.array(seeds or [0] * len(texts), np.uint64)
    n = hash_lines(data, offsets, np.asarray(array.is_valid()), scopes, table(), paragraphs, min_chars, out)
    return [tuple(row) for row in zip(*(values[:n].tolist() for values in out), strict=True)]


def form(line: str) -> str:
    """What the docstring of the kernel says."""
    chars = []
    for char in line:
        category = unicodedata.category(char)
        if char.isspace() or category[0] == "Z":
            chars.append(" ")
        elif category == "Nd":
            chars.append("0")
        elif category[0] not in "PC" and category not in ("Mn", "Me"):
            base = [c for c in unicodedata.normalize("NFD", char.lower()) if unicodedata.category(c) != "Mn"]
            chars.append(base[0] if len(base) == 1 else char)
    return " ".join("".join(chars).split())


def units(text: str, paragraphs: bool) -> Iterator[tuple[int, int, str]]:
    lines = text.split("\n")
    if not paragraphs:
        yield from ((number, 1, form(line)) for number, line in enumerate(lines))
        return
    begin = 0
    for number in range(len(lines) + 1):
        if number == len(lines) or not lines[number].strip():
            if number > begin:
                yield begin, number - begin, form(" ".join(lines[begin:number]))
            begin = number + 1


@pytest.mark.parametrize(
    "lines",
    [
        ("Read more", "  READ\t more ", "read more.", "Read, more!", "\u00abRead more\u00bb", "re\u00e4d more"),
        ("read - more", "read  more", "re\u0301ad more"),
        ("Read more", "read\u00a0more", "read\u3000\u2003more", "re\u00adad mo\u200bre", "read more\r"),
        ("12 May 2024", "31 may 1999", "\u0661\u0662 May \u0662\u0660\u0662\u0664", "\uff11\uff12 May 2024"),
        ("Caf\u00e9", "cafe\u0301", "CAFE", "(cafe)"),
        ("it's", "its", "ITS'"),
        ("\u4f60\u597d\uff0c\u4e16\u754c\u3002", "\u4f60\u597d\u4e16\u754c"),
        ("\u043c\u043e\u0439", "\u041c\u041e\u0419", "\u043c\u043e\u0438"),
    ],
)  # fmt: skip
def test_what_is_one_line(lines: tuple[str, ...]) -> None:
    assert len({hash_ for _, _, _, hash_ in hashed(*lines)}) == 1


def test_what_is_not_one_line() -> None:
    lines = ("a b", "ab", "b a", "a b 1", "a b 12", "a $b", "a +b", "\U00020000", "\U00020001", "\uac00", "\uac01")
    assert len({hash_ for _, _, _, hash_ in hashed(*lines)}) == len(lines)


def test_lines_have_their_numbers() -> None:
    found = hashed("a\n\n \n***\nb\n", None, "", "\nb")
    assert [row[:3] for row in found] == [(0, 0, 1), (0, 4, 1), (3, 1, 1)]
    assert found[1][3] == found[2][3] != found[0][3]


def test_paragraphs_have_the_number_of_their_first_line_and_their_length() -> None:
    found = hashed("a\nb\n\n\nc\n \n***\nd.\n", "A B\n\nd", paragraphs=True)
    assert [row[:3] for row in found] == [(0, 0, 2), (0, 4, 1), (0, 6, 2), (1, 0, 1), (1, 2, 1)]
    ab, _, d, one_line, alone = (row[3] for row in found)
    assert (ab, d) == (one_line, alone)


def test_short_units_are_left_out() -> None:
    assert [row[1] for row in hashed("abcd\nab cd\na-b-c-d-e\n\u4f60\u597d\u4e16\u754c\u554a", min_chars=5)] == [
        1,
        2,
        3,
    ]
    assert [row[1] for row in hashed("ab\ncd\n\nab\nc", paragraphs=True, min_chars=5)] == [0]


def test_texts_of_other_scopes_are_not_compared() -> None:
    a, b, other = (row[3] for row in hashed("a", "a", "a", seeds=(1, 1, 2)))
    assert a == b != other


def test_a_part_of_a_column_has_its_own_lines() -> None:
    array = pa.array(["x", "a\nb", "c", "y"], pa.large_string()).slice(1, 2)
    data, offsets = text_buffers(array)
    out = tuple(np.zeros(3, kind) for kind in (np.int64, np.int32, np.int32, np.uint64))
    assert hash_lines(data, offsets, np.ones(2, bool), np.zeros(2, np.uint64), table(), False, 1, out) == 3
    assert out[3].tolist() == [row[3] for row in hashed("a", "b", "c")]


ODD = (
    "aAbB1\u0661 .,-\n\n\t\r\u00e9e\u0301\u00df\u0130\u03c3\u03c2\u4f60\u3002\uac00\u1100\u200b\u00ad"
    "\U00020000\U000e0100$\ufffd\U0001f600\x1c\u2028"
)


@given(st.lists(st.text(st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs", "Cn"])), max_size=25)))
@settings(max_examples=150)
def test_kernel_is_its_description(texts: list[str]) -> None:
    for paragraphs in (False, True):
        expected = [
            (t, first, lines, unit)
            for t, text in enumerate(texts)
            for first, lines, unit in units(text, paragraphs)
            if unit
        ]
        found = hashed(*texts, paragraphs=paragraphs)
        assert [row[:3] for row in found] == [row[:3] for row in expected]
        pairs = {(unit, row[3]) for (*_, unit), row in zip(expected, found, strict=True)}
        assert len(pairs) == len({unit for unit, _ in pairs}) == len({hash_ for _, hash_ in pairs})


def test_short_lines_do_not_collide() -> None:
    """All strings of up to three letters, and 100,000 numbers spelt in letters."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    short = [a + b + c for a in letters for b in ["", *letters] for c in ["", *letters] if b or not c]
    spelt = ["".join(letters[int(d)] for d in f"{n:05}") for n in range(10**5)]
    found = hashed("\n".join(short + spelt))
    assert len({row[3] for row in found}) == len(short) + len(spelt) == len(found)
