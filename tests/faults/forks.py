"""headrace as a process of its own that costs no start: a parent that has imported everything forks each driver.

For schedules of hundreds of kills (schedules.py): what is killed is a whole process with the same command line as a
user's, only that Python and the libraries are loaded already. A driver can be told to kill itself at its n-th change of
the disk, which no clock of another process could hit.

    python -m tests.faults.forks RECIPE     one JSON object a line in; {"pid"}, then {"status", "cpu"}, out for each
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

ROOT = Path(__file__).resolve().parents[2]
WARM = (
    "pipelines.cli", "pipelines.catalogue", "pipelines.web", "cluster.local", "cluster.exchange.shuffle", "polars",
    "numba", "aiohttp", "orjson", "rich.live", "tokenizers",
)  # fmt: skip
PR_SET_CHILD_SUBREAPER = 36
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir")  # audit events: what changes a folder


def count_changes(at: int) -> Callable[[], int]:
    """This process is killed just before the `at`-th file or folder appears or goes, from 1. Returns the count."""
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in CHANGES:
            seen += 1
            if seen == at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return lambda: seen


def become(order: Mapping[str, Any]) -> int:
    """In the child: the driver of `order`; its exit status."""
    with Path(order["log"]).open("ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.update(order["environ"])
    count = count_changes(order["change"]) if order["change"] else lambda: 0
    from pipelines.cli import main

    try:
        status = main(order["argv"])
    except BaseException:
        import traceback

        traceback.print_exc()
        return 70
    sys.stderr.write(f"changes: {count()}\n")
    return status


def warm_up(recipe: str) -> None:
    """Load what a run of `recipe` would: libraries, and the kernels by sending pages through `web` but for extraction.

    Nothing here may leave a thread behind that a forked process would miss: no sandbox, no Polars, no run.
    """
    for name in WARM:
        importlib.import_module(name)
    if recipe == "refine":
        import torch

        torch.set_num_threads(1)
        importlib.import_module("stages.models.transformers_engine")
        importlib.import_module("transformers.models.llama.modeling_llama")
    import pyarrow as pa
    import pyarrow.compute as pc

    from pipelines.web import web
    from stages.stage import Piece, name_of, set_columns

    step = web().steps[0]
    with (ROOT / "tests/data/sample.warc.gz").open("rb") as file:
        table = next(t for t in step.source.open()(file, Piece("sample")) if isinstance(t, pa.Table))
    text = pa.array(["The mill of the town is old, and it is said to have been there. " * 20] * table.num_rows)
    text = text.cast(pa.large_string())
    table = set_columns(table, text=text, n_chars=pc.utf8_length(text).cast(pa.int64()))
    for stage in step.stages:
        if name_of(stage) != "ExtractText":
            table = stage.open()(table)


def bury(driver: int) -> dict[str, Any]:
    """Wait for a driver and for all that it has left behind: its status, and the CPU seconds of all of them."""
    found: dict[str, Any] = {"cpu": 0.0}
    while True:
        try:
            pid, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return found
        found["cpu"] += usage.ru_utime + usage.ru_stime
        if pid == driver:
            found["status"] = os.waitstatus_to_exitcode(status)


def serve() -> None:
    """Fork a driver for each line; one at a time."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what a killed driver leaves is ours to wait for
    warm_up(sys.argv[1])
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
        out.write(json.dumps(bury(pid)) + "\n")


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
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            os.close(self._handle)
            self._handle = -1


class Forks:
    """The parent of the drivers, a clean process without threads."""

    def __init__(self, recipe: str) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forks", recipe],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._in: IO[bytes] = self._parent.stdin
        self._out = self._parent.stdout.fileno()
        self._read = b""
        self.cpu = 0.0  # seconds of all drivers so far, and of what they have started

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._in.close()
        self._parent.wait()
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
        if line is None:
            return None
        self.cpu += line["cpu"]
        return int(line["status"])

    def _line(self, timeout: float | None) -> dict[str, Any] | None:

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
