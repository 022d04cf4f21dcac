"""What a model says the entities are, well said and ill said."""

import pytest

from stages.models.engine import Answer, Finish, Usage
from stages.synthesize.entities import Entities, clean_names, parse_entities


def parsed(text: str, finish: Finish = "stop", most: int = 60) -> Entities | str:
    return parse_entities(Answer(text, finish, Usage()), most)


def test_the_form_of_the_paper() -> None:
    assert parsed('{"summary":"S","entities":["A","B","C"]}') == Entities(("A", "B", "C"), "S")


def test_a_fence_around_it_is_taken_off() -> None:
    assert parsed('```json\n{"summary":"S","entities":["A"]}\n```') == Entities(("A",), "S")


def test_names_are_cleaned_and_each_is_there_once() -> None:
    names = [" The  Mill\n", "the mill", "", "  ", 7, None, "Ada", "x" * 201, "ADA", "Leat"]
    assert clean_names(names, 60) == ("The Mill", "Ada", "Leat")
    assert clean_names(names, 2) == ("The Mill", "Ada")


@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        ("not json", "stop", "entities_not_json"),
        ("", "stop", "entities_not_json"),
        ('{"summary":"S","entities":["A"', "length", "entities_truncated"),
        ('{"summary":"S","entities":["A"', "stop", "entities_not_json"),
        ('["A","B"]', "stop", "entities_not_object"),
        ('"A"', "stop", "entities_not_object"),
        ('{"summary":"S"}', "stop", "entities_no_list"),
        ('{"entities":"A, B"}', "stop", "entities_no_list"),
        ('{"entities":{"A":1}}', "stop", "entities_no_list"),
        ('{"entities":[]}', "stop", "entities_none"),
        ('{"entities":["", null, 3]}', "stop", "entities_none"),
        ("Sorry, I cannot help with that.", "stop", "entities_not_json"),
        ("[" * 100_000, "stop", "entities_not_json"),
        ('Here it is: {"entities":["A"]}', "stop", "entities_not_json"),
    ],
)
def test_every_other_reply_has_a_reason(text: str, finish: Finish, reason: str) -> None:
    assert parsed(text, finish) == reason


def test_a_summary_that_is_no_text_is_none() -> None:
    assert parsed('{"summary":["S"],"entities":["A"]}') == Entities(("A",), "")


def test_what_no_file_takes_is_left_out() -> None:
    """Half a surrogate pair and a NUL are JSON, and neither Arrow nor a server takes them."""
    found = parsed(
        '{"summary":"S\\ud800\\u0000.","entities":["Le\\udc00at", "\\ud83d", "a\\u0007b\\tc", "\\ud83d\\ude00"]}'
    )
    assert found == Entities(("Leat", "ab c", "\U0001f600"), "S.")
