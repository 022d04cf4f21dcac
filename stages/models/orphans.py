"""Processes that must not outlive this one, however it ends: an engine's own would hold their GPU for good.

A process that is killed (kill -9, out of memory) cannot end its children, and vLLM 0.32's engine core waits for ever
for a parent that is gone (measured). A shell that reads from this process sees the end of the pipe, whatever caused it.
"""

import subprocess
import threading

import psutil

GUARD = 'all=; while read -r pid; do all="$all $pid"; done; [ -z "$all" ] || kill -9 $all 2> /dev/null'


class Guard:
    """A shell that kills what it was told of once this process is gone; `release` sends it home."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._others = _children()
        self.known: set[int] = set()  # what is guarded
        self._shell = subprocess.Popen(  # noqa: S603 - ours; in a session of its own, where Ctrl-C does not reach it
            ["/bin/sh", "-c", GUARD], stdin=subprocess.PIPE, start_new_session=True, text=True
        )
        self._others.add(self._shell.pid)

    def look(self) -> None:
        """Guard the children, and theirs, that have come since it was made."""
        with self._lock:
            new = _children() - self._others - self.known
            self.known |= new
            if new and self._shell.stdin is not None and not self._shell.stdin.closed:
                self._shell.stdin.write("".join(f"{pid}\n" for pid in sorted(new)))
                self._shell.stdin.flush()

    def release(self) -> None:
        """Guard nothing any more: the children have ended."""
        with self._lock:
            self._shell.kill()
            self._shell.wait()
            if self._shell.stdin is not None:
                self._shell.stdin.close()


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}
