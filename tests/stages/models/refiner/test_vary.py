"""Variations of training windows: lines left out, words replaced, and nothing that a program or a label hangs on."""

from random import Random
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from stages.models.refiner.corpus import Window, example
from stages.models.refiner.tokenizer import train_tokenizer
from stages.models.refiner.train import Shape, new_model
from stages.models.refiner.vary import blurred, dropping, thinned

SHAPE = Shape(vocabulary=1420, hidden=32, intermediate=48, layers=2, heads=2, positions=512)
WINDOW = Window(7, ("Home", "The mill of Ann stands by the sea.", "", "Share this"), (1.0, 0.0, 0.0, 0.75))


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(list(WINDOW.lines), SHAPE.vocabulary)


def test_lines_that_are_left_out_take_their_labels_with_them() -> None:
    given = dict(zip(WINDOW.lines, WINDOW.noise, strict=True))
    made = [thinned(Random(seed), WINDOW, 1.0, most=0.9) for seed in range(50)]
    assert {len(window.lines) for window in made} == {1, 2, 3, 4}
    for window in made:
        assert window.first == 7
        assert all(given[line] == odds for line, odds in zip(window.lines, window.noise, strict=True))
        assert list(window.lines) == [line for line in WINDOW.lines if line in window.lines]
    assert thinned(Random(1), WINDOW, 0.0) == WINDOW


def test_words_are_replaced_and_numbers_ends_and_programs_are_not(tokenizer: Any) -> None:
    plain = [example(WINDOW, tokenizer), example(WINDOW._replace(first=3), tokenizer)]
    changed = 0
    for seed in range(20):
        for before, after in zip(plain, blurred(Random(seed), plain, 1.0, most=1.0), strict=True):
            assert after._replace(ids=before.ids) == before
            differ = {i for i, (a, b) in enumerate(zip(before.ids, after.ids, strict=True)) if a != b}
            text = {i for n, end in zip(before.numbers, before.ends, strict=True) for i in range(n + 2, end)}
            assert differ <= text
            changed += len(differ)
    assert changed > 0
    assert blurred(Random(1), plain, 0.0) == plain


def test_what_layers_add_is_dropped_in_training_alone(tokenizer: Any) -> None:
    torch.manual_seed(0)
    model, ids = new_model(SHAPE, tokenizer), torch.tensor([tokenizer.encode("[doc]\n[000]Home\n[/doc]")])
    hooks = dropping(torch, model, 0.5)
    first, second = (model.train()(input_ids=ids).logits for _ in range(2))
    assert not torch.equal(first, second)
    first, second = (model.eval()(input_ids=ids).logits for _ in range(2))
    assert torch.equal(first, second)
    for hook in hooks:
        hook.remove()
    first, second = (model.train()(input_ids=ids).logits for _ in range(2))
    assert torch.equal(first, second)
    assert dropping(torch, model, 0.0) == []
