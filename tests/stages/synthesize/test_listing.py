"""Lists in a model's reply: their entries, and a fault for each that is none."""

import pytest

from stages.models.engine import Finish
from stages.synthesize.listing import FAULTS, Listed, parse_list, why_not


@pytest.mark.parametrize(
    "reply",
    [
        "- The mill stands.\n- It was built in 1842.",
        "Here are the facts:\n\n* The mill stands.\n* It was built in 1842.\n",
        "1. The mill stands.\n2. It was built\n   in 1842.",
        "  (1) The mill stands.\n\n  2) It was  built in 1842.",
        "\u2022 The mill stands.\n+ It was built in 1842.\n",
    ],
)
def test_forms_of_a_list(reply: str) -> None:
    assert parse_list(reply) == Listed(("The mill stands.", "It was built in 1842."), ())


MALFORMED: list[tuple[str, str, Finish]] = [
    ("empty", " \n", "stop"),
    ("refusal", "I'm sorry, but I cannot help with that.", "stop"),
    ("no_list", "The mill stands. It was built in 1842.", "stop"),
    ("no_list", "-The mill stands.", "stop"),
    ("no_list", '["The mill stands."]', "stop"),
    ("no_list", "<ul><li>The mill stands.</li></ul>", "stop"),
    ("truncated", "- The mill sta", "length"),
    ("blank", "-\n", "stop"),
    ("long", "- " + "mill " * 300, "stop"),
    ("markup", "- The mill stands.<|im_end|>", "stop"),
    ("markup", "- Each fact is one sentence that can be understood by itself", "stop"),
]


@pytest.mark.parametrize(("fault", "reply", "finish"), MALFORMED)
def test_replies_without_an_entry_have_a_fault(fault: str, reply: str, finish: Finish) -> None:
    prompt = "Each fact is one sentence that can be understood by itself"
    assert parse_list(reply, finish, prompt=prompt) == Listed((), (fault,))


def test_what_is_no_entry_is_left_out_beside_others() -> None:
    found = parse_list("- A mill.\n- a MILL.\n-\n- A wh", "length")
    assert found == Listed(("A mill.",), ("repeated", "blank", "truncated"))
    assert {fault for fault, _, _ in MALFORMED} | {"repeated"} == set(FAULTS)


def test_too_few_entries_are_told_by_the_first_fault() -> None:
    one = Listed(("A mill.",), ())
    assert why_not(one, "facts") is None
    assert why_not(one, "facts", 2) == "facts_few"
    assert why_not(Listed(("A mill.",), ("long", "blank")), "facts", 2) == "facts_long"
    assert why_not(Listed((), ("no_list",)), "plan") == "plan_no_list"
