"""kill -9 of workers in the middle of a run, by another process: the run goes on and ends right."""

import contextlib
import os
import random
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.faults.test_kill_driver import ROOT, SEED, command, dataset

KILLS = 3  # as long as the run lasts


def workers_of(driver: psutil.Process, at: str = "") -> list[psutil.Process]:
    """The driver's Ray workers that are running headrace's actor, or those that are `at` one of its methods."""
    found = []
    for process in driver.children(recursive=True):
        try:
            if " ".join(process.cmdline()).startswith(f"ray::Worker.{at}" if at else "ray::Worker"):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.slow
@pytest.mark.ray
def test_killed_workers_leave_no_trace(tmp_path: Path) -> None:
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    options = {"cwd": ROOT, "env": environment, "stdout": subprocess.DEVNULL}
    subprocess.run(command(tmp_path / "undisturbed", "local"), check=True, stderr=subprocess.DEVNULL, **options)
    dice = random.Random(SEED)
    process = subprocess.Popen(command(tmp_path / "killed", "ray"), stderr=subprocess.PIPE, text=True, **options)
    driver = psutil.Process(process.pid)
    killed = 0
    while process.poll() is None:
        # One that is still starting has nothing to lose.
        working = workers_of(driver, at="run_shard") if killed < KILLS else []
        if working:
            with contextlib.suppress(psutil.NoSuchProcess):
                dice.choice(working).kill()
                killed += 1
        try:
            process.wait(timeout=dice.uniform(0.2, 1.0) if working else 0.05)
        except subprocess.TimeoutExpired:
            continue
    assert process.stderr is not None
    log = process.stderr.read()
    process.stderr.close()
    assert process.returncode == 0, log
    assert killed > 0
    assert log.count("is tried again: worker died") > 0
    assert dataset(tmp_path / "killed") == dataset(tmp_path / "undisturbed")
