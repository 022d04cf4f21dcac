"""Every guard by its reason: rewrites that are taken and rewrites that are not, as models write them."""

import dataclasses

import pytest

from stages.guards import REASONS, Guards, guards_of
from stages.guards.check import EMPTY, LANGUAGE, LEAK, LENGTH_RATIO, NOVEL_NUMBER, NOVEL_URL, REFUSAL, TRUNCATED
from stages.guards.prefix import without_prefix
from stages.prompts import load_prompt

SOURCE = (
    "The water mill at Lenham was built in 1842 for the Harrow family, who ran it for three generations. In a good "
    "year it ground 1,200 sacks of flour, about 35% of what the town ate. When the railway came, cheap flour from the "
    "port undid it, and the wheel stopped for good on 5 March 1931. Visitors find the opening hours at "
    "https://www.lenham-mill.example.org/visit; the keeper, Ann Dole, answers letters herself."
)
GOOD = (
    "Lenham's water mill dates from 1842. The Harrows kept it for three generations, and in good years it produced "
    "1200 sacks of flour, some 35 percent of the town's needs. Cheap flour brought from the port by rail ended that: "
    "the wheel turned for the last time in March 1931. Opening hours are at lenham-mill.example.org/visit, and letters "
    "are answered by the keeper, Ann Dole."
)
GERMAN = (
    "Die Wassermühle in Lenham wurde 1842 für die Familie Harrow gebaut, die sie über drei Generationen betrieb. In "
    "einem guten Jahr mahlte sie 1.200 Säcke Mehl, etwa 35 % dessen, was die Stadt verbrauchte, bis die Bahn kam."
)
LOOP = " ".join(["The mill at Lenham was built for the Harrow family and it ground flour for the town."] * 5)


@pytest.fixture(scope="module")
def guards() -> Guards:
    return Guards()


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (None, GOOD),
        (None, SOURCE),
        ("guard_empty", " \n"),
        ("guard_length_ratio", "A mill at Lenham closed in 1931."),
        ("guard_length_ratio", "\n".join([GOOD.replace("mill", f"mill {'x' * n}") for n in range(5)])),
        ("guard_novel_number", GOOD.replace("1842", "1824")),
        ("guard_novel_number", GOOD.replace("35 percent", "53 percent")),
        ("guard_novel_url", GOOD.replace("lenham-mill.example.org/visit", "https://lenham.example.org")),
        ("guard_novel_url", GOOD.replace("Ann Dole", "Ann Dole (ann@lenham.com)")),
        ("guard_language", GERMAN),
        ("guard_repetition", LOOP),
        ("guard_refusal", "I'm sorry, but I can't help with rewriting this text. " + GOOD),
        ("guard_leak", GOOD + "<|im_end|>"),
    ],
)
def test_a_rewrite_is_taken_or_has_the_reason(guards: Guards, reason: str | None, text: str) -> None:
    assert guards.check(SOURCE, text) == reason


def test_an_answer_that_was_cut_is_not_taken_however_good(guards: Guards) -> None:
    assert guards.check(SOURCE, GOOD, "length") == TRUNCATED


def test_reasons_are_all_there() -> None:
    assert len(set(REASONS)) == len(REASONS) == 10
    assert all(reason.startswith("guard_") for reason in REASONS)


def test_many_are_judged_as_one_by_one(guards: Guards) -> None:
    texts = [GOOD, GERMAN, LOOP, "", GOOD.replace("1842", "1824"), "Ich kann dabei leider nicht helfen."]
    together = guards.check_all([SOURCE] * len(texts), texts)
    assert together == [guards.check(SOURCE, text) for text in texts]
    assert together == [None, LANGUAGE, "guard_repetition", EMPTY, NOVEL_NUMBER, REFUSAL]
    assert guards.check_all([], []) == []


@pytest.mark.parametrize(
    ("off", "text"),
    [
        ({"min_length_ratio": None}, "A mill at Lenham closed in 1931."),
        (
            {"max_length_ratio": None},
            f"{GOOD} {'And the town still tells of it, in its own slow way, to all. ' * 1}" * 4,
        ),
        ({"novel_numbers": None}, GOOD.replace("1842", "1824")),
        ({"novel_numbers": 1}, GOOD.replace("1842", "1824")),
        ({"novel_urls": None}, GOOD.replace("Ann Dole", "ann@lenham.com")),
        ({"language": False}, GERMAN),
        ({"dup_n_grams": ()}, LOOP),
        ({"refusals": False}, "I cannot help with that. " + GOOD),
        ({"leaks": False}, GOOD + "</s>"),
    ],
)
def test_a_guard_that_is_switched_off_says_nothing(off: dict[str, object], text: str) -> None:
    assert Guards(**(off | {"dup_n_grams": ()})).check(SOURCE, text) is None  # type: ignore[arg-type]


def test_the_guard_against_cuts_is_switched_off_too() -> None:
    assert Guards(truncated=False).check(SOURCE, GOOD, "length") is None


