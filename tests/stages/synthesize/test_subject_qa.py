"""Questions and answers by subject: labels, both forms, and the reasons of what is not taken."""

import pyarrow as pa
import pytest

from stages.models.engine import Failure, Request
from stages.prompts import load_prompt
from stages.synthesize.subject_qa import DISCIPLINES, SubjectQA, parse_subject
from tests.stages.rephrase.writers import SPEC, Writer, user
from tests.stages.synthesize.replies import MILL, Said, cut, documents, write, written

GOOD = "Question: When was the mill built?\nAnswer: In 1842."
Q, A = "When was the mill built?", "In 1842."


def both(label: Said, qa: Said = GOOD) -> "object":
    """The model's answers to the two prompts."""
    return lambda request: label if "Which of these subjects" in user(request) else qa


@pytest.mark.parametrize(
    ("reply", "subject"),
    [
        ("physics", "physics"),
        ("Subject: Physics.", "physics"),
        ("**Computer Science**\n\nIt is about programs.", "computer science"),
        ("The snippet is about earth  science", "earth science"),
        ("none", "subject_none"),
        ("None of them.", "subject_none"),
        ("\n", "subject_empty"),
        ("I'm sorry, but I cannot help with that.", "subject_refusal"),
        ("history", "subject_unknown"),
        ("astrophysics", "subject_unknown"),
        ("physics or chemistry", "subject_several"),
    ],
)
def test_labels(reply: str, subject: str) -> None:
    assert parse_subject(reply, DISCIPLINES) == subject


def test_a_subject_within_the_name_of_another_is_not_meant() -> None:
    assert parse_subject("computer science", ("science", "computer science")) == "computer science"


def test_both_forms_of_a_pair() -> None:
    first, second = write(SubjectQA, documents(MILL), both("physics"))
    assert (first["text"], first["variant"], first["subject"]) == (f"Question: {Q}\nAnswer: {A}", "qa", "physics")
    assert (second["text"], second["variant"]) == (f"{MILL}\n\nQuestion: {Q}\nAnswer: {A}", "snippet")
    assert first["pairs"] == second["pairs"] == [{"question": Q, "answer": A}]
    assert first["parents"] == second["parents"] == ["d0"]
    assert first["id"] != second["id"]
    assert [row["answers"][0]["calls"] for row in (first, second)] == [2, 0]  # both calls are told once
    assert {row["prompt_hash"] for row in (first, second)} == {load_prompt("syne-qa").hash}


@pytest.mark.parametrize(("form", "variants"), [("qa", ["qa"]), ("snippet", ["snippet"]), ("both", ["qa", "snippet"])])
def test_the_form_that_is_asked_for(form: str, variants: list[str]) -> None:
    assert [row["variant"] for row in write(SubjectQA, documents(MILL), both("physics"), form=form)] == variants


def test_the_model_is_told_the_subject() -> None:
    engine = Writer(both("Chemistry"))  # type: ignore[arg-type]
    written(SubjectQA(engine=SPEC), documents(MILL), engine)
    label, question = engine.asked
    assert "mathematics, physics, chemistry" in user(label)
    assert "Write one question in chemistry" in user(question)
    assert user(question).endswith(f"Text:\n{MILL}")


def test_a_column_has_the_label_and_the_model_is_not_asked() -> None:
    engine = Writer(lambda _: GOOD)
    rows = written(
        SubjectQA(engine=SPEC, subject="topic", form="qa"),
        documents(MILL, MILL, MILL, topic=["Biology", None, "cooking"]),
        engine,
    )
    assert [(row["subject"], row["drop_reason"]) for row in rows] == [
        ("biology", None), (None, "subject_none"), (None, "subject_unknown"),
    ]  # fmt: skip
    assert len(engine.asked) == 1
    assert [field.name for field in SubjectQA(subject="topic").reads] == ["id", "text", "topic"]


