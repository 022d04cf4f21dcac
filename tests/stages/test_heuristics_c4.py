import pytest
from datatrove.pipeline.filters import C4QualityFilter

from schemas import columns as c
from stages.c4_quality import C4Quality
from stages.edits import Edit, append_edits
from stages.stage import settings_of
from tests.stages.prose import MILL, TEXTS, defaults, real_texts, table, theirs, verdicts

FIVE = "One two three. Four five six. Seven eight nine. Ten eleven twelve. This is the fifth one."
GOLDEN = """Hello there my friend[1].
short line
This site uses cookies for everything.
Please enable JavaScript now ok.
One two three. Four five six. Seven eight nine. Ten eleven twelve."""
GOLDEN_OUT = "Hello there my friend.\nOne two three. Four five six. Seven eight nine. Ten eleven twelve."
WORD = "w" * 1001


def edits(text: str, **settings_: object) -> list[tuple[str, int, int]]:
    rows = C4Quality(**settings_).open()(table(text)).to_pylist()
    assert rows[0]["n_chars"] == len(rows[0]["text"])
    return [(e["rule"], e["n_chars_before"], e["n_chars_after"]) for e in rows[0]["edits"] or []]


def test_the_golden_case():
    assert verdicts(C4Quality(), GOLDEN) == [(None, GOLDEN_OUT)]
    assert edits(GOLDEN) == [("citation+javascript+policy+too_few_words", len(GOLDEN), len(GOLDEN_OUT))]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "too_few_sentences"),
        ("One two three. Four five six.", "too_few_sentences"),
        (f"{FIVE}\nWe put Lorem Ipsum here.", "lorem_ipsum"),
        (f"{FIVE}\nif (a) {{ b here", "curly_bracket"),
        (f"{FIVE}\nLorem ipsum and javascript here", "lorem_ipsum"),
        (f"{FIVE}\nthe cookie policy {{ is here", "curly_bracket"),
    ],
)
def test_every_reason_and_a_dropped_text_is_left_as_it_was(text, reason):
    assert verdicts(C4Quality(), text) == [(reason, text)]
    assert theirs(C4QualityFilter(filter_no_terminal_punct=False, language="en"), text) == (reason, text)
    assert edits(text) == []


@pytest.mark.parametrize(
    ("line", "left", "rule"),
    [
        (f"a {WORD} of letters {{ here", "", "too_long_word"),
        ("two words", "", "too_few_words"),
        ("{ bracket", "", "too_few_words"),
        ("you need JavaScript { here", "", "javascript"),
        ("our Terms of Use say so.", "", "policy"),
        ("our privacy policy says so.", "", "policy"),
        ("our cookie policy says so.", "", "policy"),
        ("this site uses cookies.", "", "policy"),
        ("the use of cookies here.", "", "policy"),
        ("we use cookies here.", "", "policy"),
        ("a Java[12]Script bug here.", "", "citation+javascript"),
        ("the mill [citation needed] is old[edit].", "\nthe mill  is old.", "citation"),
        ("[1] [2] [3]", "\n  ", "citation"),
        ("  the mill is old.\t", "\nthe mill is old.", "white_space"),
    ],
)
def test_every_rule_on_a_line(line, left, rule):
    text, after = f"{FIVE}\n{line}", (FIVE + left).strip()
    assert verdicts(C4Quality(), text) == [(None, after)]
    assert theirs(C4QualityFilter(filter_no_terminal_punct=False, language="en"), text) == (None, after)
    assert edits(text) == [(rule, len(text), len(after))]


def test_terminal_punctuation_when_asked_for():
    text = f'{FIVE}\nno end to this\nand so on...\nhe said "it is."\nis it so'
    after = f'{FIVE}\nhe said "it is."'
    assert verdicts(C4Quality(filter_no_terminal_punct=True), text) == [(None, after)]
    assert theirs(C4QualityFilter(language="en"), text) == (None, after)
    assert edits(text, filter_no_terminal_punct=True) == [("no_terminal_punc", len(text), len(after))]


def test_an_unchanged_text_has_no_edit():
    assert edits(FIVE) == []
    assert verdicts(C4Quality(), FIVE) == [(None, FIVE)]


def test_edits_are_appended_to_those_before():
    earlier = append_edits(table(GOLDEN, FIVE, None), "Pii", [[Edit("email", 9, 8)], [], []])
    rows = C4Quality().open()(earlier)
    assert [[e["stage"] for e in row or []] for row in rows.column("edits").to_pylist()] == [
        ["Pii", "C4Quality"],
        [],
        [],
    ]
    assert rows.schema.field("edits").type == c.EDITS.type
    assert rows.column("text").to_pylist() == [GOLDEN_OUT, FIVE, None]
    assert rows.column("drop_reason").to_pylist() == [None, None, "too_few_sentences"]


def test_settings_and_defaults_are_fineweb():
    fineweb = {**defaults(C4QualityFilter), "filter_no_terminal_punct": False, "language": "en"}
    assert settings_of(C4Quality()) == fineweb


OTHERS = [
    {},
    {"filter_no_terminal_punct": True, "max_word_length": 12, "min_num_sentences": 3, "min_words_per_line": 5},
    {"split_paragraph": False},
    {"split_paragraph": False, "filter_policy": False, "filter_javascript": False, "filter_curly_bracket": False},
    {"min_num_sentences": -1, "max_word_length": -1, "min_words_per_line": -1, "remove_citations": False},
    {"filter_lorem_ipsum": False, "min_num_sentences": 12},
]


@pytest.mark.parametrize("settings_", OTHERS, ids=str)
def test_texts_are_cleaned_as_datatrove_does(settings_):
    block = C4QualityFilter(**({"filter_no_terminal_punct": False} | settings_), language="en")
    texts = [
        *TEXTS,
        GOLDEN,
        f"{FIVE}\n{WORD}",
        f"{FIVE}\n[1] [2] [3]",
        "Wait.  [1]\nWait a bit.  [1]\n" * 2,
        MILL + "{",
    ]
    assert verdicts(C4Quality(**settings_), *texts) == [theirs(block, text) for text in texts]


def test_real_texts_are_cleaned_as_datatrove_does():
    texts = real_texts(10)
    block = C4QualityFilter(filter_no_terminal_punct=False, language="en")
    assert verdicts(C4Quality(), *texts) == [theirs(block, text) for text in texts]
