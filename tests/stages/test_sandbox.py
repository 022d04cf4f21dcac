"""The sandbox against functions that really hang, eat memory and crash."""

import gc
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stages.sandbox import Outcome, Sandbox, SandboxError
from tests.stages.hostile import behave

ROOT = Path(__file__).resolve().parents[2]
LIMITS = {"seconds": 20.0, "memory_mb": 128}


@pytest.fixture(scope="module")
def sandbox():
    box = Sandbox(behave, **LIMITS)
    yield box
    box.close()


@pytest.fixture(scope="module")
def impatient():
    box = Sandbox(behave, seconds=0.3, memory_mb=128, wall_factor=10.0)  # a busy machine may stand still for a second
    yield box
    box.close()


class Watch:
    """Processes, seen by their file descriptors, so that one that nobody has collected yet counts as ended."""

    def __init__(self, *pids: int) -> None:
        self.fds = [os.pidfd_open(pid) for pid in pids]

    def all_end(self) -> bool:
        ended = [bool(select.select([fd], [], [], 10)[0]) for fd in self.fds]
        for fd in self.fds:
            os.close(fd)
        return bool(ended) and all(ended)


def number(outcome: Outcome) -> int:
    return int(outcome.value)


@pytest.mark.parametrize("deed", ["spin", "backtrack", "wait"])
def test_document_that_does_not_end_is_cut_and_the_next_is_served(impatient, deed):
    assert impatient(deed.encode()) == Outcome(reason="timeout")
    assert impatient(b"next") == Outcome(value=b"NEXT")


@pytest.mark.parametrize("deed", ["python_bomb", "native_bomb"])
def test_document_that_eats_memory_is_cut_and_the_next_is_served(sandbox, deed):
    assert sandbox(deed.encode()) == Outcome(reason="memory_limit")
    assert sandbox(b"next") == Outcome(value=b"NEXT")


@pytest.mark.parametrize(
    ("deed", "error"),
    [
        ("fail some words", "ValueError: some words"),
        ("unprintable", "OddError: its message cannot be printed (RuntimeError)"),
        ("exit", "SystemExit: 3"),
        ("os_exit", "SandboxDied: its process ended itself with status 4"),
        ("segfault", "SandboxDied: its process died of signal 11 (Segmentation fault)"),
        ("abort", "SandboxDied: its process died of signal 6 (Aborted)"),
        ("kill", "SandboxDied: its process died of signal 9 (Killed), 2 times"),
    ],
)
def test_failure_is_told_and_the_next_document_is_served(sandbox, deed, error):
    assert sandbox(deed.encode()) == Outcome(error=error)
    assert sandbox(b"next") == Outcome(value=b"NEXT")


@pytest.mark.parametrize("deed", ["kill_once", "kill_zygote"])
def test_process_killed_by_somebody_else_is_not_the_documents_fault(sandbox, tmp_path, deed):
    assert sandbox(f"{deed} {tmp_path / 'flag'}".encode()) == Outcome(value=b"second try")


def test_process_killed_between_documents_is_replaced(sandbox):
    pid = number(sandbox(b"pid"))
    os.kill(pid, signal.SIGKILL)
    assert number(sandbox(b"pid")) != pid
    os.kill(number(sandbox(b"parent")), signal.SIGKILL)
    assert sandbox(b"next") == Outcome(value=b"NEXT")


def test_interrupted_caller_does_not_get_the_old_answer_for_the_next_document(sandbox):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    family = Watch(number(sandbox(b"pid")))
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            sandbox(f"interrupt {os.getpid()}".encode())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert family.all_end()
    assert sandbox(b"next") == Outcome(value=b"NEXT")


def test_exception_costs_no_process(sandbox):
    pid = number(sandbox(b"pid"))
    assert sandbox(b"fail").error == "ValueError: "
    assert number(sandbox(b"pid")) == pid


def test_large_and_empty_documents_come_back_whole(sandbox):
    assert sandbox(b"").value == b""
    assert sandbox(memoryview(b"a" * 5_000_000)).value == b"A" * 5_000_000


