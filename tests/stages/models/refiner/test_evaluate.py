"""Figures, rules and annotation, on literal programs."""

from collections.abc import Sequence
from typing import cast

import pytest

from stages.models.ask import Asker
from stages.models.engine import Answer, Engine, Failure, Request, Usage
from stages.models.refiner.annotate import PROMPTS, Text, annotate
from stages.models.refiner.evaluate import figures, refine, removed_lines
from stages.models.refiner.rules import best_rule, one_rule
from stages.models.spec import parse
from stages.refine.labels import Document
from stages.refine.lines import Chunk

DOCUMENT = Document(
    "d",
    "d",
    "en",
    "people",
    ("Home", "One two three four.", "", "Share", "Last words here."),
    (False, True, True, False, True),
)
PART = Chunk(3, 5, "", 0)


def cost(lines: Sequence[str]) -> list[int]:
    return [1] * len(lines)


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        ("remove_lines(line_start=003, line_end=004)", {3, 4}),
        ("keep_all()", set()),
        ("remove_lines(all=True)", {3, 4, 5}),
        ("remove_lines(line_start=2, line_end=3)", None),  # a line that it was not shown
        ("remove_lines(line_start=", None),
        ("", None),
    ],
)
def test_a_program_with_a_fault_removes_nothing(output: str, lines: set[int] | None) -> None:
    assert removed_lines(output, PART) == lines


def test_documents_are_refined_chunk_by_chunk() -> None:
    asked: list[str] = []

    def generate(prompts: Sequence[str]) -> list[str]:
        asked.extend(prompts)
        return ["remove_lines(line_start=000, line_end=000)", "remove_lines(line_start=9, line_end=9)"]

    (found,) = refine([DOCUMENT], generate, cost, 3)
    assert asked == [
        "[doc]\n[000]Home\n[001]One two three four.\n[002]\n[/doc]",
        "[doc]\n[003]Share\n[004]Last words here.\n[/doc]",
    ]
    assert found == (frozenset({0}), 2, 1)


def test_figures_by_hand() -> None:
    found = figures([DOCUMENT], [frozenset({0, 1})])
    # removed: one noise line, one main line; one noise line stays; a blank line does not count
    assert found["lines"] == 4
    assert (found["f1"], found["precision"], found["recall"]) == (0.5, 0.5, 0.5)
    assert (found["keep_f1"], found["macro_f1"], found["accuracy"]) == (0.5, 0.5, 0.5)
    assert found["words_kept"] == 0.4444  # 4 of 9


def test_to_keep_all_scores_nothing_but_the_keep_side() -> None:
    found = figures([DOCUMENT], [frozenset()])
    assert (found["f1"], found["keep_f1"], found["macro_f1"]) == (0.0, 0.6667, 0.3333)


def test_the_best_rule_is_found() -> None:
    lines = tuple(f"menu {i}" for i in range(5)) + tuple(
        "A sentence of very many words that goes on and on." for _ in range(5)
    )
    rule = best_rule([Document("a", "a", "en", "x", lines, (False,) * 5 + (True,) * 5)])
    assert rule.score == 1.0
    assert rule.removed(DOCUMENT._replace(lines=("menu 7", lines[-1]), keep=(False, True))) == frozenset({0})
    with pytest.raises(ValueError, match="no line to fit a rule to"):
        best_rule([])


def test_one_rule_for_all_sources_has_the_best_macro_f1_in_their_mean() -> None:
    short = Document("a", "a", "en", "x", ("menu", "home", "a much longer line of text"), (False, False, True))
    mixed = Document(
        "b", "b", "en", "y", ("note", "a line of some words", "another line of words"), (True, True, False)
    )
    assert best_rule([short]).score == best_rule([mixed]).score == 1.0
    rule = one_rule([[short], [mixed]])
    by_hand = [figures([d], [rule.removed(d)])["macro_f1"] for d in (short, mixed)]
    assert rule.score == pytest.approx(sum(by_hand) / 2, abs=1e-4)
    assert rule.score < 1.0


class Said:
    """An engine that answers each request with the next of `texts`."""

    def __init__(self, *texts: str | None) -> None:
        self.texts, self.asked = texts, list[str]()

    def generate(self, requests: Sequence[Request]) -> list[tuple[int, Answer | Failure]]:
        prompts = [r.prompt.text or (r.prompt.chat or ((None, ""),))[-1][1] for r in requests]
        self.asked += prompts
        found = [Failure("no") if t is None else Answer(t, "stop", Usage()) for t in self.texts]
        return list(enumerate(found))


def asker(engine: Said) -> Asker:
    return Asker(parse("transformers:x", "test"), cast(Engine, engine), "x")


TEXT = Text("t", "t.example", "en", "Home\nThe mill stands at the mouth of the creek.\nAll rights reserved")


def test_an_annotator_is_asked_for_each_kind_of_noise() -> None:
    engine = Said("remove_lines(start=0, end=0)", "untouch_doc()", "remove_lines(start=2, end=2)")
    found = annotate([TEXT], asker(engine))
    assert found.rejected == {}
    (document,) = found.documents
    assert (document.name, document.source, document.keep) == ("t#0", "annotated", (False, True, False))
    assert len(engine.asked) == len(PROMPTS) == 3
    assert all("[000]Home" in prompt for prompt in engine.asked)


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (("keep_all()", "keep_all()", "I think that line 0 is a menu."), "program with faults"),
        (("keep_all()", None, "keep_all()"), "no answer"),
        (("remove_lines(start=0, end=2)", "keep_all()", "keep_all()"), "too much removed"),
        (("remove_lines(all=True)", "keep_all()", "keep_all()"), "too much removed"),
        (("remove_lines(start=0, end=7)", "keep_all()", "keep_all()"), "program with faults"),
    ],
)
def test_unsound_programs_are_no_labels(answers: tuple[str | None, ...], why: str) -> None:
    assert annotate([TEXT], asker(Said(*answers))) == ([], {why: 1})


def test_a_refiner_annotates_in_its_own_form() -> None:
    engine = Said("remove_lines(line_start=000, line_end=000)")
    found = annotate([TEXT], asker(engine), "plain")
    assert engine.asked == [
        "[doc]\n[000]Home\n[001]The mill stands at the mouth of the creek.\n[002]All rights reserved\n[/doc]"
    ]
    assert found.documents[0].keep == (False, True, True)
