"""Windows of labelled lines, and the programs that are right for them."""

from random import Random
from typing import Any

import pytest

pytest.importorskip("torch")

from stages.models.refiner.corpus import Corpus, Mix, Window, example, noise_lines, program, prompt
from stages.models.refiner.tokenizer import KEEP as KEEP_ALL
from stages.models.refiner.tokenizer import LINE, NEXT, REMOVE, train_tokenizer
from stages.refine.labels import Document
from stages.refine.program import RemoveLines, parse_program

LINES = ("Home", "A long enough sentence.", "", "Share", "", "Tags", "The end.")
KEEP = (False, True, True, False, False, False, True)
NOISE = tuple(float(not kept) for kept in KEEP)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(["Home Share Tags A long enough sentence. The end."] * 9, 1400)


def test_a_program_names_every_line_and_removes_the_noise() -> None:
    assert program(999, ("a", "b"), (True, False)) == "# 999\n# 1000\nremove_lines(line_start=1000, line_end=1000)"
    assert program(0, ("a", "", "b"), (True, False, True)) == "# 000\n# 001\n# 002\nkeep_all()"


def test_a_blank_line_goes_with_the_noise_on_both_sides_of_it() -> None:
    assert noise_lines(LINES, KEEP) == [True, False, False, True, True, True, False]
    assert noise_lines(("", "a", ""), (True, False, True)) == [False, True, False]
    assert noise_lines((), ()) == []


def test_the_parser_reads_what_the_model_is_taught() -> None:
    parsed = parse_program(program(0, LINES, KEEP), within=(0, 6))
    assert parsed.ops == tuple(RemoveLines(n, n) for n in (0, 3, 4, 5))
    assert not parsed.errors


def test_a_prompt_is_prox_s() -> None:
    assert prompt(9, ("a", "b")) == "[doc]\n[009]a\n[010]b\n[/doc]"


def test_an_example_knows_the_ends_of_lines(tokenizer: Any) -> None:
    made = example(Window(10, LINES, NOISE), tokenizer)
    text = tokenizer.convert_ids_to_tokens(made.ids)
    assert tokenizer.decode(made.ids[: made.answer]) == prompt(10, LINES)
    assert tokenizer.decode(made.ids[made.answer :], skip_special_tokens=True) == program(10, LINES, KEEP)
    assert made.ids[-1] == tokenizer.eos_token_id
    assert [text[i] for i in made.numbers] == [f"{n:03d}" for n in range(10, 17)]
    assert [text[i] for i in made.ends] == [LINE] * 6 + ["\n[/doc]"]
    assert made.noise == [1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]
    assert [text[i] for i in made.decisions] == [f"{n:03d}" for n in range(10, 17)]
    assert made.targets == made.ids[made.answer :]


def test_wrong_decisions_before_a_line_do_not_change_what_is_right_for_it(tokenizer: Any) -> None:
    wrong = 0
    for seed in range(20):
        made = example(Window(10, LINES, NOISE), tokenizer, Random(seed))
        said = [made.ids[place + 1] for place in made.decisions]
        right = [made.targets[place + 1 - made.answer] for place in made.decisions]
        assert tokenizer.convert_ids_to_tokens(right[:-1]) == [REMOVE, NEXT, NEXT, REMOVE, REMOVE, REMOVE]
        assert tokenizer.convert_ids_to_tokens(right[-1]) in (KEEP_ALL, tokenizer.eos_token)
        wrong += sum(a != b for a, b in zip(said, right, strict=True))
        parsed = parse_program(tokenizer.decode(made.ids[made.answer :], skip_special_tokens=True), within=(10, 16))
        assert not parsed.errors
    assert 20 < wrong < 60  # a quarter of 140, more or less


def test_windows_are_of_the_sources_and_fit(tokenizer: Any) -> None:
    documents = [Document(str(i), str(i), "en", "people", LINES * 9, KEEP * 9) for i in range(3)]
    corpus, rng, firsts = Corpus(documents, Mix(shift=0.5)), Random(1), set()
    assert set(corpus.names) == {"people", "generated"}
    for _ in range(200):
        window = corpus.window(rng, 60, tokenizer)
        assert 1 <= len(window.lines) == len(window.noise)
        cost = sum(len(tokenizer.encode(f"[000]{line}")) for line in window.lines)
        assert cost <= 60 or len(window.lines) == 1
        firsts.add(window.first)
    assert 0 in firsts and max(firsts) > 100


def test_nothing_to_learn_from_is_an_error() -> None:
    with pytest.raises(ValueError, match="no document to learn from"):
        Corpus([])
