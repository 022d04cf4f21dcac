"""How documents are cut: the golden case of methods 3.1, and Nemotron-CC's rule line by line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.rephrase.segments import Count, Segment, count_words, counter, pack_lines, pack_sentences
from stages.stage import StageError
from tests.stages.rephrase.writers import Writer


def words(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def sentence(n: int, name: str = "w") -> str:
    """A sentence of `n` words."""
    return " ".join([f"S{name}", *[f"{name}{i}" for i in range(n - 2)], f"end{name}."])


def test_ten_sentences_of_a_hundred_tokens_make_runs_of_three() -> None:
    text = " ".join(sentence(100, chr(97 + i)) for i in range(10))
    segments = pack_sentences(text, 300, words)
    assert words([s.text for s in segments]) == [300, 300, 300, 100]
    assert " ".join(s.text for s in segments) == text
    assert {s.reason for s in segments} == {None}


def test_a_sentence_longer_than_the_limit_stays_alone() -> None:
    text = " ".join([sentence(100, "a"), sentence(400, "b"), sentence(100, "c"), sentence(100, "d")])
    assert words([s.text for s in pack_sentences(text, 300, words)]) == [100, 400, 200]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (" ".join(f"w{i}" for i in range(100_000)), words),
        (" ".join(f"w{i}" for i in range(100_000)), count_words),
        ("QUJD" * 250_000, count_words),  # base64: a single word
        ("水車" * 50_000, count_words),
        ("QUJD" * 20_000 + " and words" * 5_000, count_words),
    ],
)
def test_a_line_without_stops_is_cut_at_the_limit(text: str, count: Count) -> None:
    segments = [s.text for s in pack_sentences(text, 300, count)]
    assert max(count(segments)) <= 300
    assert len(segments) < 3 * count([text])[0] / 300
    assert "".join(" ".join(segments).split()) == "".join(text.split())
    if " " in text and "QUJD" not in text:
        assert {word for s in segments for word in s.split()} == set(text.split())  # no word is cut


def test_a_page_of_lines_without_full_stops_is_cut_at_its_lines() -> None:
    text = "\n".join(" ".join([f"line{i}"] * 50) for i in range(10))
    assert words([s.text for s in pack_sentences(text, 120, words)]) == [100] * 5


def test_nothing_is_no_segment() -> None:
    assert pack_sentences(" \n ", 300, words) == []
    assert pack_lines("", 300, 0, words) == [Segment("")]


def test_lines_are_joined_up_to_the_limit_and_what_is_short_or_long_is_told() -> None:
    lines = ["a a a a", "b b b", "c c", "d " * 11 + "d", "e", "", "f f f f f f f f f"]
    assert pack_lines("\n".join(lines), limit=10, min_segment=2, count=words) == [
        Segment("a a a a\nb b b"),  # 4 + 3 and a break for each; with c c it would be 12 of 11
        Segment("c c"),
        Segment("d d d d d d d d d d d d", "segment_long"),
        Segment("e\n", "segment_short"),
        Segment("f f f f f f f f f"),
    ]


@given(st.text(alphabet="ab \n", max_size=80), st.integers(1, 6), st.integers(0, 4))
@settings(max_examples=100)
def test_lines_give_the_text_again(text: str, limit: int, least: int) -> None:
    segments = pack_lines(text, limit, least, words)
    assert "\n".join(s.text for s in segments) == text
    assert all(words([s.text]) <= [limit] for s in segments if s.reason is None)


def test_tokens_are_about_one_and_a_third_of_words_and_a_character_where_there_are_no_spaces() -> None:
    assert count_words(["ten words are in this sentence of ten words altogether", "", "水車小屋"]) == [13, 0, 6]


def test_tokens_are_those_of_the_engine_or_it_says_what_to_set() -> None:
    engine = Writer(lambda request: "")
    assert counter(engine, "engine", "Rephrase")(["a b c", ""]) == [3, 0]
    assert counter(engine, "words", "Rephrase")(["a b c"]) == [4]
    mute = Writer(lambda request: "", can_tokenize=False)
    assert counter(mute, "words", "Rephrase")(["a b c"]) == [4]
    with pytest.raises(
        StageError, match=r"^Rephrase: cannot count tokens: this server .* or set Rephrase\.tokens=words"
    ):
        counter(mute, "engine", "Rephrase")
