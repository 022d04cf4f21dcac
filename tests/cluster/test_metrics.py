"""CPU time counts this process and what it started; memory is what is resident now."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.signals import metrics
from cluster.signals.metrics import Meter, cpu_seconds

ROOT = Path(__file__).resolve().parents[2]
BURN = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\n"
ALONE = "import json\nfrom tests.cluster import test_metrics as here\nprint(json.dumps(here.{}()))"


def alone(measure: Callable[[], Any]) -> Any:
    """What `measure` finds in a process of its own: that of pytest has threads and children of other tests at work."""
    command = [sys.executable, "-c", ALONE.format(measure.__name__)]
    return json.loads(subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE).stdout)


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def burn_a_tenth() -> float:
    before = cpu_seconds()
    burn(0.1)
    return cpu_seconds() - before


def test_own_cpu_time_is_counted() -> None:
    assert 0.08 <= alone(burn_a_tenth) <= 0.5


def wait_for_a_child() -> float:
    before = cpu_seconds()
    subprocess.run([sys.executable, "-S", "-c", "import select; select.select([], [], [], 0.3)"], check=True)
    return cpu_seconds() - before


def test_waiting_is_not_counted() -> None:
    assert alone(wait_for_a_child) < 0.25


def burn_in_a_child() -> tuple[float, float]:
    """While it lives, and once it is gone."""
    before = cpu_seconds()
    code = BURN + "print('burnt', flush=True)\ninput()\n"
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "burnt\n"
    alive = cpu_seconds() - before
    child.communicate("\n")
    return alive, cpu_seconds() - before


def test_children_are_counted_while_they_live_and_when_they_are_gone() -> None:
    alive, gone = alone(burn_in_a_child)
    assert alive >= 0.18
    assert gone >= alive - 0.02


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


def span_of_burning() -> float:
    meter = Meter()
    span = meter.start()
    burn(0.1)
    subprocess.run([sys.executable, "-S", "-c", BURN], check=True)
    return meter.stop(span)


def test_span_alone_has_what_the_process_took() -> None:
    assert 0.28 <= alone(span_of_burning) <= 0.8


def spans_that_overlap() -> tuple[dict[str, float], float]:
    """What each took, and the process."""
    meter, took = Meter(time.process_time), {}
    begun, ended, helped = threading.Barrier(3), threading.Barrier(2), threading.Event()

    def use(seconds: float) -> None:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    def work(name: str, seconds: float) -> None:
        span = meter.start()
        begun.wait(60)
        use(seconds)
        helped.wait(60)
        ended.wait(60)
        took[name] = meter.stop(span)

    def help_both() -> None:
        begun.wait(60)
        use(0.2)
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
    return took, time.process_time() - before


def test_spans_that_overlap_have_their_own_threads_time_and_share_the_rest() -> None:
    took, whole = alone(spans_that_overlap)
    assert took["busy"] - took["waiting"] == pytest.approx(0.3, abs=0.05)
    assert took["waiting"] == pytest.approx(0.1, abs=0.05)
    assert sum(took.values()) <= whole + 0.02


def span_after_burning() -> float:
    meter = Meter()
    first = meter.start()
    meter.stop(first)
    burn(0.2)
    return meter.stop(meter.start())


def test_time_between_spans_is_nobodys() -> None:
    assert alone(span_after_burning) < 0.1
