"""headrace as a process of its own that costs no start: a parent that has imported everything forks each driver.

For schedules of hundreds of kills (schedules.py): what is killed is a whole process with the same command line as a
user's, only that Python and the libraries are loaded already. A driver can be told to kill itself at its n-th change of
the disk, which no clock of another process could hit.

    python -m tests.faults.forks     one JSON object a line in, {"pid"} and then {"status"} a line out for each
"""

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

ROOT = Path(__file__).resolve().parents[2]
WARM = (
    "pipelines.cli", "pipelines.catalogue", "pipelines.web", "cluster.local", "cluster.shuffle", "polars", "numba",
    "aiohttp", "orjson", "rich.live", "tokenizers",
)  # fmt: skip
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir")  # audit events: what changes a folder


def count_changes(at: int) -> None:
    """This process is killed just before the `at`-th file or folder of its output appears or goes, from 1."""
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in CHANGES and Path(os.fsdecode(arguments[0])).is_absolute():
            seen += 1
            if seen == at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def become(order: Mapping[str, Any]) -> int:
    """In the child: the driver of `order`; its exit status."""
    with Path(order["log"]).open("ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.update(order["environ"])
    if order["change"]:
        count_changes(order["change"])
    from pipelines.cli import main  # noqa: PLC0415 - loaded before the fork

    try:
        return main(order["argv"])
    except BaseException:
        import traceback  # noqa: PLC0415 - beside its only use

        traceback.print_exc()
        return 70


def serve() -> None:
    """Fork a driver for each line; one at a time."""
    for name in WARM:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    out = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            out.close()
            os.close(0)
            os.open(os.devnull, os.O_RDONLY)
            status = become(json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        out.write(json.dumps({"pid": pid}) + "\n")
        # Not waited for yet: until the reader has a handle on it, its number must stay its own.
        out.write(json.dumps({"status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}) + "\n")


class Driver:
    """A forked driver: what a `Popen` would tell of it."""

    def __init__(self, forks: "Forks", pid: int) -> None:
        self._forks, self.pid = forks, pid
        try:
            self._handle = os.pidfd_open(pid)
        except ProcessLookupError:  # it has ended and was waited for already
            self._handle = -1
        self.status: int | None = None

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit status, or None if it still runs after `timeout` seconds."""
        if self.status is None:
            self.status = self._forks.status(timeout)
        return self.status

    def kill(self) -> None:
        """kill -9, of this process and no other that got its number since."""
        if self._handle >= 0:
            try:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.close(self._handle)
            self._handle = -1


class Forks:
    """The parent of the drivers, a clean process without threads."""

    def __init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forks"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._in: IO[bytes] = self._parent.stdin
        self._out = self._parent.stdout.fileno()
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._in.close()
        self._parent.wait()
        os.close(os.dup(self._out))
        assert self._parent.stdout is not None
        self._parent.stdout.close()

    def start(self, argv: Sequence[str], log: Path, change: int = 0, **environ: str) -> Driver:
        """`headrace *argv`. `change`: at which change of the disk it kills itself; 0 for never."""
        order = {"argv": list(argv), "log": str(log), "change": change, "environ": environ}
        self._in.write(json.dumps(order).encode() + b"\n")
        self._in.flush()
        line = self._line(None)
        assert line is not None
        return Driver(self, line["pid"])

    def status(self, timeout: float | None) -> int | None:
        line = self._line(timeout)
        return None if line is None else int(line["status"])

    def _line(self, timeout: float | None) -> dict[str, Any] | None:
        import select  # noqa: PLC0415 - only here

        while b"\n" not in self._read:
            if not select.select([self._out], [], [], timeout)[0]:
                return None
            some = os.read(self._out, 1 << 16)
            assert some, "the parent of the drivers has ended"
            self._read += some
        line, _, self._read = self._read.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found


if __name__ == "__main__":
    serve()
