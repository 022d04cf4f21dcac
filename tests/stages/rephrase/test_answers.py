"""What is made of answers, as models write them."""

import pytest

from stages.prompts import FOLDER, load_prompt
from stages.rephrase.answers import chosen, listed, made_of, pairs_of, strip_markdown, strip_opening, strip_quotes
from stages.rephrase.styles import STYLES, find_style


@pytest.mark.parametrize(
    ("markdown", "plain"),
    [
        ("**Lenham** has a *water* mill.", "Lenham has a water mill."),
        ("## The mill\n\nIt `turns`.", "The mill\n\nIt turns."),
        ("See [the mill](https://example.org/mill) and ![wheel](w.png).", "See the mill and wheel."),
        ("> quoted\n> twice", "quoted\ntwice"),
        ("above\n---\nbelow\n* * *\nend", "above\nbelow\nend"),
        ("```text\nThe mill.\n```", "The mill.\n"),
        ("~~old~~ __new__ ***both***", "old new both"),
        ("- a list\n- keeps its marks", "- a list\n- keeps its marks"),
        ("3 * 4 * 5 = 60, a_b_c, 2**8", "3 * 4 * 5 = 60, a_b_c, 2**8"),
        ("no marks", "no marks"),
    ],
)
def test_markdown_goes_and_what_only_looks_like_it_stays(markdown: str, plain: str) -> None:
    assert strip_markdown(markdown) == plain


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("Sure! Here is the text in simpler words:\n\nThe mill is old.", "The mill is old."),
        ("Here's a paraphrase of the passage: The mill is old.", "The mill is old."),
        ("Certainly, here is the rewritten version:\nThe mill is old.", "The mill is old."),
        ("Of course!\nThe mill is old.", "The mill is old."),
        (
            "Here are the opening hours of the mill: ten to four.",
            "Here are the opening hours of the mill: ten to four.",
        ),
        ("Surely the mill is old.", "Surely the mill is old."),
        ("The mill is old.\nHere is the text:\nmore", "The mill is old.\nHere is the text:\nmore"),
        ("Sure! Here is the text:\n", "Sure! Here is the text:\n"),
    ],
)
def test_opening_remarks_go(answer: str, text: str) -> None:
    assert strip_opening(answer) == text


@pytest.mark.parametrize(
    ("quoted", "text"),
    [
        ('"The mill is old."', "The mill is old."),
        ("\u201cThe mill is old.\u201d", "The mill is old."),
        ("\u00abLe moulin est vieux.\u00bb", "Le moulin est vieux."),
        ('"The mill", he said, "is old."', '"The mill", he said, "is old."'),
        ('"The mill', '"The mill'),
        ('"', '"'),
    ],
)
def test_quotation_marks_around_all_of_it_go(quoted: str, text: str) -> None:
    assert strip_quotes(quoted) == text


def test_a_prefix_is_required_under_any_markdown() -> None:
    prefix = load_prompt("nemotron-distill").prefix
    assert made_of('**Paraphrased Text:**\n\n"The mill is old."', "prose", prefix) == "The mill is old."
    assert made_of("The mill is old.", "prose", prefix) is None
    assert made_of("Sure! Here is it:\nThe mill is old.", "prose", "") == "The mill is old."


def test_markdown_of_a_table_stays() -> None:
    table = "| year | sacks |\n|---|---|\n| 1842 | **1,200** |\n\nQuestion: When?\nAnswer: 1842."
    assert made_of(f"Here is the table:\n\n{table}", "markdown", "") == table


def test_labels_of_passages_go() -> None:
    answer = "Passage 1:\nThe mill is old.\n\nPassage 2: It turns.\nPassage:\nThe end."
    assert made_of(answer, "passages", "") == "The mill is old.\n\nIt turns.\nThe end."


def test_a_list_loses_what_stands_before_it_and_its_bullets() -> None:
    assert listed("Facts from the text\n\n- The mill is old.\n  - It turns.\n* It is dry.") == (
        "The mill is old.\nIt turns.\nIt is dry."
    )
    assert listed("The mill is old.\nIt turns.") == "The mill is old.\nIt turns."


PAIRS = """Here are the questions and answers based on the provided text:
- Question: When was the mill built?
- Answer: In 1842.

Question: Who kept it?
Answer: The Harrow family,
for three generations.
Question: Is it open?
"""


def test_pairs_are_grouped_at_questions_and_those_without_an_answer_go() -> None:
    assert pairs_of(PAIRS) == [
        "Question: When was the mill built?\nAnswer: In 1842.",
        "Question: Who kept it?\nAnswer: The Harrow family,\nfor three generations.",
    ]
    assert made_of(PAIRS, "pairs", load_prompt("nemotron-diverse-qa").prefix) == "\n\n".join(pairs_of(PAIRS))
    assert made_of("No pairs.", "pairs", "") == ""


def test_as_many_pairs_are_chosen_as_the_text_has_room_for() -> None:
    """At most int(10 * tokens / 150), at least one: methods 3.2."""
    pairs = [f"Question: {n}\nAnswer: {n}" for n in range(20)]
    sizes = {tokens: {len(chosen(pairs, tokens, seed)) for seed in range(300)} for tokens in (1, 29, 30, 74, 75, 150)}
    assert sizes == {1: {1}, 29: {1}, 30: {1, 2}, 74: {1, 2, 3, 4}, 75: {1, 2, 3, 4, 5}, 150: set(range(1, 11))}
    assert chosen(pairs, 150, 7) == chosen(pairs, 150, 7) != chosen(pairs, 150, 8)
    orders = {tuple(chosen(pairs[:3], 150_000, seed)) for seed in range(300)}
    assert len({order for order in orders if len(order) == 3}) == 6
    assert chosen([], 150, 7) == []


def test_every_style_has_its_prompt_and_every_prompt_its_source() -> None:
    prompts = {path.stem: load_prompt(path.stem) for path in FOLDER.glob("*.yaml")}
    for name in STYLES:
        prompt = prompts[name]
        assert (prompt.name, prompt.version, prompt.fields) == (name, 1, ("text",))
        assert "arXiv" in prompt.source or "datatrove" in prompt.source
    prefixes = {name: prompts[name].prefix for name in STYLES if prompts[name].prefix}
    assert prefixes == {
        "nemotron-wikipedia-paraphrasing": "Here is a paraphrased version:",
        "nemotron-diverse-qa": "Here are the questions and answers based on the provided text:",
        "nemotron-distill": "Paraphrased Text:",
    }
    assert all(prompts[name].prefix in prompts[name].user for name in STYLES)


def test_the_table_of_nemotron_is_that_of_the_paper() -> None:
    """methods 3.2: min_doc, min_seg, max_input, max_output, least tokens of a result."""
    table = {
        name.removeprefix("nemotron-"): (s.min_document, s.min_segment, s.max_input, s.max_output, s.min_result)
        for name, s in STYLES.items()
        if name.startswith("nemotron-")
    }
    assert table == {
        "wikipedia-paraphrasing": (5, 5, 512, 512, 50),
        "diverse-qa": (30, 30, 1000, 600, 100),
        "distill": (30, 10, 2000, 1600, 50),
        "extract-knowledge": (30, 30, 1400, 1400, 50),
        "knowledge-list": (30, 30, 1000, 600, 50),
    }


def test_a_style_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"^Rephrase: no style 'wrap-esy'; did you mean 'wrap-easy'\?$"):
        find_style("wrap-esy", "Rephrase")
