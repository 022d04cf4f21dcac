"""CPU time counts this process and what it started; memory is what is resident now."""

import os
import subprocess
import sys
import threading
import time

import pytest

from cluster.signals import metrics
from cluster.signals.metrics import Meter, cpu_seconds

BURN = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\n"


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_own_cpu_time_is_counted() -> None:
    before = cpu_seconds()
    burn(0.1)
    assert 0.08 <= cpu_seconds() - before <= 0.5


def test_waiting_is_not_counted() -> None:
    before = cpu_seconds()
    subprocess.run([sys.executable, "-S", "-c", "import select; select.select([], [], [], 0.3)"], check=True)
    assert cpu_seconds() - before < 0.25


def test_children_are_counted_while_they_live_and_when_they_are_gone() -> None:
    before = cpu_seconds()
    code = BURN + "print('burnt', flush=True)\ninput()\n"
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "burnt\n"
    alive = cpu_seconds() - before
    child.communicate("\n")
    assert alive >= 0.18
    assert cpu_seconds() - before >= alive - 0.02


@pytest.mark.parametrize("children", ["own", "none"])
def test_process_that_is_gone_counts_nothing(children: str, monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", "pass"])
    child.wait()
    monkeypatch.setattr(metrics, "_children", lambda pid: [] if children == "none" else [child.pid])
    assert metrics._tree(child.pid) == 0.0
    assert cpu_seconds() > 0.0


def test_children_are_found_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_tasks(path: object = ".") -> list[str]:
        if str(path).endswith("/task"):
            raise FileNotFoundError(path)
        return found(path)  # type: ignore[call-overload, no-any-return]

    found = os.listdir
    monkeypatch.setattr(os, "listdir", without_tasks)
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    assert child.pid in metrics._children(os.getpid())
    child.communicate(b"\n")
    assert metrics._tree_portable(os.getpid()) > 0.0


def test_span_alone_has_what_the_process_took() -> None:
    meter = Meter()
    span = meter.start()
    burn(0.1)
    subprocess.run([sys.executable, "-S", "-c", BURN], check=True)
    assert 0.28 <= meter.stop(span) <= 0.8


def test_spans_that_overlap_have_their_own_threads_time_and_share_the_rest() -> None:
    # Of this process alone: children that other tests have left at work would be shared out too.
    meter, took, helped = Meter(time.process_time), {}, threading.Event()
    together = threading.Barrier(2)

    def work(name: str, seconds: float) -> None:
        span = meter.start()
        together.wait(10)  # both have begun
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass
        helped.wait(10)
        together.wait(10)  # neither has ended
        took[name] = meter.stop(span)

    def help_both() -> None:
        end = time.thread_time() + 0.2
        while time.thread_time() < end:
            pass
        helped.set()

    threads = [
        threading.Thread(target=work, args=("busy", 0.3)),
        threading.Thread(target=work, args=("waiting", 0.0)),
        threading.Thread(target=help_both),
    ]
    before = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = time.process_time() - before
    assert took["busy"] - took["waiting"] == pytest.approx(0.3, abs=0.05)
    assert took["waiting"] == pytest.approx(0.1, abs=0.05)
    assert sum(took.values()) <= whole + 0.02


def test_time_between_spans_is_nobodys() -> None:
    meter = Meter()
    first = meter.start()
    meter.stop(first)
    burn(0.2)
    assert meter.stop(meter.start()) < 0.1
