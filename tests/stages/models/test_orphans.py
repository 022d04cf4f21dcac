"""Processes of an engine end with the process that guards them, however that one ends."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[3]
OWNER = """
import subprocess, sys
from stages.models.orphans import Guard
before = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
guard = Guard()
parent = "import subprocess, sys; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); p.wait()"
child = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
grandchild = int(child.stdout.readline())
guard.look()
assert guard.known == {child.pid, grandchild}, guard.known
guard.look()
if "release" in sys.argv:
    guard.release()
    guard.release()
print(child.pid, grandchild, flush=True)
input()
"""


@pytest.mark.parametrize("released", [False, True])
def test_a_killed_owner_takes_them_along_unless_they_were_released(released: bool) -> None:
    command = [sys.executable, "-c", OWNER, *(["release"] if released else [])]
    owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert owner.stdout is not None and owner.stdin is not None
    children = [psutil.Process(int(pid)) for pid in owner.stdout.readline().split()]
    assert len(children) == 2
    owner.kill()
    owner.wait()
    owner.stdin.close()
    owner.stdout.close()
    if released:
        assert all(child.is_running() for child in children)
        for child in children:
            child.kill()
    gone = psutil.wait_procs(children, timeout=30)[1]
    assert [child for child in gone if child.status() != psutil.STATUS_ZOMBIE] == []  # where pid 1 buries nobody
