"""The far side of `stages.sandbox`: a clean process that forks one child after another, and what a child does.

It is run as a script, imports only the standard library before it is told what to load, has one thread, and never
sees a document. Forking it costs milliseconds where starting Python and importing an engine costs a second, and it
is safe, which forking the caller (a Ray worker full of threads) is not.

    caller -- control socket --> zygote     b"F" + a socket: fork a child that serves it; b"K": kill the child
           <-- JSON frames ----             ["ready"], then for each child ["ended", wait status, bytes grown]
           -- socket of the child --> child a document in, a reply out

It ends when the control socket does, so it cannot outlive the caller, whatever the caller died of; its child ends
with it (Linux: PR_SET_PDEATHSIG).
"""

import contextlib
import ctypes
import gc
import json
import logging
import os
import pickle
import resource
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORK, KILL = b"F", b"K"
DONE, FAILED, NO_MEMORY = range(3)  # what a reply says
LENGTH = struct.Struct("!Q")
REPLY = struct.Struct("!B?Q")  # one of the three, whether the child ends after it, length of the payload
PR_SET_PDEATHSIG = 1
MESSAGE_CHARS = 2000
CHECK_SECONDS = 5.0

Function = Callable[[bytes], bytes]


def receive(channel: socket.socket, n: int) -> bytearray:
    """Exactly `n` bytes; `EOFError` when the other end closes first."""
    data = bytearray(n)
    view, position = memoryview(data), 0
    while position < n:
        got = channel.recv_into(view[position:])
        if not got:
            raise EOFError(f"the other end closed after {position} of {n} bytes")
        position += got
    return data


def receive_frame(channel: socket.socket) -> bytearray:
    return receive(channel, LENGTH.unpack(receive(channel, LENGTH.size))[0])


def send_frame(channel: socket.socket, data: Any) -> None:
    """Send a bytes-like object with its length before it."""
    view = memoryview(data)
    channel.sendall(LENGTH.pack(view.nbytes))
    channel.sendall(view)


def describe(error: BaseException) -> str:
    """`Type: message`, cut to a length that a table can hold."""
    try:
        message = str(error)
    except Exception as unprintable:
        message = f"its message cannot be printed ({type(unprintable).__name__})"
    return f"{type(error).__name__}: {message}"[:MESSAGE_CHARS]


def serve(function: Function, channel: socket.socket, limits: dict[str, Any]) -> None:
    """A child's life: answer documents until the caller hangs up, a limit kills, or it has grown too old or too big."""
    budget = int(limits["memory_mb"] * 2**20)
    first = _memory_pages("size")
    for number in range(1, limits["documents"] + 1):
        try:
            document = bytes(receive_frame(channel))
        except EOFError:
            return
        _limit_memory(budget)
        signal.setitimer(signal.ITIMER_PROF, limits["seconds"])
        code, payload = DONE, b""
        try:
            payload = function(document)
        except MemoryError:
            code = NO_MEMORY
        except BaseException as error:  # the caller is told, whatever it is, SystemExit included
            code, payload = FAILED, describe(error).encode(errors="replace")
        signal.setitimer(signal.ITIMER_PROF, 0)
        _lift_memory_limit()
        grown = (_memory_pages("size") - first) * resource.getpagesize()
        last = code == NO_MEMORY or number == limits["documents"] or grown > budget // 2
        channel.sendall(REPLY.pack(code, last, len(payload)))
        channel.sendall(payload)
        if last:
            return


def _memory_pages(what: str) -> int:
    """Pages of address space ("size") or of resident memory ("resident") now; 0 where the kernel does not say."""
    try:
        fields = Path("/proc/self/statm").read_text().split()
    except OSError:
        return 0
    return int(fields[("size", "resident").index(what)])


def _limit_memory(budget: int) -> None:
    """Let the address space grow by `budget` bytes from here. Linux only: elsewhere it has no effect."""
    size = _memory_pages("size") * resource.getpagesize()
    if size:
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        soft = size + budget if hard == resource.RLIM_INFINITY else min(size + budget, hard)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _lift_memory_limit() -> None:
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _prepare_child(libc: ctypes.CDLL | None, parent: int) -> None:
    """Die with the zygote, be the first that an exhausted machine kills, leave no core file."""
    if libc is not None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # not Linux, or forbidden: the kernel then chooses as for any process
        Path("/proc/self/oom_score_adj").write_text("1000")


class Zygote:
    """Forks children one at a time and reports how each ended."""

    def __init__(self, control: socket.socket, function: Function, limits: dict[str, Any]) -> None:
        self.control, self.function, self.limits = control, function, limits
        self.caller = os.getppid()
        self.child = 0
        self.resident = 0
        self.libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self.woken, self.wake = os.pipe()
        os.set_blocking(self.woken, False)
        os.set_blocking(self.wake, False)
        signal.set_wakeup_fd(self.wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def say(self, *message: Any) -> None:
        send_frame(self.control, json.dumps(message).encode())

    def run(self) -> None:
        """Until the caller is gone."""
        self.say("ready")
        while os.getppid() == self.caller:
            readable = select.select([self.control.fileno(), self.woken], [], [], CHECK_SECONDS)[0]
            if self.woken in readable:
                os.read(self.woken, 4096)
                self._reap()
            if self.control.fileno() in readable and not self._obey():
                break
        self._kill()

    def _obey(self) -> bool:
        order, fds, _, _ = socket.recv_fds(self.control, 1, 1)
        if order == FORK:
            self._fork(fds[0])
        elif order == KILL:
            self._kill()
        return bool(order)

    def _fork(self, fd: int) -> None:
        self.resident = _memory_pages("resident") * resource.getpagesize()
        zygote = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(fd)
            self.say("failed", describe(error))
            return
        if pid == 0:
            self._be_child(socket.socket(fileno=fd), zygote)
        os.close(fd)
        self.child = pid

    def _be_child(self, channel: socket.socket, zygote: int) -> None:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.control.close()
            os.close(self.woken)
            os.close(self.wake)
            _prepare_child(self.libc, zygote)
            serve(self.function, channel, self.limits)
            status = 0
        except (BrokenPipeError, ConnectionResetError):
            status = 0  # the caller hung up while it was being answered
        finally:
            os._exit(status)

    def _reap(self) -> None:
        if self.child:
            pid, status, usage = os.wait4(self.child, os.WNOHANG)
            if pid:
                self.child = 0
                peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
                self.say("ended", status, max(0, peak - self.resident))

    def _kill(self) -> None:
        if self.child:
            os.kill(self.child, signal.SIGKILL)


def main(fd: int) -> None:
    """Load the function that the first frame names, then fork on demand."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGPROF, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    logging.disable(logging.CRITICAL)  # what became of a document is told by its reply
    control = socket.socket(fileno=fd)
    start = pickle.loads(receive_frame(control))  # noqa: S301 - from the process that started this one
    sys.path[:] = start["path"]
    try:
        function = pickle.loads(start["function"])  # noqa: S301
        if start["warm_up"] is not None:
            function(start["warm_up"])
    except BaseException as error:
        send_frame(control, json.dumps(["failed", describe(error)]).encode())
        return
    gc.collect()
    gc.freeze()  # what is loaded now is garbage in no child, and stays shared with all of them
    try:
        Zygote(control, function, start["limits"]).run()
    except (BrokenPipeError, ConnectionResetError):
        return  # the caller is gone, and with it everybody who could be told


if __name__ == "__main__":
    main(int(sys.argv[1]))
