"""What was in flight at a kill, as the server saw it: that may be paid for twice, and nothing else.

A request is in flight until its client has read the answer. A client that sends its next request on a connection has
read the answer before, and so has one that has closed the connection. In flight at a kill is therefore the last request
on each connection that was open then: no more than the client asks at a time, and no clock is needed to say which.
"""

import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from tests.stages.models.misbehaving import Asked, Server


@dataclass(frozen=True)
class Kill:
    """A kill that was done, and which requests its victims had sent that may be without an answer that was read."""

    clients: int  # that had a server's slots to themselves
    sent: Callable[[Asked], bool]

    def in_flight(self, server: Server) -> set[str]:
        """Once the victims' requests are played out: prompts that were paid for, and are perhaps paid for again."""
        last = {asked.connection: asked for asked in server.log if self.sent(asked)}
        return {asked.prompt for asked in last.values() if asked.paid}


def kill_driver(server: Server, process: subprocess.Popen[str], workers: list[psutil.Process]) -> Kill:
    """kill -9 of the driver; its workers end a moment later, when they miss it. Nobody asks the server after this."""
    seen = {asked.connection for asked in server.log}
    closed = seen - server.connections()
    process.kill()
    process.wait()
    psutil.wait_procs(workers)
    server.at_rest()
    end = len(server.log)
    theirs = {asked.connection for asked in server.log[:end]} - closed
    return Kill(len(workers) or 1, lambda asked: asked.connection in theirs)


def kill_worker(server: Server, worker: psutil.Process) -> Kill:
    """kill -9 of one worker, stopped first so that its connections are known; others go on asking."""
    worker.suspend()
    seen = {asked.connection for asked in server.log}
    closed = seen - server.connections()
    ports = {c.laddr.port for c in worker.net_connections("tcp") if c.raddr and c.raddr.port == server.port}
    worker.kill()
    return Kill(1, lambda asked: asked.port in ports and asked.connection not in closed)


def check_paid(server: Server, kills: list[Kill], prompts: int, concurrency: int) -> int:
    """How many prompts were paid for again; each of them was in flight at as many kills."""
    paid = {prompt: count.answered for prompt, count in server.counts().items() if count.answered}
    allowed = Counter(prompt for kill in kills for prompt in kill.in_flight(server))
    again = {prompt: n - 1 for prompt, n in paid.items() if n > 1}
    assert len(paid) == prompts
    assert {prompt: n for prompt, n in again.items() if n > allowed[prompt]} == {}, "paid for again, and not in flight"
    assert sum(again.values()) <= concurrency * sum(kill.clients for kill in kills)
    return sum(again.values())
