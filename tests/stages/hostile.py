"""What a sandboxed function can do to its process. One function, so that one sandbox meets all of it."""

import ctypes
import os
import re
import signal
import sys
import time

HELD = []


def behave(document: bytes) -> bytes:
    """Do what the document says; anything else is returned in upper case."""
    name, _, argument = document.decode().partition(" ")
    if name in DEEDS:
        return DEEDS[name](argument)
    return document.upper()


def spin(_: str) -> bytes:
    while True:
        pass


def backtrack(_: str) -> bytes:
    """Hours inside C, where no Python signal handler runs."""
    re.match(r"(a|a)*$", "a" * 60 + "b")
    return b""


def wait(_: str) -> bytes:
    time.sleep(1000)
    return b""


def python_bomb(_: str) -> bytes:
    return b"".join([bytes(1 << 24) for _ in range(1000)])


def native_bomb(_: str) -> bytes:
    """Fill memory, then crash as native code does that does not test malloc."""
    blocks = []
    try:
        while True:
            blocks.append(b"x" * (1 << 24))
    except MemoryError:
        os.abort()


def hold(megabytes: str) -> bytes:
    """A leak."""
    HELD.append(b"x" * (int(megabytes) << 20))
    return str(len(HELD)).encode()


def segfault(_: str) -> bytes:
    ctypes.string_at(0)
    return b""


def fail(message: str) -> bytes:
    raise ValueError(message)


def unprintable(_: str) -> bytes:
    class OddError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    raise OddError


def kill_once(flag: str) -> bytes:
    """Be killed from outside at the first try, answer at the second."""
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return b"second try"
    return kill("")


def kill(_: str) -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


def kill_zygote(flag: str) -> bytes:
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return b"second try"
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(1000)
    return b""


def interrupt(pid: str) -> bytes:
    """A signal to the owner while it waits for this document."""
    os.kill(int(pid), signal.SIGUSR1)
    return wait("")


DEEDS = {
    "spin": spin,
    "backtrack": backtrack,
    "wait": wait,
    "python_bomb": python_bomb,
    "native_bomb": native_bomb,
    "hold": hold,
    "segfault": segfault,
    "abort": lambda _: os.abort(),
    "fail": fail,
    "unprintable": unprintable,
    "exit": lambda _: sys.exit(3),
    "os_exit": lambda _: os._exit(4),
    "kill_once": kill_once,
    "kill": kill,
    "kill_zygote": kill_zygote,
    "interrupt": interrupt,
    "pid": lambda _: str(os.getpid()).encode(),
    "parent": lambda _: str(os.getppid()).encode(),
    "hash": lambda text: str(hash(text)).encode(),
}