def test_child_is_replaced_after_its_documents_and_when_it_has_grown():
    box = Sandbox(behave, seconds=5, memory_mb=128, documents_per_child=3)
    pids = [number(box(b"pid")) for _ in range(6)]
    assert [pids.count(pid) for pid in pids] == [3] * 6
    grown = [number(box(b"hold 30")) for _ in range(6)]
    assert grown == [1, 2, 3, 1, 2, 3]
    box.close()
    box = Sandbox(behave, seconds=5, memory_mb=128)
    assert [number(box(b"hold 50")) for _ in range(4)] == [1, 2, 1, 2]  # 100 MB held: more than half of the limit
    box.close()


def test_results_do_not_depend_on_the_process(sandbox):
    box = Sandbox(behave, **LIMITS)
    assert box(b"hash x").value == sandbox(b"hash x").value
    box.close()


# In a process of its own: that of pytest has threads of other tests, which open and close as they like.
COUNTED = """
import psutil
from stages.sandbox import Sandbox
from tests.stages.hostile import behave
from tests.stages.test_sandbox import LIMITS, Watch, number

def count():
    return len(psutil.Process().children()), psutil.Process().num_fds()

before = count()
box = Sandbox(behave, **LIMITS)
family = Watch(number(box(b"pid")), number(box(b"parent")))
box(b"os_exit")
box(b"pid")
during = count()
box.close()
print(family.all_end(), count() == before, during > before)
"""


def test_no_process_and_no_socket_is_left_behind():
    command = [sys.executable, "-W", "error", "-c", COUNTED]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "True True True\n", done.stderr


def test_forgotten_sandbox_ends_its_processes():
    box = Sandbox(behave, **LIMITS)
    family = Watch(number(box(b"pid")), number(box(b"parent")))
    del box
    gc.collect()
    assert family.all_end()


OWNER = """
import sys
sys.path[:0] = sys.argv[1:3]
from tests.stages.hostile import behave
from stages.sandbox import Sandbox
box = Sandbox(behave, seconds=100, memory_mb=128)
print(box(b"pid").value.decode(), box(b"parent").value.decode(), flush=True)
box(sys.argv[3].encode())
"""


@pytest.mark.parametrize("deed", ["spin", "wait", "quiet"])
def test_killed_owner_leaves_no_orphan(deed):
    here = Path(__file__)
    command = [sys.executable, "-W", "error", "-c", OWNER, str(here.parents[2]), str(here.parent), deed]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as owner:
        family = Watch(*map(int, owner.stdout.readline().split()))
        if deed != "quiet":  # that one ends by itself, as a program does at its end
            owner.send_signal(signal.SIGKILL)
        assert owner.wait(20) == (0 if deed == "quiet" else -signal.SIGKILL)
    assert family.all_end()


def test_killed_zygote_takes_its_child_along():
    box = Sandbox(behave, **LIMITS)
    family = Watch(number(box(b"pid")))
    os.kill(number(box(b"parent")), signal.SIGKILL)
    assert family.all_end()
    box.close()


def test_owner_with_threads_and_several_sandboxes():
    """As in a Ray worker: each thread its own sandbox, the thread that started one ends before it."""
    boxes = [Sandbox(behave, **LIMITS) for _ in range(3)]
    answers = []
    for turn in (b"one", b"two"):
        threads = [threading.Thread(target=lambda b=b, t=turn: answers.append(b(t))) for b in boxes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert answers == [Outcome(value=b"ONE")] * 3 + [Outcome(value=b"TWO")] * 3
    for box in boxes:
        box.close()


def test_forked_copy_of_the_owner_uses_its_own_processes(sandbox):
    pid = number(sandbox(b"pid"))
    reader, writer = os.pipe()
    copy = os.fork()
    if copy == 0:
        try:
            other = number(sandbox(b"pid"))
            sandbox.close()
            os.write(writer, str(other).encode())
        finally:
            os._exit(0)
    os.waitpid(copy, 0)
    other = int(os.read(reader, 100))
    os.close(reader)
    os.close(writer)
    assert other != pid
    assert number(sandbox(b"pid")) == pid


def explode(_: bytes) -> bytes:
    raise LookupError("no table")


def test_function_that_cannot_be_loaded_is_told():
    with pytest.raises(SandboxError, match="cannot load its function: LookupError: no table"):
        Sandbox(explode, **LIMITS, warm_up=b"")(b"x")