@pytest.mark.parametrize(
    ("reason", "label", "qa"),
    [
        ("subject_none", "none", GOOD),
        ("subject_unknown", "cooking", GOOD),
        ("reply_empty", "physics", "  "),
        ("reply_refusal", "physics", "I'm sorry, but I cannot help with that."),
        ("reply_no_task", "physics", "The mill was built in 1842."),
        ("task_truncated", "physics", cut("Question: When was the mill built?\nAnswer: In 18")),
        ("task_no_answer", "physics", "Question: When?"),
        ("task_no_question", "physics", "Answer: In 1842."),
        ("task_empty_answer", "physics", "Question: When?\nAnswer: "),
        ("task_markup", "physics", f"{GOOD}</s>"),
        ("guard_novel_number", "physics", "Question: When was it built?\nAnswer: In 1843."),
        ("guard_novel_url", "physics", f"{GOOD} See http://example.org."),
    ],
)
def test_what_is_not_taken_is_dropped_with_the_reason(reason: str, label: str, qa: Said) -> None:
    (row,) = write(SubjectQA, documents(MILL), both(label, qa))
    assert (row["drop_reason"], row["error"], row["parents"]) == (reason, None, ["d0"])
    assert (row["answers"][0]["decision"], row["answers"][0]["errors"]) == (reason, 1)


def test_a_failure_of_either_call_leaves_a_dead_row() -> None:
    rows = write(SubjectQA, documents(MILL), both(Failure("gone")))
    rows += write(SubjectQA, documents(MILL), both("physics", Failure("gone")))
    assert [(row["error"], row["drop_reason"]) for row in rows] == [
        ("Failure: syne-subject, snippet 1: gone", None),
        ("Failure: syne-qa, snippet 1: gone", None),
    ]


def test_snippets_are_drawn_by_hash() -> None:
    sentences = [f"Sentence {n} tells of a mill that has ground flour for {n} years." for n in range(40)]
    long = documents(" ".join(sentences)).slice(0)

    def snippets(table: pa.Table, seed: int = 1) -> list[str]:
        rows = write(SubjectQA, table, both("physics", "Question: What?\nAnswer: It is a mill."), form="snippet",
                     snippets=2, snippet_tokens=40, seed=seed)  # fmt: skip
        return [row["text"].partition("\n\n")[0] for row in rows if row["parents"] == ["d0"]]

    alone = snippets(long)
    assert len(set(alone)) == 2
    assert all(snippet in " ".join(sentences) for snippet in alone)
    other = pa.table({"id": ["x"], "text": pa.array(["Other words of a mill. " * 30], pa.large_string())})
    assert snippets(pa.concat_tables([other, long.cast(other.schema)])) == alone
    assert snippets(long, seed=2) != alone


def test_documents_with_nothing_to_show() -> None:
    rows = write(SubjectQA, documents("", None, "Too short."), both("physics"))
    assert [row["drop_reason"] for row in rows] == ["document_empty", "document_empty", "snippet_short"]
    assert {row["answers"] for row in rows} == {None}


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"SubjectQA.form should be one of qa, snippet, both, got 'text'"):
        SubjectQA(engine=SPEC, form="text")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"SubjectQA.snippets should be at least 1, got 0"):
        SubjectQA(engine=SPEC, snippets=0)
    with pytest.raises(ValueError, match=r"SubjectQA.subjects should name one at least"):
        SubjectQA(engine=SPEC, subjects=())
    with pytest.raises(ValueError, match="prompt r2s-plan has a place 'facts'; places may be text, subject, subjects"):
        SubjectQA(engine=SPEC, prompt="r2s-plan")


def test_the_model_is_named_by_engine_or_setting() -> None:
    assert SubjectQA(engine=SPEC).model_id == "writer-7b"
    assert SubjectQA(engine=SPEC, model="mistral").model_id == "mistral"


def test_seeds_depend_on_the_document_and_the_prompt() -> None:
    seeds: dict[str, int | None] = {}

    def say(request: Request) -> str:
        seeds[user(request)] = request.sampling.seed
        return both("physics")(request)  # type: ignore[operator, no-any-return]

    write(SubjectQA, documents(MILL, MILL + " Again."), say)
    assert len(set(seeds.values())) == 4
    assert None not in seeds.values()
