"""Planted copies: what each kind is, word for word, and that the same seed plants the same."""

import re
from itertools import pairwise

import numpy as np
import pytest

from cluster.errors import ConfigError
from pipelines.planted import KINDS, SHUFFLED, WORD, edit, generate, plant, shuffle

NUMBERS = [f"Word {a}{b}, the {b}{a} line of a text of fifty words." for a in "abcdefgh" for b in "ijklmnop"]
DOCUMENTS = [" ".join(NUMBERS[i : i + 8]) for i in range(56)]


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def test_half_of_the_documents_are_copied_once_each() -> None:
    planted = plant(DOCUMENTS, seed=1)
    assert planted.documents == 56
    assert list(planted.texts[:56]) == DOCUMENTS
    assert len(planted.pairs) == 28
    assert len({pair.of for pair in planted.pairs}) == 28
    assert sorted({pair.copy for pair in planted.pairs}) == list(range(56, 84))
    assert [pair.kind for pair in planted.pairs] == [*KINDS, *KINDS]
    assert len(set(planted.ids)) == 84


def test_each_kind_is_what_it_says() -> None:
    planted = plant(DOCUMENTS, seed=1)
    for pair in planted.pairs:
        old, new = planted.texts[pair.of], planted.texts[pair.copy]
        n, name = len(words(old)), pair.kind.name
        if name == "exact":
            assert new == old
        elif name == "edited":
            assert new != old
            assert abs(len(words(new)) - n) <= max(1, round(pair.kind.edited * n))
        elif name == "longer":
            assert new.startswith(f"{old}\n")
            assert len(words(new)) == 2 * n
        elif name == "half":
            assert old.startswith(new)
            assert len(words(new)) == n // 2
        else:
            assert pair.kind == SHUFFLED
            assert sorted(words(new)) == sorted(words(old))
            assert new != old


def test_a_copy_knows_its_origin_and_a_shuffled_text_has_none() -> None:
    planted = plant(DOCUMENTS, seed=1)
    exact, shuffled = planted.pairs[0], planted.pairs[len(KINDS) - 1]
    assert planted.ids[exact.copy] == f"{planted.ids[exact.of]}-exact"
    assert planted.origin(exact.copy) == planted.origin(exact.of) == exact.of
    assert planted.origin(shuffled.copy) == shuffled.copy


def test_a_seed_plants_the_same_and_another_does_not() -> None:
    assert plant(DOCUMENTS, seed=1) == plant(DOCUMENTS, seed=1)
    assert plant(DOCUMENTS, seed=1) != plant(DOCUMENTS, seed=2)
    assert generate(3, seed=1) == generate(3, seed=1)
    assert generate(3, seed=1) != generate(3, seed=2)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_an_edit_changes_so_many_words_and_leaves_the_rest(share: float) -> None:
    old = " ".join(f"old{a}{b}," for a in "abcdefghij" for b in "abcdefghij")
    new = edit(old, share, ["new"], np.random.default_rng(4))
    left = [word for word in words(new) if word != "new"]
    added = words(new).count("new")
    assert left == [word for word in words(old) if word in set(left)]  # in their order
    replaced_or_added = max(1, round(share * 100))
    assert 100 - len(left) <= replaced_or_added
    assert added <= replaced_or_added
    assert (100 - len(left)) + added >= replaced_or_added
    assert new.count(",") == 100


def test_a_letter_of_a_script_without_spaces_is_a_word() -> None:
    assert WORD.findall("水車は mill 42's 川") == ["水", "車", "は", "mill", "42", "s", "川"]
    new = shuffle("水車は、川の。", np.random.default_rng(0))
    assert (sorted(new), new[3], new[-1]) == (sorted("水車は、川の。"), "、", "。")


def test_made_up_documents_are_long_enough_and_unlike() -> None:
    texts = generate(200, seed=0)
    sizes = [len(words(text)) for text in texts]
    assert min(sizes) >= 50
    assert max(sizes) <= 2000
    shingles = [{tuple(w[i : i + 5]) for i in range(len(w) - 4)} for w in map(words, texts)]
    assert max(len(a & b) / len(a | b) for a, b in pairwise(shingles)) < 0.01


def test_too_few_documents_are_told() -> None:
    with pytest.raises(ConfigError, match="needs 28 documents of 50 words or more, of 30 that were read 27 are"):
        plant([*DOCUMENTS[:27], "a b", "", "c"], seed=0)
