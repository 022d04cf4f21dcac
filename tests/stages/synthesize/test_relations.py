"""Pairs and triples: how many, in which order, and what is no text on them."""

from itertools import combinations

import pytest

from stages.synthesize.relations import count, fault, relations


@pytest.mark.parametrize(
    ("entities", "pairs", "triples"),
    [(3, 3, 1), (5, 10, 10), (10, 45, 120), (20, 190, 1140), (40, 780, 9880), (1, 0, 0)],
)
def test_counts_are_those_of_the_paper(entities: int, pairs: int, triples: int) -> None:
    names = tuple(f"e{i}" for i in range(entities))
    assert (count(entities, triples=False), count(entities)) == (pairs, pairs + triples)
    assert len(relations(names, "d", 42, 10**6)) == pairs + triples


def test_each_pair_and_then_each_triple_once_in_the_order_of_the_names() -> None:
    found = relations(("A", "B", "C", "D"), "d", 42, 10)
    assert sorted(found[:6]) == list(combinations("ABCD", 2))
    assert sorted(found[6:]) == list(combinations("ABCD", 3))


def test_a_smaller_budget_is_the_beginning_of_a_larger_one() -> None:
    names = tuple("ABCDEFGH")
    whole = relations(names, "d", 42, 1000)
    assert all(relations(names, "d", 42, most) == whole[:most] for most in range(len(whole) + 1))


def test_the_order_depends_on_seed_and_document_alone() -> None:
    names = tuple("ABCDEFGH")
    assert relations(names, "d", 42, 99) == relations(names, "d", 42, 99)
    assert relations(names, "d", 43, 28) != relations(names, "d", 42, 28)
    assert relations(names, "e", 42, 28) != relations(names, "d", 42, 28)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("### Discussion of T in relation to Ada\nAda built the MILL.", None),
        (" \n", "relation_empty"),
        ("Ada built the mill.", "relation_no_section"),
        ("### Discussion\nAda built it.", "relation_missing_entity"),
        ("### On the\nmill and Ada", "relation_no_such"),
    ],
)
def test_what_is_no_text_on_its_entities(text: str, reason: str | None) -> None:
    expected = None if reason == "relation_no_such" else reason  # a name may be broken over two lines
    assert fault(("Ada", "the mill"), text) == expected


def test_signs_that_a_model_writes_its_own_way() -> None:
    assert fault(("O\u2019Neil", "Anglo-Saxon"), "### O'Neil\nand the Anglo\u2011Saxon mill") is None
