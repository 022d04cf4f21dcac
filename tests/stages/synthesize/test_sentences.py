"""Sentences in other orders, and names for pronouns."""

from itertools import permutations

import pytest

from stages.synthesize.lots import Lot
from stages.synthesize.sentences import Pronoun, permuted, with_full_names

THREE = "She was born in Kent. She studied law. She lives in Rome."


def test_the_example_of_the_reference() -> None:
    assert with_full_names(THREE, "Ann Lee") == "Ann Lee was born in Kent. Ann Lee studied law. Ann Lee lives in Rome."
    parts = ["She was born in Kent. ", "She studied law. ", "She lives in Rome."]
    found = {permuted(parts, Lot(1, str(n)), "a") for n in range(60)}
    bare = [part.strip() for part in parts]
    assert found == {" ".join(order) for order in permutations(bare)}


def test_white_space_stays_where_it_is() -> None:
    found = {permuted(["A.\n\n", "B. ", "C."], Lot(2, str(n)), "a") for n in range(60)}
    assert found == {f"{a}\n\n{b} {c}" for a, b, c in permutations(["A.", "B.", "C."])}
    assert permuted([], Lot(1, "a"), "a") == ""
    assert permuted(["水。", "火。"], Lot(1, "a"), "a") in ("水。火。", "火。水。")


@pytest.mark.parametrize(
    ("text", "pronoun", "expected"),
    [
        ("She sold her boat.", "auto", "Ann Lee sold Ann Lee's boat."),
        ("They saw her. She met her at the gate.", "auto", "They saw Ann Lee. Ann Lee met Ann Lee at the gate."),
        ("The boat was hers, she said.", "auto", "The boat was Ann Lee's, Ann Lee said."),
        ("He gave him his hat. It was his.", "auto", "Ann Lee gave Ann Lee Ann Lee's hat. It was Ann Lee's."),
        ("She asked him. She left.", "auto", "Ann Lee asked him. Ann Lee left."),  # the rarer is somebody else
        ("She asked him.", "auto", "She asked him."),  # of two people: nobody knows which
        ("She did it herself.", "auto", "Ann Lee did it herself."),
        ("Her \u201cplan\u201d failed.", "auto", "Ann Lee's \u201cplan\u201d failed."),
        ("The she-wolf and the HE of heat.", "auto", "The she-wolf and the HE of heat."),
        ("It rose. Its tide fell.", "auto", "It rose. Its tide fell."),
        ("It rose. Its tide fell.", "it", "Ann Lee rose. Ann Lee's tide fell."),
        ("They knew their way.", "they", "Ann Lee knew Ann Lee's way."),
        ("Ann's theory of the other.", "auto", "Ann's theory of the other."),
    ],
)
def test_names_for_pronouns(text: str, pronoun: Pronoun, expected: str) -> None:
    assert with_full_names(text, "Ann Lee", pronoun) == expected


def test_names_are_taken_as_they_are() -> None:
    assert with_full_names("She left.", r"A\1 {B}") == r"A\1 {B} left."
