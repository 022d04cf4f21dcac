"""The refiner's teacher: how likely noise each line is, of documents that it has not learnt from."""

from collections.abc import Iterator
from random import Random

import numpy as np
import pytest

pytest.importorskip("torch")

from threadpoolctl import threadpool_limits

from stages.models.refiner.corpus import Corpus, Mix, Window, example, noise_odds, shapes
from stages.models.refiner.teacher import TRUST, lines_of, teach
from stages.models.refiner.tokenizer import train_tokenizer
from stages.refine.labels import Document, unlabelled

MENU, LAST = ("Home", "Shop", "About us", "Contact"), "Terms of use"
TEXT = "The mill of number {} stands at the mouth of the creek, and it has two clocks on its wall for tide and village."
WEIGHTS = {"people": 0.2}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Trees of a thread a core stand still where something else has one of the cores: each waits for all."""
    with threadpool_limits(1):
        yield


def document(number: int, wrong: bool = False) -> Document:
    """Four lines of menu, a blank one, three of text, a footer; `wrong`: people took the second of text for noise."""
    lines = (*MENU, "", *(TEXT.format(10 * number + i) for i in range(3)), LAST)
    keep = (False, False, False, False, True, True, not wrong, True, False)
    return Document(f"d{number}", f"site{number}", "en", "people", lines, keep)


def test_texts_without_labels_get_them() -> None:
    text = unlabelled("x", "x", "en", "taught/text", f"Blog\nShop\n\n{TEXT.format(7)}\n{TEXT.format(8)}\nPrivacy")
    _, (taught,) = teach([document(i) for i in range(60)], [text], WEIGHTS)
    assert taught.keep == (False, False, True, True, True, False)
    assert min(taught.noise[0], taught.noise[1], taught.noise[5]) > 0.9
    assert max(taught.noise[3], taught.noise[4]) < 0.1
    assert taught.noise[2] == 0.0  # a blank line hangs on those around it
    assert taught._replace(keep=text.keep, noise=()) == text


def test_a_label_that_the_others_speak_against_is_softened_and_stays_a_label() -> None:
    documents = [document(i, wrong=i == 30) for i in range(60)]
    taught, others = teach(documents, [], WEIGHTS)
    assert others == []
    assert [d._replace(noise=()) for d in taught] == documents
    odds = taught[30].noise[6]
    assert TRUST - 0.1 < odds < TRUST + 0.1  # the teacher has not seen its site, and is sure of the contrary
    assert taught[31].noise[6] < 0.1
    assert min(taught[30].noise[:4]) > 0.9


def test_a_document_without_a_line_is_no_fault() -> None:
    empty = unlabelled("e", "e", "en", "taught/text", "\n\n")
    _, taught = teach(
        [document(i) for i in range(60)], [empty, unlabelled("y", "y", "en", "taught/text", "Home")], WEIGHTS
    )
    assert taught[0].noise == (0.0, 0.0, 0.0)
    assert taught[1].noise[0] > 0.5


def test_the_figures_of_a_line_do_not_cross_documents() -> None:
    alone, beside = lines_of([document(1)]), lines_of([document(0), document(1), document(2)])
    assert beside.ends == [8, 16, 24]
    assert np.array_equal(beside.figures[8:16], alone.figures)
    assert beside.texts[8:16] == alone.texts


def test_a_blank_line_is_as_likely_noise_as_the_less_likely_of_those_around() -> None:
    assert noise_odds(("a", "", "b", "", "", "c", ""), (0.9, 0, 0.2, 0, 0, 0.7, 0)) == [
        0.9,
        0.2,
        0.2,
        0.2,
        0.2,
        0.7,
        0.0,
    ]


def test_windows_and_examples_carry_what_the_teacher_said() -> None:
    taught = document(1)._replace(noise=(1.0, 0.9, 0.8, 0.6, 0.0, 0.3, 0.2, 0.1, 0.7))
    tokenizer = train_tokenizer([line for line in taught.lines if line] * 9, 1450)
    mix = Mix((("people", 1.0),), no_blanks=0.0, transplant=0.0, begin=1.0, shift=0.0)
    window = Corpus([taught], mix).window(Random(1), 400, tokenizer)
    assert window == Window(0, taught.lines, taught.noise)
    made = example(window, tokenizer)
    assert made.noise == [1.0, 0.9, 0.8, 0.6, 0.3, 0.3, 0.2, 0.1, 0.7]
    right = [made.targets[place + 1 - made.answer] == made.goes for place in made.decisions]
    assert right == [True] * 4 + [False] * 4 + [True]
    assert [stay == made.goes for stay in made.stays] == [False] * 9


def test_the_shape_of_a_line() -> None:
    (menu, text) = shapes(("Home", "A long enough sentence."))
    assert menu == pytest.approx([0.268, 0.268, 0.139, 0.0], abs=1e-3)
    assert text == pytest.approx([0.530, 0.399, 0.322, 1.0], abs=1e-3)
