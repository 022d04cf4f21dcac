"""Ports for servers that tests start."""

import contextlib
import random
import socket
from pathlib import Path


def _own() -> list[int]:
    """Ports that the kernel gives to nobody who asks for any: between a look at one of those and its use, it may."""
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        first = 32_768
    below = range(max(20_000, first - 10_000), first) or range(20_000, 30_000)  # Ray's workers have those up to 20,000
    return random.Random().sample(below, len(below))  # the drawing of another session is another one


_OWN = _own()


def free_port() -> int:
    """One that is free, and is given once."""
    while True:
        port = _OWN.pop()
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("", port))
            return port
