"""The ledger: what was answered is found again, by anyone, at whatever moment the process ends."""

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster import ledger
from cluster.answers import store as ledger_store
from cluster.answers.index import Index, heads_of
from cluster.answers.store import ADVICE, ENTRY, Store
from cluster.errors import RunError
from cluster.ledger import UNWRITTEN, Ledger


def key(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()[:16]


def answer(number: int) -> bytes:
    return f"answer {number}".encode()


def add(book: Ledger, *numbers: int) -> None:
    for number in numbers:
        book.add(key(number), answer(number))


def found(book: Ledger, *numbers: int) -> list[int]:
    """Which of `numbers` are found, each with its own answer."""
    there = book.find([key(number) for number in numbers])
    assert there == {key(n): answer(n) for n in numbers if key(n) in there}
    return [number for number in numbers if key(number) in there]


@pytest.fixture(params=["file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    place = str(tmp_path / "ledger") if request.param == "file" else "memory://ledger"
    yield place
    Store(place, "x").folder.clear()


def test_what_was_added_is_found_at_once_and_after_the_flush_by_others(url: str) -> None:
    book = Ledger(url, "rate")
    add(book, 1, 2, 3)
    assert found(book, 0, 1, 2, 3) == [1, 2, 3]
    book.flush()
    assert found(book, 0, 1, 2, 3) == [1, 2, 3]
    assert found(Ledger(url, "refine"), 0, 1, 2, 3) == [1, 2, 3]


def test_one_object_a_batch_stays_and_tells_who_wrote_it(url: str) -> None:
    book = Ledger(url, "rate")
    for batch in range(3):
        add(book, *range(batch * 200, batch * 200 + 200))
        book.flush()
        book.flush()  # nothing to write
    assert book.store.names(piece=True) == []
    assert len(book.store.names()) == 3
    assert all(name.startswith("rate-") for name in book.store.names())
    assert found(Ledger(url, "x"), *range(600)) == list(range(600))


def test_writers_do_not_meet_in_a_name(tmp_path: Path) -> None:
    books = [Ledger(str(tmp_path), "rate") for _ in range(4)]
    for number, book in enumerate(books):
        add(book, number)
        book.flush()
    assert len(list(tmp_path.glob("*.parquet"))) == 4
    assert found(Ledger(str(tmp_path), "rate"), 0, 1, 2, 3) == [0, 1, 2, 3]


def test_no_more_than_so_many_answers_are_in_hand(url: str) -> None:
    book = Ledger(url, "rate")
    add(book, *range(UNWRITTEN + 100))
    assert len(found(Ledger(url, "other"), *range(UNWRITTEN + 100))) >= 100


def test_adding_waits_while_the_store_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book, go_on, added = Ledger(str(tmp_path), "rate"), threading.Event(), []
    full = threading.Event()
    real = Store.write

    def slow(self: Store, *arguments: Any, **options: Any) -> str:
        go_on.wait()
        return real(self, *arguments, **options)

    monkeypatch.setattr(Store, "write", slow)

    def adding() -> None:
        for number in range(UNWRITTEN + 1):
            add(book, number)
            added.append(number)
            if len(added) == UNWRITTEN:
                full.set()

    thread = threading.Thread(target=adding)
    thread.start()
    assert full.wait(60)
    thread.join(0.3)  # long enough to add one more, were there no limit
    assert thread.is_alive()
    assert len(added) == UNWRITTEN
    go_on.set()
    thread.join()
    assert len(added) == UNWRITTEN + 1


def test_answers_that_trickle_are_written_before_the_batch_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = threading.Event()
    real = Store.write

    def watched(self: Store, *arguments: Any, **options: Any) -> str:
        name = real(self, *arguments, **options)
        written.set()
        return name

    monkeypatch.setattr(Store, "write", watched)
    add(Ledger(str(tmp_path), "rate"), 7)
    assert written.wait(10)
    assert found(Ledger(str(tmp_path), "other"), 7) == [7]


def watch(monkeypatch: pytest.MonkeyPatch, after: Callable[[], None]) -> None:
    """`after` each change of the store, as if the process were killed there."""
    write, delete = Store.write, Store.delete

    def written(self: Store, *arguments: Any, **options: Any) -> str:
        name = write(self, *arguments, **options)
        after()
        return name

    def deleted(self: Store, names: Any) -> None:
        for name in names:
            delete(self, [name])
            after()

    monkeypatch.setattr(Store, "write", written)
    monkeypatch.setattr(Store, "delete", deleted)


def test_no_answer_is_lost_at_any_kill_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[int]] = []

    monkeypatch.setattr(ledger, "PIECES_AT_MOST", 4)  # so that pieces are joined, too
    watch(monkeypatch, lambda: seen.append(set(found(Ledger(str(tmp_path), "other"), *range(900)))))
    book = Ledger(str(tmp_path), "rate")
    for batch in range(3):
        add(book, *range(batch * 300, batch * 300 + 300))
        book.flush()
    assert len(seen) > 20
    assert all(before <= after for before, after in itertools.pairwise(seen))
    assert seen[-1] == set(range(900))


def killed(folder: Path, *numbers: int) -> None:
    """What a process leaves that is killed with these answers in two pieces."""
    store = Store(str(folder), "rate")
    for part in (numbers[::2], numbers[1::2]):
        store.write({key(n): answer(n) for n in part}, piece=True)


def test_pieces_of_the_dead_are_found_and_folded_into_one_object(tmp_path: Path) -> None:
    killed(tmp_path, 1, 2, 3, 4)
    killed(tmp_path, 5, 6)
    before = Ledger(str(tmp_path), "before")
    assert found(before, *range(8)) == [1, 2, 3, 4, 5, 6]
    assert Store(str(tmp_path), "rate").fold() == 4
    assert len(list(tmp_path.glob("*.parquet"))) == 1
    assert list((tmp_path / "pieces").iterdir()) == []
    assert found(Ledger(str(tmp_path), "after"), *range(8)) == [1, 2, 3, 4, 5, 6]


def test_fold_loses_nothing_at_any_kill_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed(tmp_path, 1, 2, 3, 4)
    seen: list[list[int]] = []
    watch(monkeypatch, lambda: seen.append(found(Ledger(str(tmp_path), "other"), 1, 2, 3, 4)))
    Store(str(tmp_path), "rate").fold()
    assert seen == [[1, 2, 3, 4]] * 3


def test_piece_that_was_replaced_since_it_was_listed_is_found_where_it_is_now(tmp_path: Path) -> None:
    killed(tmp_path, 1, 2)
    book = Ledger(str(tmp_path), "rate")
    Store(str(tmp_path), "other").fold()
    assert found(book, 1, 2, 3) == [1, 2]


def test_object_that_someone_has_deleted_is_asked_for_again(tmp_path: Path) -> None:
    book = Ledger(str(tmp_path), "rate")
    add(book, 1)
    book.flush()
    next(tmp_path.glob("*.parquet")).unlink()
    assert found(Ledger(str(tmp_path), "rate"), 1) == []
    assert found(book, 1) == []


def test_folding_beside_a_living_writer_costs_nothing_but_a_second_copy(tmp_path: Path) -> None:
    book = Ledger(str(tmp_path), "rate")
    add(book, *range(UNWRITTEN + 10))
    Store(str(tmp_path), "other").fold()
    book.flush()
    numbers = range(UNWRITTEN + 10)
    assert found(Ledger(str(tmp_path), "x"), *numbers) == list(numbers)
    assert list((tmp_path / "pieces").iterdir()) == []


def test_what_others_wrote_since_is_seen_at_the_next_refresh(tmp_path: Path) -> None:
    book, other = Ledger(str(tmp_path), "rate"), Ledger(str(tmp_path), "rate")
    add(other, 1)
    other.flush()
    book.refresh()  # a minute has not gone by
    assert found(book, 1) == []
    book.refresh(force=True)
    assert found(book, 1) == [1]


def test_keys_with_the_same_first_half_have_their_own_answers(tmp_path: Path) -> None:
    a, b, absent = (b"\x00" * 8 + bytes([n]) * 8 for n in range(3))
    for entry in ({a: b"A"}, {b: b"B"}):
        Store(str(tmp_path), "rate").write(entry)
    assert Ledger(str(tmp_path), "rate").find([a, b, absent]) == {a: b"A", b: b"B"}


def test_a_call_takes_sixteen_bytes_of_memory() -> None:
    index = Index()
    dice = np.random.default_rng(0)
    keys = [[dice.bytes(16) for _ in range(size)] for size in (500, 1, 700, 40, 40, 3000)]
    for number, some in enumerate(keys):
        index.add({number: heads_of(some)})
    assert (len(index), index.nbytes) == (4281, 16 * 4281)
    for number, some in enumerate(keys):
        assert index.find(some) == [[(number, row)] for row in range(len(some))]
    assert index.find([dice.bytes(16)]) == [[]]


@pytest.mark.parametrize("part", ["", "pieces"])
def test_object_that_cannot_be_read_ends_the_run_with_its_name(tmp_path: Path, part: str) -> None:
    book = Ledger(str(tmp_path), "rate")
    add(book, 1)
    book.flush()
    (file,) = tmp_path.glob("*.parquet")
    half = tmp_path / part / "half.parquet"
    half.parent.mkdir(exist_ok=True)
    half.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(RunError, match=rf"(?s)ledger .*half\.parquet cannot be read.*{ADVICE}"):
        Ledger(str(tmp_path), "rate")
    if part:
        with pytest.raises(RunError, match=r"half\.parquet cannot be read"):
            Store(str(tmp_path), "rate").fold()


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (pa.table({"text": ["a"]}), "key"),
        (pa.table({"key": ["a"], "answer": ["b"]}), "its keys are string"),
        (pa.table([pa.array([None], pa.binary(16)), ["b"]], names=["key", "answer"]), "with 1 nulls"),
    ],
)
def test_file_that_is_no_object_of_a_ledger_is_named(tmp_path: Path, table: pa.Table, why: str) -> None:
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(RunError, match=rf"rows\.parquet cannot be read: .*{why}"):
        Ledger(str(tmp_path), "rate")


