"""Two texts side by side: what is marked, what is folded, and that nothing grows with the texts."""

import pytest

from pipelines.report.difference import Part, difference

ROW = [f"w{a}{b}" for a in "abcdefghijklmnopqrst" for b in "abcdefghijklmnopqrst"]  # 400 words


def told(parts: tuple[Part, ...]) -> str:
    """`same [only] <folded>`."""
    forms = {"same": "{}", "only": "[{}]", "fold": "<{}>"}
    return " ".join(forms[part.kind].format(part.text.strip()) for part in parts)


@pytest.mark.parametrize(
    ("left", "right", "ours", "theirs"),
    [
        ("a b c", "a b c", "a b c", "a b c"),
        ("a b c", "a x c", "a [b] c", "a [x] c"),
        ("a b c", "a c", "a [b] c", "a c"),
        ("a c", "a b b c", "a c", "a [b b] c"),
        ("a b", "x y", "[a b]", "[x y]"),
        ("", "x", "", "[x]"),
        ("", "", "", ""),
        ("a\n b  c", "a b c", "a\n b  c", "a b c"),  # another space is no difference
        ("水車は川に", "水車が川に", "水車 [は] 川に", "水車 [が] 川に"),
    ],
)
def test_words_of_one_text_alone_are_marked(left: str, right: str, ours: str, theirs: str) -> None:
    a, b = difference(left, right)
    assert (told(a), told(b)) == (ours, theirs)


def test_long_runs_that_are_the_same_are_folded() -> None:
    a, b = difference(" ".join(ROW), " ".join([*ROW[:200], "new", *ROW[201:]]))
    before, after = " ".join(ROW[188:200]), " ".join(ROW[201:213])
    assert told(a) == f"<188> {before} [{ROW[200]}] {after} <187>"
    assert told(b) == f"<188> {before} [new] {after} <187>"


def test_of_the_same_text_the_beginning_is_shown() -> None:
    a, b = difference(" ".join(ROW), " ".join(ROW))
    assert told(a) == told(b) == " ".join(ROW[:160]) + " <240>"


def test_of_other_texts_the_beginning_is_shown() -> None:
    a, b = difference(" ".join(ROW), " ".join(word.upper() for word in ROW[:170]))
    assert told(a) == f"[{' '.join(ROW[:160])}] <240>"
    assert told(b) == f"[{' '.join(ROW[:160]).upper()}] <10>"


def test_what_was_left_out_and_what_is_shown_are_all_words() -> None:
    a, _ = difference(" ".join(ROW), " ".join(ROW[i] if i % 7 else "x" for i in range(400)))
    shown = sum(len(part.text.split()) for part in a if part.kind != "fold")
    assert shown == 160
    assert shown + sum(int(part.text) for part in a if part.kind == "fold") == 400


def test_a_word_without_end_takes_no_more_room_than_others() -> None:
    a, b = difference("x" * 1_000_000, "y " * 500_000)
    assert sum(len(part.text) for part in (*a, *b)) < 160 * 130
