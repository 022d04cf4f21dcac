"""The closed-book experiment: as many tokens in each arm, and answers that are marked as generation would."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def cpt(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import synthetic_cpt

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield synthetic_cpt
    torch.set_num_threads(threads)


@pytest.fixture
def small(cpt):
    size = cpt.SIZES["cpu"]
    return replace(size, known=4, documents=3, tokens=9_000, shape=replace(size.shape, hidden=32, layers=1, inner=32))


def test_arms_have_as_many_tokens_and_the_same_questions(cpt, small):
    world = cpt.make_world(7, seed=1)
    words = cpt.Words(cpt.vocabulary(world))
    streams = {arm: cpt.stream((arm,), world[4:], world[:4], words, small, 1, small.tokens) for arm in cpt.ARMS}
    assert {blocks.shape[1] for blocks in streams.values()} == {128}
    assert all(abs(len(blocks) * 128 - 13_500) < 3 * 128 for blocks in streams.values())
    asked = {arm: int((blocks == words.ids["question"]).sum()) for arm, blocks in streams.items()}
    assert max(asked.values()) - min(asked.values()) <= 10, asked  # a block's end is cut


def test_texts_of_one_article_are_adjacent_in_one_arm_alone(cpt):
    documents = cpt.make_world(3, seed=1)
    titles = {arm: [_title(text, documents) for text in next(cpt.texts_of(arm, documents, 1))] for arm in cpt.ARMS}
    changes = {arm: sum(a != b for a, b in pairwise(found)) for arm, found in titles.items()}
    assert changes["adjacent"] == 2
    assert changes["entigraph"] > 85
    assert sorted(titles["adjacent"]) == sorted(titles["entigraph"])


def _title(text, documents):
    (found,) = [d.title for d in documents if any(fact.subject in text for fact in d.facts)]
    return found


def test_texts_are_cut_at_the_number_of_tokens(cpt):
    assert cpt.taken(iter([[[1, 2], [3]], [[4, 5, 6]]]), 5) == [[1, 2], [3], [4, 5]]


def test_blocks_follow_one_another_across_texts_and_the_rest_is_left_out(cpt):
    assert cpt.packed([[1, 2, 3], [4], [5, 6, 7]], 2).tolist() == [[1, 2], [3, 4], [5, 6]]


def test_every_arm_has_words_for_all_its_texts(cpt):
    world = cpt.make_world(5, seed=2)
    words = cpt.Words(cpt.vocabulary(world))
    for arm in cpt.ARMS:
        assert all(words.text(text) for text in next(cpt.texts_of(arm, world, 3)))


def test_an_answer_is_right_when_greedy_generation_gives_it_and_ends(cpt):
    """Marked in one pass; `generate` of transformers is asked token by token."""
    documents = cpt.make_world(2, seed=1)
    words = cpt.Words(cpt.vocabulary(documents))
    model = cpt.fresh(words, cpt.Shape(32, 1, 64, 64), 0, "cpu")
    texts = [asked + answer for asked, answer in map(words.question, cpt.exam(documents)[:12])]
    rows = cpt.packed(texts * 60, 48)
    _, model = cpt.train(model, rows, 2e-2, 4, 1, lambda _: {})
    asked = cpt.exam(documents)[:24]
    verdicts = cpt.right(model, words, asked)
    for question, verdict in zip(asked, verdicts, strict=True):
        start, answer = words.question(question)
        said = model.generate(
            torch.tensor([start]),
            attention_mask=torch.ones(1, len(start), dtype=torch.long),
            max_new_tokens=len(answer),
            do_sample=False,
        )
        assert (said[0, len(start) :].tolist() == answer) is verdict
    assert 4 < sum(verdicts) < 24


def test_too_few_checkpoints_for_a_law_are_refused_before_the_training(cpt, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["synthetic_cpt.py", "--checkpoints", "7"])
    with pytest.raises(SystemExit):
        cpt.main()
    assert "--checkpoints should be at least 8" in capsys.readouterr().err


def test_an_interval_is_students(cpt):
    assert cpt.interval([1.0, 2.0, 3.0]) == {"mean": 2.0, "plus_minus": 2.48, "seeds": [1.0, 2.0, 3.0]}
    assert cpt.interval([1.0])["plus_minus"] is None
