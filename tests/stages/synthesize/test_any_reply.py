"""Whatever a model says, its reply is read or has a reason: no parser raises."""

from hypothesis import given, settings
from hypothesis import strategies as st

from stages.rephrase.segments import count_words
from stages.synthesize.lean_words import words_of
from stages.synthesize.listing import FAULTS as LIST_FAULTS
from stages.synthesize.listing import parse_list
from stages.synthesize.pieces import Piece, has_letters, joined, pieces_of, read_piece
from stages.synthesize.subject_qa import DISCIPLINES, parse_subject
from stages.synthesize.turns import FAULTS as TURN_FAULTS
from stages.synthesize.turns import parse_turns, rendered

PARTS = [
    "User:", "Assistant:", "uſer :", "Assıstant:", "**User**:", "\n", "- ", "* ", "1. ", "physics", "none", '"', "```",
    "Sure! Here it is:", "\u2028", "\r", "\x00", "é", "水", " ", ".", "[/INST]", "The mill.",
]  # fmt: skip
PIECE = Piece("  one\n\ntwo\n1", "\n")
REPLIES = st.lists(st.sampled_from(PARTS) | st.text(max_size=8), max_size=12).map("".join)


@settings(max_examples=150)
@given(REPLIES)
def test_every_reply_is_read_or_has_a_reason(reply: str) -> None:
    turns = parse_turns(reply, ("User", "Assistant"), strict=True)
    assert (
        turns in TURN_FAULTS if isinstance(turns, str) else parse_turns(rendered(turns), ("User", "Assistant")) == turns
    )
    listed = parse_list(reply)
    assert bool(listed.entries or listed.faults)
    assert set(listed.faults) <= set(LIST_FAULTS)
    subject = parse_subject(reply, DISCIPLINES)
    assert subject in DISCIPLINES or subject.startswith("subject_")
    assert all(word for word in words_of(reply))
    read = read_piece(reply, PIECE)
    assert read is None or (read.count("\n"), read[-2:]) == (PIECE.text.count("\n"), "\n1")


@settings(max_examples=150)
@given(REPLIES, st.integers(1, 40))
def test_what_is_translated_word_for_word_is_the_text_again(text: str, limit: int) -> None:
    pieces = pieces_of(text, limit, count_words)
    for piece in pieces:
        read = read_piece("\n".join(piece.lines), piece)
        assert read is not None
        assert read.split() == piece.text.split()
    if not any(piece.joint == "" for piece in pieces):  # else white space between sentences of a line is one blank
        assert joined(pieces, [piece.text for piece in pieces]) == text
    assert any(piece.lines for piece in pieces) == has_letters(text)
