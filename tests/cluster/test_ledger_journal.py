"""The journal of a ledger: what a killed process had in hand is found by whoever opens the ledger next."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from cluster.answers import journal as ledger_journal
from cluster.answers.journal import HEAD, MAGIC, Journal
from cluster.answers.store import Store
from cluster.errors import RunError
from cluster.ledger import Ledger
from tests.cluster.test_ledger import add, answer, found, key


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where journals are: in the folder that TMPDIR would name."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"headrace-ledger-{os.geteuid()}"


def files(place: Path) -> list[Path]:
    return sorted(place.rglob("*.journal"))


def dead(url: str, *numbers: int) -> None:
    """What a process leaves that dies with these answers in hand: the kernel closes its files."""
    journal = Journal(url)
    for number in numbers:
        journal.append(key(number), answer(number))
    journal.close()


def taken(url: str) -> dict[bytes, bytes]:
    """What someone takes over who opens the ledger now."""
    entries: dict[bytes, bytes] = {}
    Journal(url).take_over(entries.update)
    return entries


def url_of(folder: Path) -> str:
    return f"file://{folder}"


HELD = """
import sys
from cluster.ledger import Ledger
from cluster.answers.store import Store
from tests.cluster.test_ledger import add
Store.write = lambda *arguments, **options: sys.stdin.read()  # a store that takes for ever
book = Ledger(sys.argv[1], "rate")
add(book, *range(int(sys.argv[2])))
print("added", flush=True)
sys.stdin.read()
"""


def test_kill_9_loses_no_answer_that_was_added(tmp_path: Path, place: Path) -> None:
    folder, root = tmp_path / "ledger", Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", HELD, str(folder), "60"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "added\n"
        book = Ledger(str(folder), "other")
        assert found(book, *range(61)) == []  # a living process's are its own
        process.send_signal(signal.SIGKILL)
    book.refresh()  # a minute has not gone by
    assert found(book, *range(61)) == []
    book.refresh(force=True)
    assert found(book, *range(61)) == list(range(60))
    assert found(Ledger(str(folder), "third"), *range(61)) == list(range(60))
    assert files(place) == []
    assert len(list((folder / "pieces").iterdir())) == 1


def test_nothing_stays_of_what_is_on_storage(tmp_path: Path, place: Path) -> None:
    book = Ledger(str(tmp_path / "ledger"), "rate")
    add(book, *range(200))
    book.flush()
    assert list(place.iterdir()) == []
    add(book, 200)
    book.close()
    assert list(place.iterdir()) == []


def test_answers_are_in_the_journal_until_they_are_on_storage(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    safe: list[set[bytes]] = []  # at each write: what is in the journal, and what an earlier write has put on storage
    stored: set[bytes] = set()
    real, url = Store.write, url_of(tmp_path / "ledger")

    def watched(self: Store, entries: dict[bytes, bytes], **options: Any) -> str:
        safe.append(set(stored))
        for number, file in enumerate(files(place)):
            copy = tmp_path / f"copy-{len(safe)}-{number}"
            copy.write_bytes(file.read_bytes())
            with copy.open("rb") as opened:
                safe[-1] |= ledger_journal._entries(copy, opened.fileno()).keys()
        assert safe[-1] >= entries.keys()
        name = real(self, entries, **options)
        stored.update(entries)
        return name

    monkeypatch.setattr(Store, "write", watched)
    book = Ledger(url, "rate")
    book.note(key(1), answer(1))
    add(book, 1)
    book.flush()
    assert safe[0] == {key(1)}  # the first write had it from the journal alone
    assert stored == {key(1)}
    assert files(place) == []


def test_an_answer_that_was_noted_and_never_added_is_not_lost(tmp_path: Path, place: Path) -> None:
    url = url_of(tmp_path / "ledger")
    book = Ledger(url, "rate")
    book.note(key(1), answer(1))
    book.note(key(2), answer(2))
    add(book, 2)
    book.close()
    assert len(files(place)) == 1
    assert found(Ledger(url, "other"), 1, 2, 3) == [1, 2]


def test_ledgers_do_not_share_a_journal(tmp_path: Path) -> None:
    dead(url_of(tmp_path / "one"), 1)
    assert found(Ledger(str(tmp_path / "two"), "rate"), 1) == []
    assert found(Ledger(str(tmp_path / "one"), "rate"), 1) == [1]


def test_what_many_dead_processes_had_becomes_one_piece(tmp_path: Path, place: Path) -> None:
    folder = tmp_path / "ledger"
    for number in range(5):
        dead(url_of(folder), number, 9)
    book = Ledger(str(folder), "rate")
    assert found(book, *range(10)) == [0, 1, 2, 3, 4, 9]
    assert len(list((folder / "pieces").iterdir())) == 1
    assert list(place.iterdir()) == []


def test_store_that_fails_leaves_the_journal_for_the_next_run(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Store, *arguments: Any, **options: Any) -> str:
        raise RunError("the store is away")

    with monkeypatch.context() as patch:
        book = Ledger(str(tmp_path / "ledger"), "rate")
        patch.setattr(Store, "write", fails)
        add(book, 1)
        with pytest.raises(RunError, match="the store is away"):
            book.flush()
        assert book._journal is not None
        book._journal.close()  # as its process ends
        with pytest.raises(RunError, match="the store is away"):
            Ledger(str(tmp_path / "ledger"), "other")
    assert len(files(place)) == 1
    assert found(Ledger(str(tmp_path / "ledger"), "third"), 1) == [1]


def test_others_wait_for_who_takes_over(tmp_path: Path) -> None:
    """Or they would find neither the journal nor the piece, and pay again."""
    url, begun, go_on, order = url_of(tmp_path / "ledger"), threading.Event(), threading.Event(), []
    dead(url, 1)

    def slowly(entries: dict[bytes, bytes]) -> None:
        begun.set()
        go_on.wait()
        order.append("kept")

    first = threading.Thread(target=lambda: Journal(url).take_over(slowly))
    first.start()
    begun.wait()

    def second() -> None:
        Journal(url).take_over(lambda _: order.append("twice"))
        order.append("second")

    other = threading.Thread(target=second)
    other.start()
    other.join(0.2)  # long enough, were there nothing to wait for
    assert other.is_alive()
    go_on.set()
    first.join()
    other.join()
    assert order == ["kept", "second"]


@pytest.mark.parametrize("cut", [1, 4, HEAD.size, HEAD.size + 3, HEAD.size + len(answer(2)) + 1])
def test_record_that_was_being_written_is_passed_over(
    tmp_path: Path, place: Path, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    url = url_of(tmp_path / "ledger")
    dead(url, 1, 2)
    (file,) = files(place)
    data = file.read_bytes()
    assert len(data) == len(MAGIC) + 2 * (HEAD.size + len(answer(1)))
    file.write_bytes(data[:-cut])
    there = [1] if cut <= HEAD.size + len(answer(2)) else []
    assert taken(url) == {key(n): answer(n) for n in there}
    assert "are no whole record: that answer is asked for again" in caplog.text
    assert files(place) == []


@pytest.mark.parametrize("at", [len(MAGIC), len(MAGIC) + 5, len(MAGIC) + 12, -1, 0])
def test_byte_that_was_changed_is_seen(tmp_path: Path, place: Path, at: int) -> None:
    url = url_of(tmp_path / "ledger")
    dead(url, 1)
    (file,) = files(place)
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)
    assert taken(url) == {}


def test_large_answers_begin_another_file(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_journal, "FILE_BYTES", 100)
    journal = Journal(url_of(tmp_path / "ledger"))
    for number in range(4):
        journal.append(key(number), bytes(100))
    assert len(files(place)) == 4
    journal.settle([key(1), key(2), key(7)])
    assert len(files(place)) == 2
    journal.settle([key(0), key(3)])
    assert list(place.iterdir()) == []


def test_folder_that_others_may_use_is_refused(tmp_path: Path, place: Path) -> None:
    place.mkdir(mode=0o755)
    place.chmod(0o755)
    with pytest.raises(RunError, match=rf"(?s){place} should be a folder .* drwxr-xr-x .*set TMPDIR to a folder"):
        Ledger(str(tmp_path / "ledger"), "rate")


def test_link_in_place_of_the_folder_is_refused(tmp_path: Path, place: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=r"should be a folder of user .*, it is lrwx"):
        Journal("file:///x")


def test_link_in_place_of_a_file_is_not_followed(tmp_path: Path, place: Path) -> None:
    url = url_of(tmp_path / "ledger")
    dead(url, 1)
    (file,) = files(place)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="symbolic links"):
        Ledger(url, "rate")


def test_disk_that_takes_no_journal_ends_the_run_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with pytest.raises(RunError, match=r"(?s)answers in hand cannot be kept on this machine: .*set TMPDIR to a folder"):
        Ledger(str(tmp_path / "ledger"), "rate")


def test_disk_that_is_full_ends_the_run(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, real = url_of(tmp_path / "ledger"), os.write
    book = Ledger(url, "rate")
    book.note(key(1), answer(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:20]))
        with pytest.raises(RunError, match="20 of 32 bytes were taken, the disk is full"):
            book.note(key(2), answer(2))
    book.note(key(3), answer(3))
    assert book._journal is not None
    book._journal.close()
    assert taken(url) == {key(1): answer(1), key(3): answer(3)}


def test_answer_that_the_disk_did_not_take_is_not_held_for_kept(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    url = url_of(tmp_path / "ledger")
    journal = Journal(url)
    for number in (1, 2):
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(RunError, match="No space left on device"):
                journal.append(key(number), answer(number))
        journal.append(key(number), answer(number))  # there is room again
    journal.settle([key(2)])
    journal.close()
    assert taken(url) == {key(1): answer(1), key(2): answer(2)}  # of a file that is left, all are found
    assert list(place.iterdir()) == []


def test_file_whose_first_answer_was_not_taken_goes_with_the_next_one(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(url_of(tmp_path / "ledger"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: 0)
        with pytest.raises(RunError, match="0 of "):
            journal.append(key(1), answer(1))
    journal.append(key(2), answer(2))
    journal.settle([key(2)])
    assert list(place.iterdir()) == []


def test_child_that_was_forked_holds_no_lock_and_writes_nothing(tmp_path: Path, place: Path) -> None:
    url = url_of(tmp_path / "ledger")
    journal = Journal(url)
    journal.append(key(1), answer(1))
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            journal.append(key(2), answer(2))
        except RunError:
            os.write(write, b"refused")
        os.write(write, b".")
        signal.pause()  # outlives its parent's ledger
    try:
        assert os.read(read, 8).startswith(b"refused")
        journal.close()
        assert taken(url) == {key(1): answer(1)}
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_processes_that_come_and_go_lose_nothing(tmp_path: Path, place: Path) -> None:
    """Writers make and remove the folder while others look for dead ones in it."""
    url, kept, over = url_of(tmp_path / "ledger"), [], threading.Event()

    def write(first: int) -> None:
        for number in range(first, 400, 4):
            journal = Journal(url)
            journal.append(key(number), answer(number))
            journal.close() if number % 8 < 4 else journal.settle([key(number)])

    def look() -> None:
        journal = Journal(url)
        while not over.is_set():
            journal.take_over(lambda entries: kept.append(dict(entries)))

    writers = [threading.Thread(target=write, args=(first,)) for first in range(4)]
    looking = [threading.Thread(target=look) for _ in range(2)]
    for thread in (*writers, *looking):
        thread.start()
    for thread in writers:
        thread.join()
    over.set()
    for thread in looking:
        thread.join()
    kept.append(taken(url))
    all_kept = [number for entries in kept for number in entries]
    assert sorted(all_kept) == sorted(key(n) for n in range(400) if n % 8 < 4)
    assert list(place.iterdir()) == []