@pytest.mark.parametrize(
    "text",
    [
        "I cannot rewrite this text because it contains personal data.",
        "I'm sorry, but the passage you gave is empty.",
        "As an AI language model, I do not have opinions on flour.",
        "Sure! Please provide the text you would like me to rephrase.",
        "Ich kann Ihnen bei dieser Anfrage leider nicht helfen.",
        "Je suis désolé, mais ce texte est trop court.",
        "Lo siento, pero no puedo ayudar con eso.",
        "Desculpe, não posso ajudar com isso.",
        "Mi dispiace, ma questo testo è vuoto.",
        "Het spijt me, maar dat gaat niet.",
        "Przykro mi, ale nie mogę tego zrobić.",
        "К сожалению, я не могу выполнить эту просьбу.",
        "抱歉,我无法提供这段文字的改写。",
        "申し訳ありませんが、お手伝いできません。",
        "죄송합니다, 도와드릴 수 없습니다.",
        "عذراً، لا يمكنني المساعدة في ذلك.",
        "क्षमा करें, मैं इसमें मदद नहीं कर सकता।",
    ],
)
def test_refusals_are_known_in_many_languages(text: str) -> None:
    guards = Guards(min_length_ratio=None, language=False)
    assert guards.check(SOURCE, text) == REFUSAL


@pytest.mark.parametrize(
    "text",
    [
        "I cannot remember a better summer than that of the mill.",
        "The keeper says she is sorry for those who come on a Monday, and that the path is steep.",
        "Nobody can help with the wheel, she writes, unless the river comes back to its old bed.",
    ],
)
def test_prose_that_sounds_like_a_refusal_is_none(text: str) -> None:
    assert Guards(min_length_ratio=None, language=False).check(SOURCE, text) is None


def test_what_the_source_says_itself_is_no_refusal_and_no_leak(guards: Guards) -> None:
    source = "I'm sorry, but we are closed. Chat templates of this family end a turn with <|im_end|> and nothing else."
    text = "I'm sorry, but we are closed. A turn of this family's chat templates ends with <|im_end|>, nothing more."
    assert guards.check(source, text) is None


@pytest.mark.parametrize(
    "text",
    [
        "<|start_header_id|>assistant<|end_header_id|>\n" + GOOD,
        "[INST] rewrite [/INST] " + GOOD,
        GOOD + "</s>",
        "<think>The user wants a paraphrase.</think>" + GOOD,
        "### Response:\n" + GOOD,
        GOOD + "\nUSER: thank you",
        GOOD + "<end_of_turn>",
    ],
)
def test_markup_of_any_chat_template_leaks(guards: Guards, text: str) -> None:
    assert guards.check(SOURCE, text) == LEAK


def test_a_line_of_the_prompt_leaks() -> None:
    prompt = load_prompt("wrap-medium")
    asked = prompt.user.partition("\n")[0]
    text = f"{asked}\n{GOOD}"
    assert Guards().check(SOURCE, text, prompt=f"{prompt.system}\n{prompt.user}") == LEAK
    assert Guards().check(SOURCE, text) is None
    assert Guards().check(f"{SOURCE} {asked}", text, prompt=prompt.user) is None


def test_repetition_of_the_source_is_not_the_rewrite_s(guards: Guards) -> None:
    assert guards.check(LOOP, LOOP.replace("ground flour", "made flour")) is None


def test_short_texts_have_no_language_to_keep(guards: Guards) -> None:
    assert guards.check("Water mill at Lenham", "Wassermühle in Lenham") is None


def test_the_prefix_is_taken_off_or_missing() -> None:
    prefix = "Paraphrased Text:"
    assert without_prefix("Paraphrased Text:\nThe mill.", prefix) == "The mill."
    assert without_prefix("  Paraphrased Text: The mill.\n", prefix) == "The mill."
    assert without_prefix("Here you are. Paraphrased Text: The mill.", prefix) is None
    assert without_prefix("The mill.", prefix) is None
    assert without_prefix("The mill.", "") == "The mill."


def test_settings_come_from_a_recipe_and_what_is_wrong_is_named() -> None:
    strict = guards_of({"novel_numbers": 2, "dup_n_grams": [[5, 0.3]]}, "Rephrase")
    assert (strict.novel_numbers, strict.dup_n_grams) == (2, ((5, 0.3),))
    assert guards_of({}, "Rephrase", dataclasses.replace(strict, leaks=False)).leaks is False
    with pytest.raises(ValueError, match=r"^Rephrase: guards have no setting 'novel_number'; did you mean 'novel_num"):
        guards_of({"novel_number": 2}, "Rephrase")
    with pytest.raises(ValueError, match=r"^Rephrase: guards: guards: a length ratio from 2 to 1 lets nothing pass"):
        guards_of({"min_length_ratio": 2, "max_length_ratio": 1}, "Rephrase")
    with pytest.raises(ValueError, match=r"no model file at 'nowhere\.bin'"):
        Guards(language_model="nowhere.bin")


def test_the_language_model_is_part_of_the_settings() -> None:
    assert len(Guards().language_checksum) == 64
    assert Guards(language=False).language_checksum == ""


def test_reasons_in_order_of_cost(guards: Guards) -> None:
    """A text with several faults has the first of them."""
    both = "I cannot help with that. 1999 https://new.example.com"
    assert guards.check(SOURCE, both) == REFUSAL
    assert guards.check(SOURCE, both.partition(". ")[2]) == LENGTH_RATIO
    assert guards.check(SOURCE, GOOD + " 1999 https://new.example.com") == NOVEL_NUMBER
    assert guards.check(SOURCE, GOOD + " https://new.example.com") == NOVEL_URL
