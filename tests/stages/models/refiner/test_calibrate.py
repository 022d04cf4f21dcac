"""Where the line is drawn: the best F1 of noise and macro F1, in the mean over the sources."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from stages.models.refiner.calibrate import DOCUMENTS, best_shift, calibrate, windows_of
from stages.models.refiner.corpus import TAUGHT, Example, Window, example
from stages.models.refiner.tokenizer import REMOVE, train_tokenizer
from stages.models.refiner.train import Shape, new_model
from stages.refine.labels import Document

NOISE, KEEP = True, False


def source(margins: list[float], noise: list[bool]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(margins), np.array(noise)


def test_noise_that_is_below_the_line_is_lifted_over_it() -> None:
    assert best_shift([source([-0.5, -2.0], [NOISE, KEEP])]) == pytest.approx(0.55)


def test_text_that_is_above_the_line_is_brought_under_it() -> None:
    assert best_shift([source([2.0, 1.0], [NOISE, KEEP])]) == pytest.approx(-1.0)  # the least of those alike
    assert best_shift([source([-9.0, -9.0], [NOISE, KEEP])]) == 0.0


def test_a_source_of_many_lines_does_not_decide_for_the_others() -> None:
    many = source([1.0, -0.1] * 50, [NOISE, KEEP] * 50)  # best as it is, a little worse from 0.1 on
    few = source([-0.32, -2.0], [NOISE, KEEP])  # nothing is found below 0.32
    assert best_shift([many]) < 0.1
    assert best_shift([many, few, few]) == pytest.approx(0.35)


TOKENIZER = train_tokenizer(["Home", "The mill stands by the sea."], 1420)
SHAPE = Shape(vocabulary=1420, hidden=32, intermediate=48, layers=1, heads=2, positions=512)


def document(n: int, source: str = "people", keep: tuple[bool, ...] = (False, False, True)) -> Document:
    return Document(f"d{n}", f"d{n}", "en", source, ("Home", "", f"The mill of {n} stands by the sea."), keep)


def test_documents_are_asked_for_in_chunks_as_the_stage_makes_them() -> None:
    long = Document("l", "l", "en", "people", ("The mill stands by the sea.",) * 90, (True,) * 89 + (False,))
    windows = windows_of([document(1), long], TOKENIZER)["people"]
    assert windows[0] == Window(0, ("Home", "", "The mill of 1 stands by the sea."), (1.0, 1.0, 0.0))
    assert len(windows) > 2
    assert [w.first for w in windows[1:]] == [sum(len(w.lines) for w in windows[1:i]) for i in range(1, len(windows))]
    assert sum(len(w.lines) for w in windows[1:]) == 90
    assert windows[-1].noise[-1] == 1.0


def test_so_many_documents_of_a_source_whose_labels_are_sure() -> None:
    documents = [document(n, s) for s in ("people", f"{TAUGHT}/text", "pages/all") for n in range(DOCUMENTS + 5)]
    clean = [document(1, "clean", (True, True, True))]
    found = windows_of(documents + clean, TOKENIZER)
    assert {name: len(windows) for name, windows in found.items()} == {"people": DOCUMENTS, "pages/all": DOCUMENTS}


def call_logit(model: Any, made: Example) -> float:
    """Mean logit of a removal, where a decision is made."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([made.ids])).logits[0, made.decisions]
    return float(logits[:, TOKENIZER.convert_tokens_to_ids(REMOVE)].mean())


def test_the_logit_of_a_removal_grows_by_the_shift_in_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = new_model(SHAPE, TOKENIZER).eval()
    (window,) = windows_of([document(1)], TOKENIZER)["people"]
    made = example(window, TOKENIZER, gone=[False, False, False])  # which is what this model would write
    before = call_logit(model, made)
    monkeypatch.setattr("stages.models.refiner.calibrate.best_shift", lambda _: 1.5)
    assert calibrate(model, TOKENIZER, [document(1)]) == 1.5
    assert call_logit(model, made) - before == pytest.approx(1.5, abs=1e-4)


def test_without_noise_to_find_the_model_stays_as_it_is() -> None:
    model = new_model(SHAPE, TOKENIZER).eval()
    before = model.get_input_embeddings().weight.clone()
    assert calibrate(model, TOKENIZER, [document(1, keep=(True, True, True))]) == 0.0
    assert torch.equal(model.get_input_embeddings().weight, before)
