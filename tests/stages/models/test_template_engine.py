"""The engine without a model: which prompts it knows, what it finds in a text, and that its answers parse."""

import pytest

from stages.models.ask import open_asker
from stages.models.engine import Answer, Engine, Failure, Prompt, Request, Sampling, Scored, Vector
from stages.models.spec import open_engine, parse
from stages.models.template.measures import decode, encode
from stages.models.template.recognise import recognised
from stages.models.template.source import cloze, source
from stages.prompts import FOLDER, load_prompt
from stages.stage import StageError
from stages.synthesize.instruction_form import parse_pairs, reading, shot

TEXT = (
    "The water mill at Lenham was built in 1842 by Thomas Hale. It ground 1,200 sacks of flour a year (a lot) for the\n"
    "bakers of Maidstone. Below the ford the river is deep; nobody crosses it on foot."
)
PROMPTS = sorted(path.stem for path in FOLDER.glob("*.yaml"))
VALUES = {
    "text": TEXT, "content": f'"The mill", 2020.\n {TEXT}', "entities": "- Lenham\n- Thomas Hale", "queries": "4",
    "language": "French", "facts": "- A mill was built.\n- A flood came.", "plan": "- what: mill?\n- why: flood?",
    "subject": "physics", "subjects": "physics, biology", "chunk": "[doc]\n[000]Home | News\n[001]The mill.\n[/doc]",
    "task": "Say {{text}} again.", "answer": "Again.",
}  # fmt: skip


@pytest.fixture
def engine() -> Engine:
    return open_engine(parse("template:", "T"))


def said(engine: Engine, prompt: Prompt, **sampling: object) -> Answer | Failure:
    ((number, result),) = engine.generate([Request(prompt, Sampling(**{"max_tokens": 2000, **sampling}))])  # type: ignore[arg-type]
    assert number == 0
    return result


@pytest.mark.parametrize("name", PROMPTS)
def test_every_prompt_of_ours_is_known_again_and_answered(name: str, engine: Engine) -> None:
    prompt = load_prompt(name)
    values = {place: VALUES[place] for place in prompt.fields}
    assert recognised(prompt.chat(**values)) == (prompt, values)
    answer = said(engine, prompt.chat(**values))
    assert isinstance(answer, Answer)
    assert answer.text.startswith(prompt.prefix)
    assert answer.finish == "stop"
    assert answer == said(engine, prompt.chat(**values))


def test_what_nobody_wrote_a_rule_for_fails(engine: Engine) -> None:
    for prompt in (Prompt(chat=(("user", "Who built the mill?"),)), Prompt(text="Once upon a time")):
        assert isinstance(said(engine, prompt), Failure)
    finnish = said(engine, load_prompt("translate").chat(text=TEXT, language="Finnish"))
    assert finnish == Failure("the template engine has words of German, French, Spanish, and none of Finnish")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("The mill at Lenham was built by Thomas Hale.", ["Lenham", "Thomas Hale"]),
        ("The Royal Society met. Nobody came.", ["Royal Society"]),
        ("London is old. He left London.", ["London"]),
        ("Rivers rise. They fall.", []),
        ("He met the Bishop of Durham and Ann Lee, in May.", ["Bishop of Durham", "Ann Lee"]),
        ("Die Mühle von Anna Weiß am Neckar.", ["Die Mühle von Anna Weiß", "Neckar"]),
        ("", []),
    ],
)
def test_names(text: str, names: list[str]) -> None:
    assert source(text).names == names


@pytest.mark.parametrize(
    ("sentence", "question", "answer"),
    [
        ("Thomas Hale built it in 1842.", "\u2026 built it in 1842?", "Thomas Hale"),
        ("It closed in 1931.", "It closed in \u2026?", "1931"),
        ("Nobody crosses the river.", "Nobody \u2026 the river?", "crosses"),
    ],
)
def test_gaps(sentence: str, question: str, answer: str) -> None:
    assert cloze(sentence, ("Thomas Hale",)) == (question, answer)


def test_the_synthesizer_answers_the_last_text(engine: Engine) -> None:
    prompt = shot("An earlier text.", []) + reading("It closed in 1931.")
    answer = said(engine, Prompt(text=prompt))
    assert isinstance(answer, Answer)
    assert parse_pairs(answer.text) == ((("It closed in \u2026?", "1931"),), ())


@pytest.mark.parametrize(
    "text", [TEXT, "", " \n\t ", "Grüße 水車 \U0001f600 __ a\u0301", "x" * 99, "\ud800 half", "\x00"]
)
def test_any_text_comes_back_from_its_tokens(text: str) -> None:
    assert decode(encode(text, True)) == text
    assert decode([token for word in text for token in encode(word)]) == text


def test_english_has_about_as_many_tokens_as_large_models_count() -> None:
    assert 1.15 < len(encode(TEXT)) / len(TEXT.split()) < 1.6


def test_answers_are_cut_at_max_tokens_and_stops(engine: Engine) -> None:
    prompt = load_prompt("wrap-medium").chat(text=TEXT)
    cut = said(engine, prompt, max_tokens=5)
    assert isinstance(cut, Answer)
    assert (cut.finish, cut.usage.completion_tokens, len(encode(cut.text))) == ("length", 5, 5)
    stopped = said(engine, prompt, stop=("Lenham",))
    assert isinstance(stopped, Answer)
    assert stopped.text == "The water mill at "


def test_scores_vectors_and_marks(engine: Engine) -> None:
    ((_, scored),) = engine.score([Prompt(tokens=tuple(encode("mill mill mill")))])
    assert isinstance(scored, Scored)
    assert len(scored.logprobs) == 2
    assert scored.logprobs[1] > scored.logprobs[0]  # met before
    ((_, one), (_, same), (_, other)) = engine.embed([Prompt(text=t) for t in ("the old mill", "old the mill", "x y")])
    assert isinstance(one, Vector)
    assert isinstance(same, Vector)
    assert isinstance(other, Vector)
    assert one.values @ one.values == pytest.approx(1)
    assert one.values @ same.values == pytest.approx(1)
    assert one.values @ other.values < 0.5
    judge = open_engine(parse("template:?labels=a, b", "T"))
    assert judge.labels == ("a", "b")
    ((_, marks),) = judge.classify([Prompt(text=TEXT)])
    assert isinstance(marks, Vector)
    assert marks.values.shape == (2,)
    assert all(0 <= mark <= 5 for mark in marks.values)


def test_its_answers_are_nobody_elses() -> None:
    spec = parse("template:?prompt_price=2", "T")
    assert (spec.model_id, spec.folder, spec.cost(1_000_000, 0)) == ("template-1", None, 2.0)
    with pytest.raises(StageError, match=r"engine template: is no 'gpt-4': leave `model` unset"):
        open_asker(spec, "gpt-4")
    for engine in ("template:gpt-4", "template:#gpt-4"):
        with pytest.raises(ValueError, match=r"T: engine .* template: has no model"):
            parse(engine, "T")