def test_store_that_has_trouble_is_tried_again_and_then_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_store, "WAIT_S", 0.0)
    book, failures = Ledger(str(tmp_path), "rate"), [1, 2]
    real = type(book.store.folder).put

    def flaky(self: Any, name: str, data: bytes) -> None:
        if failures:
            failures.pop()
            raise ConnectionResetError("reset")
        real(self, name, data)

    monkeypatch.setattr(type(book.store.folder), "put", flaky)
    add(book, 1)
    book.flush()
    assert found(Ledger(str(tmp_path), "x"), 1) == [1]
    failures.extend(range(1000))
    add(book, 2)
    with pytest.raises(RunError, match=r"ledger .* cannot be written: ConnectionResetError: reset"):
        book.flush()
    with pytest.raises(RunError, match="cannot be written"):  # and whoever comes later is told too
        add(book, 3)


def test_threads_share_a_ledger(tmp_path: Path) -> None:
    book = Ledger(str(tmp_path), "rate")

    def work(first: int) -> None:
        for number in range(first, 600, 4):
            add(book, number)
            assert found(book, number) == [number]
            if number % 50 == first:
                book.flush()
        book.flush()

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    book.close()
    assert found(Ledger(str(tmp_path), "x"), *range(600)) == list(range(600))
    assert list((tmp_path / "pieces").glob("*")) == []


def test_only_the_row_groups_that_are_asked_for_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = 3 * ledger_store.ROWS
    Store(str(tmp_path), "rate").write({key(n): answer(n) for n in range(rows)})
    (file,) = tmp_path.glob("*.parquet")
    assert pq.read_schema(file).equals(ENTRY)
    assert pq.ParquetFile(file).num_row_groups == 3
    read, real = [], pq.ParquetFile.read_row_group

    def watched(self: pq.ParquetFile, group: int, **options: Any) -> pa.Table:
        read.append(group)
        return real(self, group, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", watched)
    wanted = [rows - 1, 0, 2]
    assert found(Ledger(str(tmp_path), "rate"), *wanted) == wanted
    assert read == [0, 2]
