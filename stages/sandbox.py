"""A function that may hang, eat memory or crash, run on one document after another without harm to the caller.

The function (bytes to bytes, picklable) runs in a child process that a clean process beside it, the zygote, forks
(`stages.zygote`). A document that breaks a limit takes only its child with it; the next one gets a fresh fork.

- Time is CPU time (`ITIMER_PROF`, whose signal ends the process even inside C), so a busy machine does not change
  the verdict. A document that waits without computing is cut after `wall_factor` times as long.
- Memory is what the address space may grow by while one document is processed (`RLIMIT_AS`, Linux only).
- A child that somebody else kills is not the document's doing: the document is tried once more.
"""

import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any, Literal, NamedTuple

from stages import zygote
from stages.stage import StageError
from stages.zygote import DONE, NO_MEMORY, REPLY, Function, receive, receive_frame, send_frame

START_SECONDS = 300.0
END_SECONDS = 30.0
FROM_OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
TRIES = 2
DIED, OFTEN = "SandboxDied: ", f", {TRIES} times"


class Outcome(NamedTuple):
    """What became of a document. Exactly one of the three is set.

    `value` is what the function returned; `reason` names the limit that was broken; `error` is `Type: message` of
    what the function raised, or says how the process died.
    """

    value: bytes | None = None
    reason: Literal["timeout", "memory_limit"] | None = None
    error: str | None = None

    @property
    def died(self) -> str | None:
        """How its process died of the document; None where it lived, or was killed by somebody else or for a limit."""
        by_itself = self.error is not None and self.error.startswith(DIED) and not self.error.endswith(OFTEN)
        return self.error.removeprefix(DIED) if self.error is not None and by_itself else None


class SandboxError(StageError):
    """The sandbox itself cannot work: its function cannot be loaded, or processes cannot be started."""


class _Gone(Exception):
    """The zygote ended, which no document can cause."""


