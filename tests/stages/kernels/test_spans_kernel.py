"""Words with their places, their hashes, and windows that are told apart by both of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.kernels import fold, spans
from tests.stages.kernels.test_minhash_kernel import TEXTS
from tests.stages.substring_reference import words_of


def read(text: str) -> tuple[list[tuple[int, int]], list[int]]:
    """(both hashes of each word, where each begins and the text ends)."""
    data = np.frombuffer(text.encode(), np.uint8)
    most = spans.most_words(len(data))
    hashes, places = np.empty((2, most), np.uint64), np.empty(most + 1, np.uint32)
    n = spans.read_words(data, 0, len(data), fold.table(), hashes, places)
    return list(zip(*hashes[:, :n].tolist(), strict=True)), places[: n + 1].tolist()


@given(st.lists(TEXTS, max_size=4))
def test_words_are_told_apart_by_each_hash_and_begin_where_they_do(texts: list[str]) -> None:
    known: dict[str, tuple[int, int]] = {}
    for text in texts:
        hashes, places = read(text)
        expected = words_of(text)
        assert places == [*(at for _, at in expected), len(text)]
        for (word, _), both in zip(expected, hashes, strict=True):
            assert known.setdefault(word, both) == both
    for number in (0, 1):
        assert len({both[number] for both in known.values()}) == len(known)


def test_words_are_folded_but_for_their_digits() -> None:
    hashes, places = read("Élan 2024 élan, 2025 E\u0301LAN 3.14")
    assert places == [0, 5, 10, 16, 21, 27, 29, 31]
    assert hashes[0] == hashes[2] == hashes[4]
    assert len(set(hashes)) == 5


def test_no_text_holds_more_words_than_there_is_room_for() -> None:
    for text in ("a", "a b", "a b c", "今日", "a今b日", "a今b"):
        data = text.encode()
        assert len(words_of(text)) <= spans.most_words(len(data))
    assert spans.most_words(0) == 1


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 40))
def test_rolled_hashes_are_equal_where_words_are(words: list[int], size: int) -> None:
    if size > len(words):
        return
    rolled = np.zeros(len(words), np.uint64)
    spans.roll(np.array(words, np.uint64), len(words), size, np.uint64(0xA0761D6478BD642F), rolled)
    windows = [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
    pairs = set(zip(windows, rolled.tolist(), strict=False))
    assert len(pairs) == len(set(windows)) == len({value for _, value in pairs})


def find(first: list[int], second: list[int], place: list[int], document: list[int]) -> list[list[int]]:
    """The pieces among runs of one window each, of three words, in their order."""
    n = len(first)
    found = np.empty((n, 4), np.int64)
    arrays = (np.array(values, np.uint64) for values in (first, second))
    order, offsets = np.arange(n), np.arange(n + 1)
    count = spans.find_repeats(order, np.array(document), np.array(place), offsets, *arrays, 3, found)
    return found[:count].tolist()


def test_windows_are_equal_if_both_hashes_are() -> None:
    assert find([7, 7, 7, 8, 7], [1, 2, 1, 1, 2], [0] * 5, [0, 1, 2, 3, 4]) == [[2, 2, 2, 0], [4, 4, 4, 1]]


def test_hashes_that_share_a_slot_are_told_apart() -> None:
    first = [16 * i for i in range(16)] * 2
    assert find(first, first, [0] * 32, list(range(32))) == [[i + 16, i + 16, i + 16, i] for i in range(16)]


def test_repeats_do_not_overlap_their_first_place() -> None:
    assert find([7] * 4, [1] * 4, [0, 2, 3, 9], [0, 0, 0, 0]) == [[2, 2, 2, 0], [3, 3, 3, 0]]
    assert find([7] * 2, [1] * 2, [0, 2], [0, 1]) == [[1, 1, 1, 0]]


def test_neighbours_of_one_source_are_one_piece() -> None:
    numbers = np.array([1, 2, 3, 9, 4, 1, 2, 8, 3, 4], np.uint64)  # windows of documents 0, 1 and 2
    found = np.empty((10, 4), np.int64)
    offsets, document, place = np.array([0, 3, 5, 10]), np.array([0, 1, 2]), np.zeros(3, np.int64)
    n = spans.find_repeats(np.arange(3), document, place, offsets, numbers, numbers, 3, found)
    assert found[:n].tolist() == [[2, 5, 6, 0], [2, 8, 8, 0], [2, 9, 9, 1]]
