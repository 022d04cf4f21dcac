"""CPU seconds of this process and of the processes it started: what a shard really cost."""

import os
import resource
import time
from pathlib import Path

import psutil

_TICK = 1.0 / os.sysconf("SC_CLK_TCK")


def cpu_seconds() -> float:
    """CPU time so far of this process, its live children and theirs, and all they have reaped. Unit: seconds."""
    reaped = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = time.process_time() + reaped.ru_utime + reaped.ru_stime
    return own + sum(map(_tree, _children(os.getpid())))


def _tree(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _tree_portable(pid)
    return sum(map(int, fields[11:15])) * _TICK + sum(map(_tree, _children(pid)))


def _children(pid: int) -> list[int]:
    """Live children. The kernel's own list costs microseconds; elsewhere psutil walks all processes."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - hot path
        lists = [Path(f"/proc/{pid}/task/{task}/children").read_text() for task in tasks]
    except OSError:
        try:
            return [child.pid for child in psutil.Process(pid).children()]
        except psutil.NoSuchProcess:
            return []
    return [int(child) for children in lists for child in children.split()]


def _tree_portable(pid: int) -> float:
    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        own = float(
            times.user + times.system + getattr(times, "children_user", 0) + getattr(times, "children_system", 0)
        )
        return own + sum(_tree_portable(child.pid) for child in process.children())
    except psutil.NoSuchProcess:
        return 0.0