class _Process:
    """A running zygote and the one child that it may have at a time."""

    def __init__(self, function: bytes, limits: dict[str, Any], warm_up: bytes | None) -> None:
        self.owner = os.getpid()
        self.control, theirs = socket.socketpair()
        self.channel: socket.socket | None = None
        env = os.environ | {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}  # the same answer in every process
        with theirs:
            self.popen = subprocess.Popen(  # noqa: S603 - this interpreter, on a file of this package
                [sys.executable, "-P", str(Path(zygote.__file__)), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=env,
                start_new_session=True,
            )
        path = [entry or str(Path.cwd()) for entry in sys.path]
        start = {"path": path, "function": function, "limits": limits, "warm_up": warm_up}
        try:
            self.control.settimeout(START_SECONDS)
            send_frame(self.control, pickle.dumps(start))
            said = self._hear()
        except (OSError, _Gone) as error:
            self.close()
            status = self.popen.returncode
            raise SandboxError(f"the sandbox's process did not start (exit status {status}): {error}") from error
        if said != ["ready"]:
            self.close()
            raise SandboxError(f"the sandbox cannot load its function: {said[-1]}")

    def fork(self) -> socket.socket:
        """The socket of the child, which is forked if there is none."""
        if self.channel is None:
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    socket.send_fds(self.control, [zygote.FORK], [theirs.fileno()])
                except OSError as error:
                    ours.close()
                    raise _Gone(str(error)) from error
            self.channel = ours
        return self.channel

    def bury(self, seconds: float, kill: bool = False) -> tuple[int, int]:
        """Let the child end, or kill it: (wait status, bytes that its resident memory had grown by at most)."""
        if self.channel is not None:
            self.channel.close()
            self.channel = None
        try:
            self.control.settimeout(seconds)
            said = [] if kill else self._hear()
        except TimeoutError:
            said = []
        if not said:  # it should be killed, or hangs although nobody talks to it any more
            try:
                self.control.sendall(zygote.KILL)
                self.control.settimeout(END_SECONDS)
                said = self._hear()
            except OSError as error:
                raise _Gone(str(error)) from error
        if said[0] != "ended":
            raise SandboxError(f"the sandbox cannot fork: {said[-1]}")
        return int(said[1]), int(said[2])

    def close(self) -> None:
        """Hang up, which ends the zygote and its child, and collect it. Safe to call twice and in a forked process."""
        if self.channel is not None:
            self.channel.close()
            self.channel = None
        if os.getpid() != self.owner:
            self.control.close()
            return
        with contextlib.suppress(OSError):  # it hung up first
            self.control.shutdown(socket.SHUT_RDWR)  # for processes forked from this one, which hold the socket too
        self.control.close()
        try:
            self.popen.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()

    def _hear(self) -> list[Any]:
        try:
            return list(json.loads(receive_frame(self.control)))
        except (EOFError, ConnectionError) as error:
            raise _Gone(str(error)) from error


class Sandbox:
    """Calls `function` on documents, each with its own limits. Starts at the first document; ends with its owner.

    `seconds`: CPU seconds a document may take. `memory_mb`: MiB of address space it may add.
    `documents_per_child`: a child is replaced after as many, since parsers grow. `warm_up`: a harmless document that
    is processed once before forking, so that no child has to build what the function builds at first use.
    """

    def __init__(
        self,
        function: Function,
        *,
        seconds: float,
        memory_mb: float,
        wall_factor: float = 6.0,
        documents_per_child: int = 500,
        warm_up: bytes | None = None,
    ) -> None:
        self._function = pickle.dumps(function)
        self._limits = {"seconds": seconds, "memory_mb": memory_mb, "documents": documents_per_child}
        self._wall = seconds * wall_factor
        self._warm_up = warm_up
        self._lock = threading.Lock()
        self._process: _Process | None = None
        self._finalizer: weakref.finalize[[], Sandbox] | None = None

    def __call__(self, document: Any) -> Outcome:
        """What became of `document`, any bytes-like object. `SandboxError` when no process can be had."""
        with self._lock:
            died = "its process was killed"
            for _ in range(TRIES):
                try:
                    outcome, died = self._try(document)
                except _Gone:
                    self._discard()
                    continue
                except BaseException:  # interrupted: the answer that is still to come must not be taken for the next
                    self._discard()
                    raise
                if outcome is not None:
                    return outcome
            return Outcome(error=f"{DIED}{died}{OFTEN}")

    def close(self) -> None:
        """End the processes. The next document would start new ones."""
        with self._lock:
            self._discard()

    def _try(self, document: Any) -> tuple[Outcome | None, str]:
        process = self._running()
        channel = process.fork()
        try:
            channel.settimeout(self._wall)
            send_frame(channel, document)
            code, last, length = REPLY.unpack(receive(channel, REPLY.size))
            payload = receive(channel, length)
        except TimeoutError:
            process.bury(self._wall, kill=True)
            return Outcome(reason="timeout"), ""
        except (EOFError, ConnectionError):
            return self._verdict(*process.bury(self._wall))
        if last:
            process.bury(self._wall)
        if code == DONE:
            return Outcome(value=bytes(payload)), ""
        if code == NO_MEMORY:
            return Outcome(reason="memory_limit"), ""
        return Outcome(error=payload.decode()), ""

    def _verdict(self, status: int, grown: int) -> tuple[Outcome | None, str]:
        """What a child that died without a reply died of; no outcome when somebody else killed it."""
        if not os.WIFSIGNALED(status):
            return Outcome(error=f"{DIED}its process ended itself with status {os.WEXITSTATUS(status)}"), ""
        number = os.WTERMSIG(status)
        died = f"its process died of signal {number} ({signal.strsignal(number)})"
        if number == signal.SIGPROF:
            return Outcome(reason="timeout"), ""
        if number in FROM_OUTSIDE:
            return None, died
        if grown > self._limits["memory_mb"] * 2**20 / 2:  # native code that does not survive a refused allocation
            return Outcome(reason="memory_limit"), ""
        return Outcome(error=f"{DIED}{died}"), ""

    def _running(self) -> _Process:
        if self._process is not None and self._process.owner != os.getpid():
            self._discard()  # this process was forked from the owner: what it holds is the owner's
        if self._process is None:
            self._process = _Process(self._function, self._limits, self._warm_up)
            self._finalizer = weakref.finalize(self, self._process.close)
        return self._process

    def _discard(self) -> None:
        if self._finalizer is not None:
            self._finalizer()
        self._process = self._finalizer = None
