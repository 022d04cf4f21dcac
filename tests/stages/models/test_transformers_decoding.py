"""Tokens are drawn from the distribution that temperature and top_p ask for; literal logits in, tokens out."""

import math

import pytest
import torch

from stages.models.decoding import Voice, choose, voice
from stages.models.engine import Answer, Sampling, Usage
from tests.stages.models import tiny

PROBABILITIES = [0.5, 0.25, 0.15, 0.1]
LOGITS = torch.tensor(PROBABILITIES).log()


def draw(sampling: Sampling, n: int = 4000, rows: int = 500) -> list[float]:
    """Shares of the tokens that `n` draws over LOGITS take, by `rows` rows with seeds of their own."""
    voices = [voice((1,), Sampling(9, sampling.temperature, sampling.top_p, seed=i), None, "cpu") for i in range(rows)]
    taken = [token for _ in range(n // rows) for token in choose(voices, LOGITS.repeat(rows, 1))]
    return [taken.count(token) / n for token in range(4)]


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_tokens_are_drawn_as_often_as_they_are_probable(temperature: float) -> None:
    weights = [p ** (1 / temperature) for p in PROBABILITIES]
    for share, weight in zip(draw(Sampling(9, temperature)), weights, strict=True):
        p = weight / sum(weights)
        assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / 4000)


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.01, 1), (0.49, 1), (0.51, 2), (0.74, 2), (0.76, 3), (0.89, 3), (0.91, 4), (1.0, 4)]
)
def test_top_p_keeps_the_fewest_tokens_that_reach_it(top_p: float, kept: int) -> None:
    shares = draw(Sampling(9, 1.0, top_p), n=1000)
    assert [share > 0 for share in shares] == [True] * kept + [False] * (4 - kept)


def test_only_rows_with_a_temperature_draw_and_ended_ones_do_not() -> None:
    logits = torch.stack([LOGITS] * 3)
    drawing = [voice((1,), Sampling(9, 9.0, seed=7), None, "cpu") for _ in range(2)]
    drawing[1].finish = "stop"
    state = drawing[1].generator.get_state()
    for _ in range(20):
        greedy, _, ended = choose([Voice(Sampling()), *drawing], logits)
        assert greedy == ended == 0
    assert torch.equal(drawing[1].generator.get_state(), state)
    assert not torch.equal(drawing[0].generator.get_state(), state)
    assert torch.equal(logits[1], LOGITS)  # what the model returned is not written to


@pytest.mark.parametrize(
    ("letters", "sampling", "wanted"),
    [
        ("cd$", Sampling(9), ("cd", "stop", 3)),
        ("cd$", Sampling(3), ("cd", "stop", 3)),
        ("cde", Sampling(3), ("cde", "length", 3)),
        ("cde", Sampling(9, stop=("e",)), ("cd", "stop", 3)),
        ("cde", Sampling(3, stop=("e",)), ("cd", "stop", 3)),
        ("cdef", Sampling(9, stop=("f", "de")), ("c", "stop", 3)),
        ("$", Sampling(9), ("", "stop", 1)),
        ("c", Sampling(1, stop=("never",)), ("c", "length", 1)),
    ],
)
def test_answers_end_where_they_should(letters: str, sampling: Sampling, wanted: tuple[str, str, int]) -> None:
    words = tiny.tokenizer()
    mine = Voice(sampling)
    for letter in letters:
        if mine.finish is None:
            mine.take(2 if letter == "$" else words.convert_tokens_to_ids(letter), (2,), words)
    assert mine.answer(5, (2,), words, 0.5) == Answer(wanted[0], wanted[1], Usage(5, wanted[2], 0.5))  # type: ignore[arg-type]
