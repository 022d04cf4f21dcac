"""A training of a few seconds: the loss falls, the folder is the model, and a seed is a model."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from stages.models.refiner import folder
from stages.models.refiner.corpus import Window, example
from stages.models.refiner.evaluate import generator
from stages.models.refiner.muon import orthogonal
from stages.models.refiner.tokenizer import train_tokenizer
from stages.models.refiner.train import DECIDING, SHAPES, Phase, Settings, Shape, Trained, _loss, new_model, train
from stages.refine.labels import Document
from stages.refine.profile import read_profile

SHAPE = Shape(vocabulary=1420, hidden=32, intermediate=48, layers=2, heads=2, positions=512)
DOCUMENTS = [
    Document(
        f"d{i}",
        f"d{i}",
        "en",
        "people",
        ("Home", "Contact", f"The mill of {name} stands by the sea.", "Share"),
        (False, False, True, False),
    )
    for i, name in enumerate(("Ann", "Bob", "Cyd", "Dan", "Eve", "Flo", "Gus", "Hal"))
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer([line for d in DOCUMENTS for line in d.lines], SHAPE.vocabulary)


def run(tokenizer: Any, steps: int) -> Trained:
    torch.set_num_threads(1)
    settings = Settings(steps=steps, shape=SHAPE, windows=(Phase(1.0, 40, 60, 160),))
    return train(DOCUMENTS, tokenizer, settings, clock=lambda: 0.0, tell=lambda _: None)


@pytest.fixture(scope="module")
def trained(tokenizer: Any) -> Trained:
    return run(tokenizer, 200)


def test_the_loss_falls(trained: Trained) -> None:
    assert [step for step, _, _ in trained.losses] == [100, 200]
    assert trained.losses[1][1] < 0.7 * trained.losses[0][1]
    assert trained.losses[1][2] < trained.losses[0][2]


def test_a_seed_is_a_model(tokenizer: Any) -> None:
    weights = [run(tokenizer, 3).model.state_dict() for _ in range(2)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_minutes_become_steps(tokenizer: Any) -> None:
    seconds = iter(float(i) for i in range(1000))
    settings = Settings(minutes=0.1, shape=SHAPE, windows=(Phase(1.0, 40, 60, 100),))
    found = train(DOCUMENTS, tokenizer, settings, clock=lambda: next(seconds), tell=lambda _: None)
    assert found.steps == 5  # a batch takes a second, and 1.15 with its update: 6 seconds hold five


def test_the_folder_is_the_model(trained: Trained, tokenizer: Any, tmp_path: Path) -> None:
    folder.save(tmp_path, trained.model, tokenizer)
    model, read = folder.load(tmp_path)
    assert model.dtype == torch.float32
    stored = model.state_dict()
    for name, weight in trained.model.state_dict().items():
        assert torch.equal(stored[name], weight.half().float())
    text = "[doc]\n[000]Home\n[001]The mill of Ann stands by the sea.\n[/doc]"
    assert read.encode(text) == tokenizer.encode(text)
    assert read.eos_token_id == model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert len(generator(model, read, max_new_tokens=4)([text, text + "x"])) == 2
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float32"


def test_the_stage_reads_what_the_folder_says(trained: Trained, tokenizer: Any, tmp_path: Path) -> None:
    folder.save(tmp_path, trained.model, tokenizer, chunk_tokens=300)
    profile = read_profile(tmp_path)
    assert (profile.compat, profile.prompt_format, profile.chunk_tokens) == (False, "plain", 300)
    assert profile.context <= Shape().positions


def test_a_number_begins_as_the_sum_of_its_digits(tokenizer: Any) -> None:
    vectors = new_model(SHAPE, tokenizer).get_input_embeddings().weight
    at = {n: vectors[tokenizer.convert_tokens_to_ids(n)] for n in ("012", "013", "512", "513")}
    assert torch.allclose(at["013"] - at["012"], at["513"] - at["512"], atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 5, 12), (2, 12, 5)])
def test_orthogonal_brings_singular_values_near_one(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(*shape)))
    assert values.min() > 0.3 and values.max() < 1.4


def test_labels_that_are_sure_give_the_cross_entropy_of_the_program_and_others_lie_between(tokenizer: Any) -> None:
    torch.manual_seed(1)
    model = new_model(SHAPE, tokenizer).eval()
    head = torch.nn.Linear(SHAPE.hidden, 2 + SHAPES)
    document = DOCUMENTS[0]
    made = example(Window(0, document.lines, (1.0, 0.0, 0.0, 1.0)), tokenizer)
    logits = model(input_ids=torch.tensor([made.ids])).logits[0, made.answer - 1 : -1]
    each = torch.nn.functional.cross_entropy(logits, torch.tensor(made.targets), reduction="none")
    places = range(made.answer - 1, len(made.ids) - 1)
    weights = torch.tensor([DECIDING if place in made.decisions else 1.0 for place in places])
    losses = [
        float(_loss(torch, model, head, [made._replace(noise=noise)])[0].detach())
        for noise in ([1.0, 0.0, 0.0, 1.0], [0.0] * 4, [1.0] * 4, [0.5] * 4)
    ]
    assert losses[0] == pytest.approx(float(((each * weights).sum() / weights.sum()).detach()), rel=1e-5)
    assert losses[3] == pytest.approx((losses[1] + losses[2]) / 2, rel=1e-5)
    assert len({round(loss, 4) for loss in losses}) == 4
